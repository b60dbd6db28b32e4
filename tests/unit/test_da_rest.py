"""The REST API of data availability: what is asked, what each answer means, what is kept."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from node.store import Store
from protocol.errors import Malformed, Refused, Temporary
from rollup.da import keccak_store
from rollup.da.keccak_store import Full, KeccakStore
from rollup.da.rest import (
    COMMITMENT_BYTES_MAX,
    GENERIC,
    KECCAK,
    OBJECT_BYTES_MAX,
    Missing,
    Mode,
    get_answer,
    get_path,
    keccak_commitment,
    kind_of,
    put_answer,
    put_path,
)
from rollup.ports import FailOver, InvalidCertificate

DATA = b"\x00 frames"
HASH = keccak(DATA)
OURS = b"\x00" + HASH
CERTIFICATE = b"\x01\x00\x02 certificate"


class Memory:
    """A store that counts what is not synced."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.unsynced = 0

    def get(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return [(k, v) for k, v in sorted(self.records.items()) if k.startswith(prefix)]

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        self.unsynced += not sync
        for key, value in puts.items():
            assert value is not None
            self.records[key] = value


@pytest.mark.parametrize(
    ("commitment", "kind"),
    [
        (OURS, KECCAK),
        (OURS[:-1], None),
        (OURS + b"\x00", None),
        (b"", None),
        (b"\x00", None),
        (b"\x01", None),
        (b"\x01\x00", GENERIC),
        (CERTIFICATE, GENERIC),
        (b"\x01" + bytes(COMMITMENT_BYTES_MAX - 1), GENERIC),
        (b"\x01" + bytes(COMMITMENT_BYTES_MAX), None),
        (b"\x02" + HASH, None),
    ],
)
def test_kinds(commitment: bytes, kind: int | None) -> None:
    assert kind_of(commitment) == kind


def test_paths() -> None:
    """As op-alt-da's client and eigenda-proxy's routes have them."""
    assert put_path(Mode.KECCAK, DATA) == f"/put/0x00{HASH.hex()}"
    assert put_path(Mode.GENERIC, DATA) == "/put"
    assert put_path(Mode.STANDARD, DATA) == "/put?commitment_mode=standard"
    assert get_path(Mode.KECCAK, OURS, 7) == f"/get/0x00{HASH.hex()}"
    assert get_path(Mode.GENERIC, CERTIFICATE) == f"/get/0x{CERTIFICATE.hex()}"
    assert (
        get_path(Mode.GENERIC, CERTIFICATE, 7)
        == f"/get/0x{CERTIFICATE.hex()}?l1_inclusion_block_number=7"
    )
    assert (
        get_path(Mode.STANDARD, CERTIFICATE, 7)
        == f"/get/0x{CERTIFICATE[2:].hex()}?commitment_mode=standard&l1_inclusion_block_number=7"
    )
    with pytest.raises(Malformed):
        get_path(Mode.GENERIC, b"\x02../../admin")
    with pytest.raises(Malformed):
        get_path(Mode.STANDARD, OURS)


@pytest.mark.parametrize("size", [0, OBJECT_BYTES_MAX + 1])
def test_no_server_is_asked_to_take_what_none_takes(size: int) -> None:
    with pytest.raises(Refused):
        put_path(Mode.GENERIC, bytes(size))


def test_answers_to_put() -> None:
    assert put_answer(Mode.KECCAK, DATA, 200, b"") == OURS
    assert put_answer(Mode.GENERIC, DATA, 200, CERTIFICATE) == CERTIFICATE
    assert put_answer(Mode.GENERIC, DATA, 200, OURS) == OURS  # op-alt-da's own server
    assert put_answer(Mode.STANDARD, DATA, 200, CERTIFICATE[2:]) == CERTIFICATE
    with pytest.raises(Malformed):
        put_answer(Mode.GENERIC, DATA, 200, b"0x" + OURS.hex().encode())
    with pytest.raises(Malformed):
        put_answer(Mode.GENERIC, DATA, 200, keccak_commitment(b"other"))
    with pytest.raises(FailOver):
        put_answer(Mode.GENERIC, DATA, 503, b"eigenda is down")
    for status in (400, 404, 418, 429, 500, 502, 301, 204):
        with pytest.raises(Temporary) as raised:
            put_answer(Mode.GENERIC, DATA, status, b"\x1b[2J\xff" * 500)
        assert not isinstance(raised.value, FailOver)
        assert str(raised.value).isprintable()


def test_answers_to_get() -> None:
    assert get_answer(OURS, 200, DATA) == DATA
    assert get_answer(CERTIFICATE, 200, b"whatever the server says") == b"whatever the server says"
    with pytest.raises(Missing):
        get_answer(OURS, 404, b"")
    with pytest.raises(InvalidCertificate):
        get_answer(CERTIFICATE, 418, b"{}")
    for status in (400, 429, 500, 503, 301, 204):
        with pytest.raises(Temporary):
            get_answer(OURS, status, DATA)
    with pytest.raises(Temporary):
        get_answer(OURS, 200, DATA + b"\x00")


def test_the_store_gives_back_what_was_put() -> None:
    store = Memory()
    kept = KeccakStore(store)

    assert kept.get(OURS) is None
    assert kept.put(DATA) == kept.put(DATA) == OURS

    assert kept.get(OURS) == DATA
    assert (kept.objects, kept.total, store.unsynced) == (1, len(DATA), 0)


def test_the_store_is_bounded_also_after_a_restart() -> None:
    store = Memory()
    KeccakStore(store, total_max=20).put(DATA)
    kept = KeccakStore(store, total_max=20)

    for size in (0, OBJECT_BYTES_MAX + 1):
        with pytest.raises(Refused):
            kept.put(bytes(size))
    with pytest.raises(Full):
        kept.put(bytes(21 - len(DATA)))
    kept.put(bytes(20 - len(DATA)))
    assert kept.put(DATA) == OURS  # it is there already


def test_damage_on_disk_is_told() -> None:
    store = Memory()
    KeccakStore(store).put(DATA)
    store.records[keccak_store.DATA + OURS] = b"other"

    with pytest.raises(Temporary):
        KeccakStore(store).get(OURS)


def test_data_survive_in_the_node_s_store(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        commitment = KeccakStore(store.namespace(b"da/")).put(DATA)
    with Store.open(tmp_path) as store:
        kept = KeccakStore(store.namespace(b"da/"))

        assert kept.get(commitment) == DATA
        assert kept.total == len(DATA)
