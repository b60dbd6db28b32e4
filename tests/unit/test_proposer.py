"""The proposer: each output once, at its time, to an oracle or as a game."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_abi import decode, encode
from eth_hash.auto import keccak

from protocol.errors import Refused, Temporary
from rollup.proposer import Games, Oracle, Proposer
from tests.rollup_rig import Rig
from tests.sim.rollup_world import FINALITY, Outcome

ADDRESS = b"\x0a" * 20
INTERVAL = 5


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


@dataclass
class Contracts:
    """An L2OutputOracle and a DisputeGameFactory at once: the words they answer, and an outbox
    whose transactions are in when `include` says so."""

    outputs: list[tuple[int, bytes]] = field(default_factory=list)
    games: dict[bytes, bytes] = field(default_factory=dict)
    intents: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    ended: dict[str, Outcome] = field(default_factory=dict)

    @property
    def next_number(self) -> int:
        return (self.outputs[-1][0] if self.outputs else 0) + INTERVAL

    async def call(self, method: str, *params: Any) -> Any:
        assert method == "eth_call"
        data = bytes.fromhex(params[0]["data"][2:])
        if data[:4] == selector("nextBlockNumber()"):
            return "0x" + encode(["uint256"], [self.next_number]).hex()
        if data[:4] == selector("initBonds(uint32)"):
            assert decode(["uint32"], data[4:]) == (1,)
            return "0x" + encode(["uint256"], [77]).hex()
        assert data[:4] == selector("games(uint32,bytes32,bytes)")
        known = self.games.get(data[4:])
        answer = [known or bytes(20), 0]
        return "0x" + encode(["address", "uint64"], answer).hex()

    def intend(
        self, key: str, to: bytes, data: bytes, value: int = 0, gas: int | None = None
    ) -> None:
        assert to == ADDRESS
        assert self.intents.setdefault(key, (data, value)) == (data, value)

    def result(self, key: str) -> Outcome | None:
        if key not in self.intents:
            raise Refused("unknown")
        return self.ended.get(key)

    def include(self) -> None:
        for key, (data, _) in self.intents.items():
            if key in self.ended:
                continue
            self.ended[key] = Outcome()
            if data[:4] == selector("create(uint32,bytes32,bytes)"):
                assert data[4:] not in self.games, "the factory makes no game twice"
                self.games[data[4:]] = ADDRESS
            else:
                root, number, *_ = decode(["bytes32", "uint256", "bytes32", "uint256"], data[4:])
                assert number == self.next_number
                self.outputs.append((number, root))


async def final_rig(blocks: int = 12) -> Rig:
    rig = Rig()
    await rig.blocks(blocks)
    await rig.settle(4)
    await rig.mine(FINALITY)
    assert rig.heads.finalized.number >= blocks
    return rig


def proposer(rig: Rig, contracts: Contracts, target: Oracle | Games, **more: Any) -> Proposer:
    return Proposer(
        driver=rig.driver,
        engine=rig.engine,
        l1=contracts,
        sender=contracts,
        clock=rig.time,
        target=target,
        **more,
    )


async def test_outputs_go_to_the_oracle_one_after_the_other() -> None:
    rig, contracts = await final_rig(), Contracts()
    own = proposer(rig, contracts, Oracle(ADDRESS))

    for _ in range(6):
        await own.step()
        contracts.include()

    assert contracts.outputs == [(n, await rig.engine.output_root(n)) for n in (5, 10)]
    assert len(contracts.intents) == 2
    assert (own.tally.proposed, own.tally.last) == (2, 10)


async def test_an_output_is_bound_to_an_l1_block_that_was_derived_from() -> None:
    rig, contracts = await final_rig(), Contracts()
    await proposer(rig, contracts, Oracle(ADDRESS)).step()

    ((data, value),) = contracts.intents.values()
    _, number, l1_hash, l1_number = decode(["bytes32", "uint256", "bytes32", "uint256"], data[4:])
    block = await rig.l1.ref_by_number(l1_number)
    assert (number, value) == (5, 0)
    assert block is not None
    assert block.hash == l1_hash
    assert l1_number == rig.l1.tip.ref.number - 1


async def test_one_under_way_is_not_sent_again_nor_after_a_restart() -> None:
    rig, contracts = await final_rig(), Contracts()
    for _ in range(3):
        await proposer(rig, contracts, Oracle(ADDRESS)).step()

    assert len(contracts.intents) == 1


async def test_a_refused_output_is_tried_again() -> None:
    rig, contracts = await final_rig(), Contracts()
    own = proposer(rig, contracts, Oracle(ADDRESS))
    await own.step()
    contracts.ended[next(iter(contracts.intents))] = Outcome(False, reason="reorg")

    await own.step()
    contracts.include()

    assert len(contracts.intents) == 2
    assert contracts.outputs == [(5, await rig.engine.output_root(5))]


async def test_an_output_that_was_deleted_is_proposed_anew() -> None:
    rig, contracts = await final_rig(), Contracts()
    own = proposer(rig, contracts, Oracle(ADDRESS))
    await own.step()
    contracts.include()
    contracts.outputs.clear()

    await own.step()
    contracts.include()

    assert contracts.outputs == [(5, await rig.engine.output_root(5))]


async def test_only_what_is_final_is_proposed_unless_told_otherwise() -> None:
    rig, contracts = Rig(), Contracts()
    await rig.blocks(12)
    await rig.settle(4)
    assert rig.heads.finalized.number == 0
    assert rig.heads.safe.number >= 12

    await proposer(rig, contracts, Oracle(ADDRESS)).step()
    assert contracts.intents == {}
    await proposer(rig, contracts, Oracle(ADDRESS), on_safe=True).step()
    assert len(contracts.intents) == 1


async def test_a_block_of_the_future_is_not_proposed() -> None:
    """The oracle compares with the time of L1's newest block."""
    rig, contracts = await final_rig(), Contracts()
    contracts.outputs.append((rig.heads.finalized.number - INTERVAL, bytes(32)))
    number = contracts.next_number
    own = proposer(rig, contracts, Oracle(ADDRESS))
    own._driver.l1_view = type(own._driver.l1_view)(latest=rig.l1.blocks[0].ref)

    await own.step()

    assert number <= rig.heads.finalized.number
    assert contracts.intents == {}


