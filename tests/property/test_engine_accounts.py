"""Our account database does what py-evm's does: same reads, same reverts, same roots."""

from typing import Any

from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup.engine.accounts import Accounts
from rollup.engine.statetrie import Items

ADDRESSES = [bytes([n]) * 20 for n in (1, 2, 3)]
addresses = st.sampled_from(ADDRESSES)
slots = st.sampled_from([0, 1, 2**255, 2**256 - 1])
OPERATIONS = st.one_of(
    st.tuples(st.just("set_balance"), addresses, st.sampled_from([0, 1, 2**256 - 1])),
    st.tuples(st.just("set_nonce"), addresses, st.sampled_from([0, 1, 2**64 - 1])),
    st.tuples(st.just("set_code"), addresses, st.sampled_from([b"\x00", b"code" * 20])),
    st.tuples(st.just("set_storage"), addresses, slots, st.sampled_from([0, 1, 2**256 - 1])),
    st.tuples(st.just("delete_account"), addresses),
    st.tuples(st.just("touch_account"), addresses),
    st.tuples(st.just("mark_storage_warm"), addresses, slots),
    st.tuples(st.just("mark_address_warm"), addresses),
    st.tuples(st.sampled_from(["record", "discard", "commit"])),
    st.tuples(st.sampled_from(["lock", "root", "persist"])),
)


class Memory(MemoryDB):
    def __init__(self) -> None:
        super().__init__()
        self.split_nodes: dict[bytes, Items] = {}


class Both:
    def __init__(self) -> None:
        ours: Any = Accounts
        self.pair: list[Any] = [AccountDB(AtomicDB(MemoryDB())), ours(Memory())]
        self.checkpoints: list[tuple[Any, Any]] = []
        self.deleted: set[bytes] = set()  # in this transaction, whose end deletes and then locks

    def do(self, name: str, *args: Any) -> None:
        match name:
            case "record":
                self.checkpoints.append((self.pair[0].record(), self.pair[1].record()))
            case "discard" | "commit":
                if self.checkpoints:
                    for database, at in zip(self.pair, self.checkpoints.pop(), strict=True):
                        getattr(database, name)(at)
            case "lock" | "root" | "persist":  # between transactions only
                while self.checkpoints:
                    self.do("commit")
                self.deleted.clear()
                for database in self.pair:
                    database.lock_changes()
                    if name != "lock":
                        database.make_state_root()
                    if name == "persist":
                        database.persist()
            case _:
                if name == "delete_account":
                    self.deleted.add(args[0])
                for database in self.pair:
                    getattr(database, name)(*args)

    def seen(self, place: int) -> Any:
        database = self.pair[place]
        return [
            (
                database.get_balance(address),
                database.get_nonce(address),
                database.get_code(address),
                database.account_exists(address),
                database.account_is_empty(address),
                database.account_has_code_or_nonce(address),
                database.is_address_warm(address),
                [
                    (
                        database.get_storage(address, slot),
                        address in self.deleted
                        or database.get_storage(address, slot, from_journal=False),
                        database.is_storage_warm(address, slot),
                    )
                    for slot in (0, 1, 2**255, 2**256 - 1)
                ],
            )
            for address in ADDRESSES
        ]


@given(st.lists(OPERATIONS, max_size=40))
@settings(max_examples=400, deadline=None)
def test_both_see_the_same_after_any_history(operations: list[tuple[Any, ...]]) -> None:
    both = Both()
    for operation in operations:
        both.do(*operation)

        assert both.seen(0) == both.seen(1)
    both.do("persist")
    assert both.pair[0].state_root == both.pair[1].state_root
