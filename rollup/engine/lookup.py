"""Which block, state or transaction a parameter of a call means."""

from dataclasses import dataclass
from typing import Any, Final

from rollup.engine.chain import Chain
from rollup.engine.errors import INVALID_PARAMS, SERVER_ERROR, Failure
from rollup.engine.formats import data, quantity
from rollup.engine.mempool import Mempool
from rollup.engine.values import Block

HEIGHT_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class Lookup:
    """The chain and the pool, asked in the words of JSON-RPC.

    No block is pending: blocks are built when the driver asks, so `pending` means the latest block,
    with the pool's transactions only counted for nonces.
    """

    chain: Chain
    pool: Mempool

    @property
    def chain_id(self) -> int:
        return self.chain.genesis.chain_id

    def number(self, tag: Any) -> int | None:
        """A block number that exists, None for one beyond the head. Raises `Failure`."""
        head = self.chain.head.number
        if tag in ("latest", "pending"):
            return head
        if tag == "safe":
            return self.chain.safe.number
        if tag == "finalized":
            return self.chain.finalized.number
        if tag == "earliest":
            return self.chain.genesis.number
        number = quantity(tag, HEIGHT_BITS, "block number")
        return number if number <= head else None

    def block(self, tag: Any) -> Block | None:
        """The block of a tag, a number, a hash or an EIP-1898 object; None if there is none."""
        if isinstance(tag, dict):
            return self._eip1898(tag)
        if isinstance(tag, str) and len(tag) == 66:
            return self.by_hash(data(tag, 32, "block hash"))
        number = self.number(tag)
        return None if number is None else self.chain.blocks.block(number)

    def known(self, tag: Any) -> Block:
        """As `block`. Raises `Failure` in geth's words when there is none."""
        block = self.block(tag)
        if block is None:
            raise Failure(SERVER_ERROR, "header not found")
        return block

    def by_hash(self, block_hash: bytes) -> Block | None:
        return self.chain.blocks.by_hash(block_hash)

    def stateful(self, tag: Any) -> Block:
        """As `known`. Raises `Failure` also when the state after the block was pruned."""
        block = self.known(tag)
        if not self.chain.has_state(block.header):
            raise Failure(
                SERVER_ERROR,
                f"missing trie node {block.header.state_root.hex()}: this state is not kept",
            )
        return block

    def state(self, tag: Any) -> Any:
        return self.chain.state(self.stateful(tag).header)

    def _eip1898(self, tag: dict[str, Any]) -> Block | None:
        if ("blockHash" in tag) == ("blockNumber" in tag):
            raise Failure(
                INVALID_PARAMS, "invalid argument: give either blockHash or blockNumber (EIP-1898)"
            )
        if "blockNumber" in tag:
            number = self.number(tag["blockNumber"])
            return None if number is None else self.chain.blocks.block(number)
        block = self.by_hash(data(tag["blockHash"], 32, "block hash"))
        strict = tag.get("requireCanonical") is True
        if block is not None and strict and not self.chain.blocks.is_canonical(block.hash):
            raise Failure(SERVER_ERROR, "hash is not currently canonical")
        return block
