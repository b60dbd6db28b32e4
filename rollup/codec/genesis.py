"""Block 0 of a chain from its genesis file, in geth's JSON or the superchain registry's.

As op-geth's core/genesis.go: accounts that hold nothing are kept, slots that hold zero are not.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec import hexadecimal, strict
from rollup.codec.account import EMPTY_CODE_HASH, Account
from rollup.codec.header import BLOOM_BYTES, INITIAL_BASE_FEE, Header
from rollup.codec.output import MESSAGE_PASSER
from rollup.codec.trie import EMPTY_ROOT, secure_root

ACCOUNTS_MAX: Final = 1 << 20
SLOTS_MAX: Final = 1 << 20  # of one account
DIGITS_MAX: Final = 80  # of a number: 2**256 has 78

EMPTY_UNCLES: Final = keccak(strict.encode([]))
EMPTY_REQUESTS: Final = bytes.fromhex(  # sha256 of nothing, EIP-7685
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)
DIFFICULTY_DEFAULT: Final = 131_072
GAS_LIMIT_DEFAULT: Final = 4_712_388

# Ethereum's fork, the OP Stack's fork that brings it to the L2.
COUNTERPART: Final = {"shanghai": "canyon", "cancun": "ecotone", "prague": "isthmus"}


def genesis_header(genesis: Any, hardforks: Mapping[str, Any] | None = None) -> Header:
    """The header of the genesis block; `Malformed` when the file cannot be one.

    `hardforks`: the table of that name in the registry's TOML, for files whose `config` is null.
    It comes first where both are there, as in op-geth.
    """
    table = hexadecimal.fields(genesis, "genesis")
    timestamp = _number(table.get("timestamp"), 64, "timestamp")
    active = _active_forks(table, hardforks, timestamp)
    roots = dict(_storage_roots_and_state(table))
    base_fee = table.get("baseFeePerGas")
    is_cancun = "cancun" in active
    withdrawals_root: bytes | None = None
    if "shanghai" in active:
        withdrawals_root = EMPTY_ROOT
        if "isthmus" in active:
            withdrawals_root = roots.get(MESSAGE_PASSER, EMPTY_ROOT)
    return Header(
        parent_hash=_bytes(table.get("parentHash"), 32, "parentHash"),
        uncles_hash=EMPTY_UNCLES,
        coinbase=_bytes(table.get("coinbase"), 20, "coinbase"),
        state_root=roots[b""],
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        bloom=bytes(BLOOM_BYTES),
        difficulty=_difficulty(table),
        number=_number(table.get("number"), 64, "number"),
        gas_limit=_number(table.get("gasLimit"), 64, "gasLimit") or GAS_LIMIT_DEFAULT,
        gas_used=_number(table.get("gasUsed"), 64, "gasUsed"),
        timestamp=timestamp,
        extra_data=hexadecimal.data(table.get("extraData", "0x"), name="extraData"),
        mix_hash=_bytes(table.get("mixHash", table.get("mixhash")), 32, "mixHash"),
        nonce=_number(table.get("nonce"), 64, "nonce").to_bytes(8, "big"),
        base_fee=_base_fee(base_fee) if "london" in active else None,
        withdrawals_root=withdrawals_root,
        blob_gas_used=_number(table.get("blobGasUsed"), 64, "blobGasUsed") if is_cancun else None,
        excess_blob_gas=_number(table.get("excessBlobGas"), 64, "excess") if is_cancun else None,
        parent_beacon_block_root=bytes(32) if is_cancun else None,
        requests_hash=EMPTY_REQUESTS if "prague" in active else None,
    )


def allocated(genesis: Any) -> Iterator[tuple[bytes, Account]]:
    """Address and account of each that the file's `alloc` gives something, in its order."""
    alloc = _object(hexadecimal.fields(genesis, "genesis").get("alloc"), "alloc")
    require(len(alloc) <= ACCOUNTS_MAX, f"alloc of {len(alloc)} accounts")
    code_hashes: dict[Any, bytes] = {None: EMPTY_CODE_HASH}  # predeploys share one proxy
    for name, value in alloc.items():
        fields = hexadecimal.fields(value, "account")
        code = fields.get("code")
        if not isinstance(code, str | None):
            raise Malformed("code is not text")
        if code not in code_hashes:
            code_hashes[code] = keccak(hexadecimal.data(code, name="code"))
        yield (
            _unprefixed(name, 20, "address"),
            Account(
                _number(fields.get("nonce"), 64, "nonce"),
                _number(fields.get("balance"), 256, "balance"),
                _storage_root(fields.get("storage")),
                code_hashes[code],
            ),
        )


