"""eth_* methods about accounts: balances, code, storage, nonces and their proofs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from rollup.engine import proofs
from rollup.engine.formats import data, hexadecimal
from rollup.engine.lookup import Lookup

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class EthAccounts:
    lookup: Lookup
    room: trio.CapacityLimiter

    def methods(self) -> dict[str, Method]:
        return {
            "eth_accounts": list,
            "eth_getBalance": self.balance,
            "eth_getCode": self.code,
            "eth_getStorageAt": self.storage,
            "eth_getTransactionCount": self.nonce,
            "eth_getProof": self.proof,
        }

    def balance(self, address: Any, tag: Any = "latest") -> str:
        return hex(self.lookup.state(tag).get_balance(data(address, 20, "address")))

    def code(self, address: Any, tag: Any = "latest") -> str:
        return hexadecimal(self.lookup.state(tag).get_code(data(address, 20, "address")))

    def storage(self, address: Any, slot: Any, tag: Any = "latest") -> str:
        where = data(address, 20, "address")
        value: int = self.lookup.state(tag).get_storage(where, proofs.read_slot(slot))
        return hexadecimal(value.to_bytes(32, "big"))

    def nonce(self, address: Any, tag: Any = "latest") -> str:
        sender = data(address, 20, "address")
        nonce: int = self.lookup.state(tag).get_nonce(sender)
        return hex(self.lookup.pool.next_nonce(sender, nonce) if tag == "pending" else nonce)

    async def proof(self, address: Any, slots: Any, tag: Any = "latest") -> Any:
        where, keys = data(address, 20, "address"), proofs.read_slots(slots)
        root = self.lookup.stateful(tag).header.state_root
        return await trio.to_thread.run_sync(
            proofs.prove, self.lookup.chain.trie_nodes, root, where, keys, limiter=self.room
        )