async def test_a_game_is_made_at_each_interval_with_its_bond() -> None:
    rig, contracts = await final_rig(), Contracts()
    own = proposer(rig, contracts, Games(ADDRESS, 1, 4))
    for _ in range(4):
        await own.step()
        contracts.include()

    number = rig.heads.finalized.number // 4 * 4
    ((data, value),) = contracts.intents.values()
    assert value == 77
    assert data[:4] == selector("create(uint32,bytes32,bytes)")
    game_type, root, extra = decode(["uint32", "bytes32", "bytes"], data[4:])
    assert (game_type, root) == (1, await rig.engine.output_root(number))
    assert extra == number.to_bytes(32, "big")
    assert data[4:] == encode(["uint32", "bytes32", "bytes"], [game_type, root, extra])


async def test_a_game_that_somebody_else_made_is_left_alone() -> None:
    rig, contracts = await final_rig(), Contracts()
    number = rig.heads.finalized.number // 4 * 4
    root = await rig.engine.output_root(number)
    words = encode(["uint32", "bytes32", "bytes"], [1, root, number.to_bytes(32, "big")])
    contracts.games[words] = b"\x01" * 20

    await proposer(rig, contracts, Games(ADDRESS, 1, 4)).step()

    assert contracts.intents == {}


async def test_without_heads_it_waits() -> None:
    rig, contracts = Rig(), Contracts()
    with pytest.raises(Temporary):
        await proposer(rig, contracts, Oracle(ADDRESS)).step()