def _storage_roots_and_state(table: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Each account's address and storage root; the state's root comes last, under no address."""
    state_hash = table.get("stateHash")
    if state_hash is not None:
        require(not table.get("alloc"), "both stateHash and alloc")
        yield b"", hexadecimal.data(state_hash, 32, "stateHash")
        return
    accounts = dict(allocated(table))
    require(len(accounts) == len(table.get("alloc") or ()), "an account is allocated twice")
    for address, account in accounts.items():
        yield address, account.storage_root
    yield b"", secure_root((address, account.encode()) for address, account in accounts.items())


def _storage_root(storage: Any) -> bytes:
    slots = _object(storage, "storage")
    require(len(slots) <= SLOTS_MAX, f"storage of {len(slots)} slots")
    values = {
        _unprefixed(key, 32, "slot"): int.from_bytes(_unprefixed(value, 32, "value"), "big")
        for key, value in slots.items()
    }
    require(len(values) == len(slots), "a slot is given twice")
    return secure_root((key, strict.encode(value)) for key, value in values.items() if value)


def _active_forks(
    table: Mapping[str, Any], hardforks: Mapping[str, Any] | None, timestamp: int
) -> set[str]:
    """The forks that change the header and are active in the genesis block."""
    config = _object(table.get("config"), "config")
    active = set()
    london, number = config.get("londonBlock"), _number(table.get("number"), 64, "number")
    if london is not None and _number(london, 64, "londonBlock") <= number:
        active.add("london")
    if not config and table.get("baseFeePerGas") is not None:
        active.add("london")  # the registry leaves it out: all its chains but the migrated have it
    if "london" not in active:
        return active  # as geth: the forks by time wait for it
    for fork, counterpart in COUNTERPART.items():
        if hardforks is not None:
            times = [hardforks.get(f"{counterpart}_time")]
        else:
            times = [config.get(f"{fork}Time"), config.get(f"{counterpart}Time")]
        if any(time is not None and _number(time, 64, fork) <= timestamp for time in times):
            active.add(fork)
    is_rollup = hardforks is not None or config.get("optimism") is not None
    if is_rollup and "prague" in active:
        active.add("isthmus")
    return active


def _difficulty(table: Mapping[str, Any]) -> int:
    difficulty = table.get("difficulty")
    if difficulty is not None:
        return _number(difficulty, 256, "difficulty")
    mix_hash = _bytes(table.get("mixHash", table.get("mixhash")), 32, "mixHash")
    return 0 if any(mix_hash) else DIFFICULTY_DEFAULT


def _base_fee(value: Any) -> int:
    return INITIAL_BASE_FEE if value is None else _number(value, 256, "baseFeePerGas")


def _number(value: Any, bits: int, name: str) -> int:
    """As geth's HexOrDecimal: 0x hex, decimal text or a JSON number; absent is zero."""
    if value is None:
        return 0
    number = value
    if isinstance(value, str):
        require(len(value) <= DIGITS_MAX and value.isascii(), f"{name} is not a number")
        is_hex = value[:2] in ("0x", "0X")
        digits = value[2:] if is_hex else value
        require(digits.isalnum(), f"{name} is not a number")
        try:
            number = int(digits, 16 if is_hex else 10)
        except ValueError:
            raise Malformed(f"{name} is not a number") from None
    if not isinstance(number, int) or isinstance(number, bool):
        raise Malformed(f"{name} is not a number")
    require(0 <= number < 1 << bits, f"{name} is not a u{bits}")
    return number


def _object(value: Any, name: str) -> Mapping[str, Any]:
    return {} if value is None else hexadecimal.fields(value, name)


def _bytes(value: Any, size: int, name: str) -> bytes:
    return bytes(size) if value is None else hexadecimal.data(value, size, name)


def _unprefixed(value: Any, size: int, name: str) -> bytes:
    """Hex with or without 0x; storage may leave leading zeros away."""
    if not isinstance(value, str):
        raise Malformed(f"{name} is not text")
    digits = value.removeprefix("0x")
    require(len(digits) <= 2 * size, f"{name} is longer than {size} bytes")
    require(size == 32 or len(digits) == 2 * size, f"{name} is not {size} bytes")
    return hexadecimal.data("0x" + digits.rjust(2 * size, "0"), size, name)
