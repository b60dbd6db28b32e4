"""Accounts and storage above one state root, for py-evm: a plain undo log over the batched trie.

It takes the place of py-evm's own account database, whose layers of journals and whose trie in
lists cost more than the interpretation of most transactions. What is read is kept until `persist`.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from eth.abc import AccountDatabaseAPI
from eth_hash.auto import keccak
from trie.exceptions import MissingTrieNode

from rollup.engine.statetrie import (
    EMPTY_ROOT,
    Items,
    Nodes,
    Writer,
    get,
    list_of,
    payload,
    split,
    string,
)

EMPTY_CODE: Final = keccak(b"")
UINT64_MAX: Final = 2**64 - 1
ABSENT: Final = object()
UINT256_MAX: Final = 2**256 - 1


class Account(NamedTuple):
    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes

    def encode(self) -> bytes:
        items = (_number(self.nonce), _number(self.balance))
        return list_of((*items, b"\xa0" + self.storage_root, b"\xa0" + self.code_hash))

    @staticmethod
    def decode(value: bytes) -> "Account":
        nonce, balance, root, code = (payload(item) for item in split(value))
        return Account(int.from_bytes(nonce, "big"), int.from_bytes(balance, "big"), root, code)


NEW: Final = Account(0, 0, EMPTY_ROOT, EMPTY_CODE)


class Database(Protocol):
    """Trie nodes and code by hash; `split_nodes` is the cache that outlives a block."""

    @property
    def split_nodes(self) -> dict[bytes, Items]: ...

    def __getitem__(self, key: bytes) -> bytes: ...

    def __setitem__(self, key: bytes, value: bytes) -> None: ...

    def __contains__(self, key: object) -> bool: ...


class Accounts(AccountDatabaseAPI):
    """py-evm's `account_db_class`. Raises py-trie's `MissingTrieNode` where a node is not there."""

    def __init__(self, db: Database, state_root: bytes = EMPTY_ROOT) -> None:
        self._db = db
        self._root = state_root
        self._nodes = Nodes(self._read, db.split_nodes)
        self._fresh: dict[bytes, bytes] = {}  # nodes and code made since the last persist
        self._accounts: dict[bytes, Account | None] = {}
        self._codes: dict[bytes, bytes] = {}  # by hash, those that were run
        self._storage: dict[bytes, dict[int, int]] = {}
        self._dirty: dict[bytes, set[int]] = {}  # accounts, with the slots that may have changed
        self._before: dict[tuple[bytes, int], int] = {}  # slots as the transaction found them
        self._transient: dict[tuple[bytes, int], bytes] = {}  # EIP-1153
        self._warm: dict[Any, bool] = {}
        self._log: list[tuple[dict[Any, Any], Any, Any]] = []  # where, key, what stood there

    # reading

    @property
    def state_root(self) -> Any:
        return self._root

    @state_root.setter
    def state_root(self, value: Any) -> None:
        if value != self._root:
            raise AssertionError("a state goes back by its checkpoints, not to another root")

    def has_root(self, state_root: bytes) -> bool:
        return state_root == EMPTY_ROOT or state_root in self._db

    def account(self, address: bytes) -> Account | None:
        try:
            return self._accounts[address]
        except KeyError:
            value = self._look(self._root, keccak(address))
            found = None if value is None else Account.decode(value)
            self._accounts[address] = found
            return found

    def _look(self, root: bytes, key: bytes) -> bytes | None:
        try:
            return get(self._nodes, root, key)
        except KeyError as error:
            raise _missing(error, root, key) from None

    def _read(self, node_hash: bytes) -> bytes:
        found = self._fresh.get(node_hash)
        return self._db[node_hash] if found is None else found

    def get_storage(self, address: Any, slot: int, from_journal: bool = True) -> int:
        if not from_journal and (address, slot) in self._before:
            return self._before[address, slot]
        slots = self._storage.setdefault(address, {})
        value = slots.get(slot)
        if value is None:
            root = (self.account(address) or NEW).storage_root
            found = None
            if root != EMPTY_ROOT:
                found = self._look(root, keccak(slot.to_bytes(32, "big")))
            value = 0 if found is None else int.from_bytes(payload(found), "big")
            slots[slot] = value
        return value

    def storage_root(self, address: bytes) -> bytes:
        """As of the last `make_state_root`."""
        return (self.account(address) or NEW).storage_root

    def get_balance(self, address: Any) -> int:
        return (self.account(address) or NEW).balance

    def get_nonce(self, address: Any) -> int:
        return (self.account(address) or NEW).nonce

    def get_code_hash(self, address: Any) -> Any:
        return (self.account(address) or NEW).code_hash

    def get_code(self, address: Any) -> bytes:
        code_hash = (self.account(address) or NEW).code_hash
        if code_hash == EMPTY_CODE:
            return b""
        known = self._codes.get(code_hash)
        if known is not None:
            return known
        try:
            found = self._codes[code_hash] = self._read(code_hash)
            return found
        except KeyError as error:
            raise _missing(error, self._root, address) from None

    def account_exists(self, address: Any) -> bool:
        return self.account(address) is not None

    def account_has_code_or_nonce(self, address: Any) -> bool:
        found = self.account(address) or NEW
        return found.nonce != 0 or found.code_hash != EMPTY_CODE

    def account_is_empty(self, address: Any) -> bool:
        found = self.account(address) or NEW
        return found.nonce == 0 and found.balance == 0 and found.code_hash == EMPTY_CODE

    # changing

    def _set(self, address: bytes, new: Account | None) -> None:
        old = self.account(address)
        if address not in self._dirty:
            self._dirty[address] = set()
        self._accounts[address] = new
        self._log.append((self._accounts, address, old))

    def set_storage(self, address: Any, slot: int, value: int) -> None:
        _bounded(value, UINT256_MAX)
        old = self.get_storage(address, slot)
        self._before.setdefault((address, slot), old)
        self._dirty.setdefault(address, set()).add(slot)
        slots = self._storage[address]
        slots[slot] = value
        self._log.append((slots, slot, old))

    def delete_storage(self, address: Any) -> None:
        slots = self._storage.get(address, {})
        self._storage[address] = {}
        self._log.append((self._storage, address, slots))
        found = self.account(address)
        if found is not None:
            self._set(address, found._replace(storage_root=EMPTY_ROOT))

    def set_balance(self, address: Any, balance: int) -> None:
        _bounded(balance, UINT256_MAX)
        old = self.account(address) or NEW
        self._set(address, Account(old.nonce, balance, old.storage_root, old.code_hash))

    def pay(self, address: bytes, amount: int) -> None:
        """Take `amount` from an account and count one transaction of it."""
        old = self.account(address) or NEW
        _bounded(old.balance - amount, UINT256_MAX)
        self._set(
            address,
            Account(old.nonce + 1, old.balance - amount, old.storage_root, old.code_hash),
        )

    def set_nonce(self, address: Any, nonce: int) -> None:
        _bounded(nonce, UINT64_MAX)
        old = self.account(address) or NEW
        self._set(address, Account(nonce, old.balance, old.storage_root, old.code_hash))

    def increment_nonce(self, address: Any) -> None:
        self.set_nonce(address, self.get_nonce(address) + 1)

    def set_code(self, address: Any, code: bytes) -> None:
        code_hash = keccak(code)
        self._fresh[code_hash] = code
        self._set(address, (self.account(address) or NEW)._replace(code_hash=code_hash))

    def delete_code(self, address: Any) -> None:
        self._set(address, (self.account(address) or NEW)._replace(code_hash=EMPTY_CODE))

    def delete_account(self, address: Any) -> None:
        self.delete_storage(address)
        self._set(address, None)

    def touch_account(self, address: Any) -> None:
        self._set(address, self.account(address) or NEW)

    # EIP-1153

    def get_transient(self, address: bytes, slot: int) -> bytes:
        return self._transient.get((address, slot), b"")

    def set_transient(self, address: bytes, slot: int, value: bytes) -> None:
        old = self.get_transient(address, slot)
        self._transient[address, slot] = value
        self._log.append((self._transient, (address, slot), old))

    def clear_transient(self) -> None:
        self._transient.clear()

    # EIP-2929

    def is_storage_warm(self, address: Any, slot: int) -> bool:
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: Any, slot: int) -> None:
        self._mark((address, slot))

    def is_address_warm(self, address: Any) -> bool:
        return address in self._warm

    def mark_address_warm(self, address: Any) -> None:
        self._mark(address)

    def _mark(self, what: Any) -> None:
        if what not in self._warm:
            self._warm[what] = True
            self._log.append((self._warm, what, ABSENT))

    # checkpoints

    def record(self) -> Any:
        return len(self._log)

    def discard(self, checkpoint: Any) -> None:
        while len(self._log) > checkpoint:
            where, key, old = self._log.pop()
            if old is ABSENT:
                where.pop(key, None)
            else:
                where[key] = old

    def commit(self, checkpoint: Any) -> None:
        pass  # an outer checkpoint may still want all of it back

    def lock_changes(self) -> None:
        """The transaction is over: nothing is warm, and what it left is the next one's original."""
        self._before.clear()
        self._warm.clear()

    # roots

    def make_state_root(self) -> Any:
        """Hash what changed; checkpoints taken before are void."""
        writer = Writer(self._nodes)
        changes: dict[bytes, bytes | None] = {}
        try:
            for address, slots in self._dirty.items():
                found, known = self.account(address), self._storage.get(address, {})
                if found is None and any(known.get(slot) for slot in slots):
                    found = NEW
                if found is not None and slots:
                    found = self._rooted(writer, address, found, slots)
                changes[keccak(address)] = None if found is None else found.encode()
            self._root = writer.update(self._root, changes)
        except KeyError as error:
            raise _missing(error, self._root, b"") from None
        self._fresh |= writer.added
        self._dirty.clear()
        self._log.clear()
        return self._root

    def _rooted(
        self, writer: Writer, address: bytes, found: Account, slots: Iterable[int]
    ) -> Account:
        known = self._storage[address]
        values = ((slot, known.get(slot, 0)) for slot in slots)
        changes = {
            keccak(slot.to_bytes(32, "big")): _number(value) if value else None
            for slot, value in values
        }
        rooted = found._replace(storage_root=writer.update(found.storage_root, changes))
        self._accounts[address] = rooted
        return rooted

    def persist(self) -> Any:
        """Hand the new nodes and code to the database."""
        self.make_state_root()
        for key, value in self._fresh.items():
            self._db[key] = value
        self._fresh.clear()


def _number(value: int) -> bytes:
    return string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _bounded(value: int, limit: int) -> None:
    if not 0 <= value <= limit:
        raise OverflowError(f"{value} is not between 0 and {limit}")


def _missing(error: KeyError, root: bytes, key: bytes) -> MissingTrieNode:
    new: Any = MissingTrieNode
    found: MissingTrieNode = new(error.args[0], root, key, None)
    return found
