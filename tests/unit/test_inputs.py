"""Data that nobody shows: L1 decides, if need be blocks later."""

from dataclasses import dataclass, field

import pytest
import trio
from eth_hash.auto import keccak

from protocol.errors import Reset, Temporary
from rollup.codec.config import AltDa
from rollup.codec.refs import L1Block, L1BlockRef, L1Log
from rollup.da.challenges import Status
from rollup.da.contract import STATUS_CHANGED
from rollup.da.rest import Missing
from rollup.inputs import Found, Inputs
from rollup.ports import InvalidCertificate
from tests.derive_world import l1_child, l1_genesis, padded, word
from tests.sim.rollup_world import SimL1, world_config

CONTRACT = b"\xda" * 20
WINDOW = 3
CONFIG = world_config(alt_da=AltDa(CONTRACT, "KeccakCommitment", WINDOW, WINDOW))
DATA = b"\0frames"
COMMITMENT = b"\0" + keccak(DATA)


@dataclass
class Da:
    answer: bytes | Exception = field(default_factory=lambda: Missing("gone"))
    asked: int = 0

    async def put(self, data: bytes) -> bytes:
        raise NotImplementedError

    async def get(self, commitment: bytes, l1_inclusion: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def changed(status: Status, number: int) -> L1Log:
    """ChallengeStatusChanged(number, commitment, status)."""
    data = word(64) + word(status.value) + word(len(COMMITMENT)) + padded(COMMITMENT)
    return L1Log(CONTRACT, (STATUS_CHANGED, word(number)), data, 0, 0)


def extend(l1: SimL1, *logs: L1Log, salt: bytes = b"") -> L1Block:
    block = l1_child(l1.tip, 12, (), logs, salt)
    l1.blocks.append(block)
    l1._by_hash[block.ref.hash] = block
    return block


def begin(da: Da) -> tuple[Inputs, SimL1, L1BlockRef]:
    """Derivation has entered the block that holds the commitment."""
    l1 = SimL1()
    inputs = Inputs(CONFIG, l1, da)
    inputs.restart(l1_genesis().ref)
    inclusion = extend(l1)
    inputs.enter(inclusion)
    return inputs, l1, inclusion.ref


async def test_data_that_are_there_are_taken() -> None:
    inputs, _, inclusion = begin(Da(DATA))

    assert await inputs.read(COMMITMENT, inclusion) == Found(DATA)


async def test_an_invalid_certificate_is_dropped() -> None:
    inputs, _, inclusion = begin(Da(InvalidCertificate("never")))

    assert await inputs.read(COMMITMENT, inclusion) == Found(None)


async def test_a_da_layer_that_fails_is_no_verdict() -> None:
    inputs, _, inclusion = begin(Da(Temporary("down")))

    with pytest.raises(Temporary):
        await inputs.read(COMMITMENT, inclusion)


async def test_missing_data_wait_for_l1_to_go_on() -> None:
    inputs, _, inclusion = begin(Da())

    assert await inputs.read(COMMITMENT, inclusion) is None


async def test_a_challenge_that_nobody_answers_drops_the_commitment() -> None:
    """The data are not even asked for any more then: all nodes drop them, also who has them."""
    da = Da()
    inputs, l1, inclusion = begin(da)
    extend(l1, changed(Status.ACTIVE, inclusion.number))
    for _ in range(WINDOW - 1):
        extend(l1)
        assert await inputs.read(COMMITMENT, inclusion) is None
    extend(l1)

    assert await inputs.read(COMMITMENT, inclusion) == Found(None)
    da.answer = DATA
    asked = da.asked
    assert await inputs.read(COMMITMENT, inclusion) == Found(None)
    assert da.asked == asked


async def test_missing_data_that_nobody_challenged_stop_derivation() -> None:
    inputs, l1, inclusion = begin(Da())
    for _ in range(WINDOW + 2):
        extend(l1)

    with pytest.raises(Temporary, match="missing"):
        await inputs.read(COMMITMENT, inclusion)


async def test_what_was_read_ahead_must_be_what_derivation_comes_to() -> None:
    inputs, l1, inclusion = begin(Da())
    extend(l1)
    assert await inputs.read(COMMITMENT, inclusion) is None
    del l1.blocks[-1]
    other = extend(l1, salt=b"other")

    with pytest.raises(Reset):
        inputs.enter(other)


async def test_a_reorg_while_reading_ahead_is_noticed() -> None:
    inputs, l1, inclusion = begin(Da())
    extend(l1)
    assert await inputs.read(COMMITMENT, inclusion) is None
    del l1.blocks[-1]
    extend(l1, salt=b"other")
    extend(l1)

    with pytest.raises(Reset):
        await inputs.read(COMMITMENT, inclusion)
