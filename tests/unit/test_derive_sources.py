"""Where derivation reads: calldata of the batcher, blobs, alt-DA commitments."""

from dataclasses import replace

import pytest

from protocol.errors import Reset
from rollup.codec.blob import encode_blob
from rollup.codec.commitment import GenericCommitment, KeccakCommitment, batcher_data
from rollup.codec.config_parts import GENERIC_COMMITMENT, KECCAK_COMMITMENT, AltDa
from rollup.codec.frame import encode_frames
from rollup.derive.l1_retrieval import KECCAK_INPUT_BYTES_MAX
from rollup.derive.needs import NeedBlobs, NeedData
from rollup.derive.pipeline import Pipeline
from tests.derive_world import (
    BATCHER,
    IMPOSTOR,
    Node,
    channel,
    config_log,
    genesis_ref,
    inbox,
    l1_child,
    l1_genesis,
    l1_of,
    make_config,
    post,
    refs,
    truth_of,
)

CONFIG = make_config()


def test_only_the_batcher_of_the_moment_is_heard() -> None:
    """A new batcher counts from the very L1 block that names him."""
    truth = truth_of(CONFIG, 2)
    by_old = [post(*channel([truth.span(1, 1)], b"a")), inbox(b"\0", IMPOSTOR)]
    named = config_log(0, 0, int.from_bytes(IMPOSTOR, "big"))
    forged = encode_frames(channel([truth.span(1, 2)], b"b"))
    chain = [l1_genesis()]
    chain.append(
        l1_child(chain[0], 12, [inbox(forged, IMPOSTOR), inbox(forged, BATCHER, b"\1" * 20)])
    )
    chain.append(l1_child(chain[1], 12, by_old, [named]))
    node = Node(CONFIG, chain)

    assert node.run() == refs(truth, 0)
    chain.append(l1_child(chain[2], 12, [inbox(forged, IMPOSTOR)]))
    assert node.run() == refs(truth, 2)


def test_a_type_of_transaction_after_blobs_is_not_heard() -> None:
    """A set-code transaction of the batcher's, by the specification and op-node."""
    truth = truth_of(CONFIG, 1)
    sent = post(*channel([truth.span(1, 1)], b"a"))

    assert Node(CONFIG, l1_of([replace(sent, kind=4)])).run() == refs(truth, 0)
    for kind in (0, 1, 2, 0x7E):
        assert Node(CONFIG, l1_of([replace(sent, kind=kind)])).run() == refs(truth, 1)


def test_blobs_are_asked_for_in_their_place() -> None:
    """Calldata and blobs of one block in order; a blob transaction's calldata is ignored, a blob
    that does not decode is as if it were not there."""
    truth = truth_of(CONFIG, 3)
    frames = channel([truth.span(1, 3)], b"a", size=100)
    first, second = encode_frames(frames[:1]), encode_frames(frames[1:])
    hashes = (b"\1" + b"a" * 31, b"\1" + b"b" * 31)
    carrier = replace(inbox(b"not read"), blob_hashes=hashes, kind=3)
    other = replace(inbox(b"", IMPOSTOR), blob_hashes=(b"\1" + b"c" * 31,))
    blobs = {hashes[0]: b"\xff" * 131_072, hashes[1]: encode_blob(second)}
    node = Node(CONFIG, l1_of([inbox(first), other, carrier]), blobs=blobs)

    assert node.run() == refs(truth, 3)
    assert node.asked == [NeedBlobs(node.l1[1].ref, hashes)]


def test_too_few_blobs_reset_the_pipeline() -> None:
    carrier = replace(inbox(b""), blob_hashes=(b"\1" * 32,))
    chain = l1_of([carrier])
    pipeline = Pipeline(CONFIG, chain[0], CONFIG.genesis.system_config, genesis_ref(CONFIG))
    pipeline.step(genesis_ref(CONFIG))
    pipeline.add_l1(chain[1])

    assert pipeline.step(genesis_ref(CONFIG)) == NeedBlobs(chain[1].ref, (b"\1" * 32,))
    with pytest.raises(Reset):
        pipeline.add_blobs(chain[1].ref, [])


@pytest.mark.parametrize("kind", [KECCAK_COMMITMENT, GENERIC_COMMITMENT])
def test_commitments_stand_for_frames(kind: str) -> None:
    """With alt-DA on: 0x01 is a commitment of the chain's type, 0x00 are frames as ever."""
    config = replace(CONFIG, alt_da=AltDa(b"\xda" * 20, kind, 16, 16))
    truth = truth_of(CONFIG, 3)
    first, rest = (
        encode_frames(channel([truth.span(*each)], b"%d" % each[0])) for each in ((1, 2), (3, 3))
    )
    good = KeccakCommitment.of(rest) if kind == KECCAK_COMMITMENT else GenericCommitment(b"x")
    lost = KeccakCommitment(b"l" * 32) if kind == KECCAK_COMMITMENT else GenericCommitment(b"l")
    alien = GenericCommitment(b"y") if kind == KECCAK_COMMITMENT else KeccakCommitment(bytes(32))
    sent = [inbox(first), *[inbox(batcher_data(each)) for each in (lost, alien, good)]]
    sent += [inbox(b"\x01"), inbox(b"\x01\x07"), inbox(b"\x01\x00abc"), inbox(b"")]
    data = {good.encode(): rest, lost.encode(): None}
    node = Node(config, l1_of(sent), data=data)

    assert node.run() == refs(truth, 3)
    assert node.asked == [NeedData(lost.encode()), NeedData(good.encode())]


@pytest.mark.parametrize(
    ("kind", "spare", "wanted"),
    [(KECCAK_COMMITMENT, 0, 1), (KECCAK_COMMITMENT, 1, 0), (GENERIC_COMMITMENT, 1, 1)],
)
def test_data_that_no_challenge_could_resolve_is_dropped(
    kind: str, spare: int, wanted: int
) -> None:
    """Of a keccak commitment, by its size; a generic one is not resolved on L1 at all."""
    config = replace(CONFIG, alt_da=AltDa(b"\xda" * 20, kind, 16, 16))
    truth = truth_of(CONFIG, 1)
    frames = channel([truth.span(1, 1)], b"a")
    filled = len(encode_frames(frames)) + 23
    padding = bytes(KECCAK_INPUT_BYTES_MAX + spare - filled)
    data = encode_frames([*frames, replace(frames[0], data=padding, is_last=True)])
    is_keccak = kind == KECCAK_COMMITMENT
    commitment = KeccakCommitment.of(data) if is_keccak else GenericCommitment(b"x")
    assert len(data) == KECCAK_INPUT_BYTES_MAX + spare
    node = Node(config, l1_of([inbox(batcher_data(commitment))]), data={commitment.encode(): data})

    assert node.run() == refs(truth, wanted)


def test_without_alt_da_a_commitment_is_noise() -> None:
    truth = truth_of(CONFIG, 1)
    sent = [
        inbox(batcher_data(KeccakCommitment(bytes(32)))),
        post(*channel([truth.span(1, 1)], b"a")),
    ]

    assert Node(CONFIG, l1_of(sent)).run() == refs(truth, 1)
