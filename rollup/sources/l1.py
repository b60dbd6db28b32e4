"""Blocks of L1 from a node that is not trusted: each is checked against its own hash."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed, Refused, Temporary
from rollup.codec import strict
from rollup.codec.config import RollupConfig
from rollup.codec.header import Header
from rollup.codec.hexadecimal import data, data_list, fields, from_bytes, quantity
from rollup.codec.refs import L1Block, L1BlockRef, L1Log, L1Transaction
from rollup.codec.trie import trie_root
from rollup.ports import Call
from rollup.sources import transactions

BLOCKS_KEPT: Final = 64  # read again after a reset, or by the sequencer
TRANSACTIONS_MAX: Final = 1 << 16
LOGS_MAX: Final = 1 << 20
TOPICS_MAX: Final = 4
CANCUN_FRACTION: Final = 3338477  # BLOB_BASE_FEE_UPDATE_FRACTION of EIP-4844
PRAGUE_FRACTION: Final = 5007716  # of EIP-7691
EXCESS_FRACTIONS_MAX: Final = 178  # e**178 wei no longer fit into the 256 bits of a fee
METHOD_NOT_FOUND: Final = -32601

# EIP-8134 and EIP-8135: from when, and the fraction; by chain id of L1
BPO1_FRACTION: Final = 8346193
BPO2_FRACTION: Final = 11684671
LATER_FRACTIONS: Final = {
    1: ((1767747671, BPO2_FRACTION), (1765290071, BPO1_FRACTION)),
    11155111: ((1761607008, BPO2_FRACTION), (1761017184, BPO1_FRACTION)),
    560048: ((1762955544, BPO2_FRACTION), (1762365720, BPO1_FRACTION)),
}

Json = Mapping[str, Any]


def blob_fraction(header: Header) -> int:
    """The blob schedule by what the header has of Prague, for an L1 without later ones."""
    return CANCUN_FRACTION if header.requests_hash is None else PRAGUE_FRACTION


def fractions_of(config: RollupConfig) -> Callable[[Header], int]:
    """The blob schedule as the L2 of `config` sees its L1.

    Some L2s on test networks went on with Cancun's fraction after Prague, up to the time that their
    configuration names (specs, pectra-blob-schedule/derivation.md).
    """
    repaired = config.pectra_blob_schedule_time or 0
    later = LATER_FRACTIONS.get(config.l1_chain_id, ())

    def fraction(header: Header) -> int:
        if header.timestamp < repaired:
            return CANCUN_FRACTION
        known = (found for since, found in later if header.timestamp >= since)
        return next(known, blob_fraction(header))

    return fraction


class L1:
    """An `L1Source` over JSON-RPC.

    With `inbox` only the senders of transactions to that address are recovered from signatures;
    who sent the others, which derivation does not ask, is the node's word.
    """

    def __init__(
        self,
        call: Call,
        *,
        inbox: bytes | None = None,
        fraction: Callable[[Header], int] = blob_fraction,
    ) -> None:
        self._call = call
        self._inbox = inbox
        self._fraction = fraction
        self._blocks: OrderedDict[bytes, L1Block] = OrderedDict()

    async def head(self, tag: str) -> L1BlockRef:
        """The block at "latest", "safe" or "finalized"; `Temporary` while there is none."""
        found = await self._call.call("eth_getBlockByNumber", tag, False)
        if found is None:
            raise Temporary(f"L1 has no {tag} block")
        return _ref(Header.from_json(found))

    async def ref_by_number(self, number: int) -> L1BlockRef | None:
        found = await self._call.call("eth_getBlockByNumber", hex(number), False)
        if found is None:
            return None
        ref = _ref(Header.from_json(found))
        require(ref.number == number, f"L1 answered block {ref.number} for {number}")
        return ref

    async def block(self, block_hash: bytes) -> L1Block:
        """Transactions and logs, proven by the header of this hash. Raises `Temporary` while the
        node does not have it, `Malformed` when what it tells is not that block."""
        known = self._blocks.get(block_hash)
        if known is not None:
            self._blocks.move_to_end(block_hash)
            return known
        found = await self._call.call("eth_getBlockByHash", from_bytes(block_hash), True)
        if found is None:
            raise Temporary(f"L1 does not have block {from_bytes(block_hash)}")
        header = Header.from_json(found)
        require(header.hash == block_hash, "L1 answered another block")
        sent = _transactions(found)
        root = trie_root([transactions.encode(one) for one in sent])
        require(root == header.transactions_root, "not the transactions of the L1 block")
        receipts = await self._receipts(block_hash, sent)
        root = trie_root([_receipt(one) for one in receipts])
        require(root == header.receipts_root, "not the receipts of the L1 block")
        block = self._read(header, block_hash, sent, receipts)
        self._blocks[block_hash] = block
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return block

    async def _receipts(self, block_hash: bytes, sent: list[Json]) -> list[Json]:
        if not sent:
            return []
        try:
            found = await self._call.call("eth_getBlockReceipts", from_bytes(block_hash))
        except Refused as error:
            if getattr(error, "code", None) != METHOD_NOT_FOUND:
                raise Temporary(f"L1 refuses the receipts of a block: {error}") from error
            hashes = [one.get("hash") for one in sent]
            found = [await self._call.call("eth_getTransactionReceipt", h) for h in hashes]
        if found is None or (isinstance(found, list) and None in found):
            raise Temporary(f"L1 has no receipts of block {from_bytes(block_hash)}")
        require(isinstance(found, list) and len(found) == len(sent), "not one receipt each")
        return [fields(one, "receipt") for one in found]

    def _read(
        self, header: Header, block_hash: bytes, sent: list[Json], receipts: list[Json]
    ) -> L1Block:
        excess = header.excess_blob_gas
        return L1Block(
            ref=L1BlockRef(block_hash, header.number, header.parent_hash, header.timestamp),
            base_fee=header.base_fee or 0,
            blob_base_fee=1 if excess is None else blob_base_fee(excess, self._fraction(header)),
            mix_hash=header.mix_hash,
            parent_beacon_root=header.parent_beacon_block_root or bytes(32),
            transactions=tuple([self._transaction(one) for one in sent]),
            logs=_logs(receipts),
        )

    def _transaction(self, found: Json) -> L1Transaction:
        to = transactions.to(found)
        asked = self._inbox in (None, to)
        return L1Transaction(
            hash=keccak(transactions.encode(found)),
            sender=transactions.recover(found) if asked else data(found.get("from"), 20, "from"),
            to=to,
            data=data(found.get("input"), name="input"),
            blob_hashes=transactions.blob_hashes(found),
            kind=transactions.type_of(found),
        )


def blob_base_fee(excess: int, fraction: int) -> int:
    """Wei per blob gas: `fake_exponential(1, excess, fraction)` of EIP-4844.  `Malformed` for an
    excess that no L1 can reach, with which this would not end soon."""
    require(excess <= EXCESS_FRACTIONS_MAX * fraction, f"excess blob gas of {excess}")
    total, term, step = 0, fraction, 1
    while term > 0:
        total += term
        term = term * excess // (fraction * step)
        step += 1
    return total // fraction


def _ref(header: Header) -> L1BlockRef:
    return L1BlockRef(header.hash, header.number, header.parent_hash, header.timestamp)


def _transactions(block: Json) -> list[Json]:
    found = block.get("transactions")
    if not isinstance(found, list):
        raise Malformed("an L1 block without transactions")
    require(len(found) <= TRANSACTIONS_MAX, f"{len(found)} transactions in one L1 block")
    return [fields(one, "transaction") for one in found]


def _receipt(found: Json) -> bytes:
    """The consensus encoding (EIP-2718): status or root, gas, bloom, logs."""
    kind = transactions.type_of(found)
    root = found.get("root")
    early = root is not None and found.get("status") is None  # before Byzantium
    body = strict.encode(
        [
            data(root, 32, "root") if early else quantity(found.get("status"), 8, "status"),
            quantity(found.get("cumulativeGasUsed"), name="cumulativeGasUsed"),
            data(found.get("logsBloom"), 256, "logsBloom"),
            [list(_log(one)) for one in _log_list(found)],
        ]
    )
    return bytes([kind]) + body if kind else body


def _log_list(receipt: Json) -> list[Json]:
    found = receipt.get("logs")
    if not isinstance(found, list):
        raise Malformed("a receipt without logs")
    require(len(found) <= LOGS_MAX, f"{len(found)} logs in one receipt")
    return [fields(one, "log") for one in found]


def _log(found: Json) -> tuple[bytes, tuple[bytes, ...], bytes]:
    topics = data_list(found.get("topics"), TOPICS_MAX, "topics")
    require(all(len(topic) == 32 for topic in topics), "a topic has 32 bytes")
    return data(found.get("address"), 20, "address"), topics, data(found.get("data"), name="data")


def _logs(receipts: list[Json]) -> tuple[L1Log, ...]:
    """Counted over the whole block: the receipts are proven, the numbers in them are not."""
    found = [(at, _log(one)) for at, receipt in enumerate(receipts) for one in _log_list(receipt)]
    return tuple([L1Log(*parts, index, at) for index, (at, parts) in enumerate(found)])
