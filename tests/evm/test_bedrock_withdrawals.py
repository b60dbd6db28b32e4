"""The way back: started on the L2, proven and paid on the L1; forged, early, replayed refused."""

from dataclasses import dataclass, replace

import pytest
import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie

from contracts.bedrock import portal
from contracts.bedrock.deploy import addresses
from contracts.bedrock.genesis import ADMIN, IMPLEMENTATION, L2Setup, l2_genesis, predeploy
from rollup.codec.output import (
    MESSAGE_PASSER,
    Withdrawal,
    output_root,
    withdrawal_from_log,
)
from rollup.codec.refs import L1Log
from rollup.codec.trie import secure_root, spelled_out
from tests.evm.bedrock_chain import CHALLENGER, DEPLOYER, L1, L2, PERIOD, PROPOSER, Raw
from tests.evm.embedded import Reverted

USER, FRIEND, STRANGER = b"\x05" * 20, b"\x06" * 20, b"\x99" * 20
AMOUNT = 2 * 10**18
STATE_ROOT, BLOCK_HASH = b"\x51" * 32, b"\xb1" * 32
NONCE_SLOT = 1


@dataclass
class Crossing:
    """A withdrawal on both chains, its output proposed."""

    l1: L1
    withdrawal: Withdrawal
    storage_root: bytes
    nodes: list[bytes]

    def prove(self, withdrawal: Withdrawal | None = None, **changes: object) -> None:
        parts = (bytes(32), STATE_ROOT, self.storage_root, BLOCK_HASH)
        values = {"output": parts, "nodes": self.nodes, "index": 0, **changes}
        call = portal.prove(
            *(self.l1.where, plain(withdrawal or self.withdrawal), values["index"]),
            values["output"],
            values["nodes"],
        )
        self.l1.execute(*call, STRANGER)

    def finalize(self, withdrawal: Withdrawal | None = None) -> None:
        self.l1.execute(
            *portal.finalize(self.l1.where, plain(withdrawal or self.withdrawal)), STRANGER
        )

    def held(self, owner: bytes) -> int:
        return int(self.l1.read("OPEN", "balanceOf", owner))


@pytest.fixture
def crossing() -> Crossing:
    """A deposit of 5 OPEN, and 2 of them on the way back to a friend."""
    l1 = L1([(USER, 10**20)])
    l1.execute(*portal.approve(l1.where, 5 * 10**18), USER)
    l1.execute(*portal.deposit(l1.where, USER, 5 * 10**18), USER)
    setup = L2Setup(l1=l1.where, owner=DEPLOYER, fee_recipient=DEPLOYER, timestamp=l1.time)
    l2 = L2(l2_genesis(setup), {"L2ToL1MessagePasser": MESSAGE_PASSER})
    (log,) = l2.execute(*portal.initiate(FRIEND), USER, AMOUNT)
    withdrawal = withdrawal_from_log(L1Log(log.address, log.topics, log.data, 0))
    slots = [int.from_bytes(withdrawal.slot, "big"), NONCE_SLOT, IMPLEMENTATION, ADMIN]
    root, nodes = storage_proof(Raw(l2), slots, withdrawal.slot)
    propose(l1, output_root(STATE_ROOT, root, BLOCK_HASH), 4)
    return Crossing(l1, withdrawal, root, nodes)


def propose(l1: L1, root: bytes, block: int) -> None:
    l1.warp(max(0, l1.setup.l2_genesis_time + 2 * block + 1 - l1.time))
    l1.call("L2OutputOracle", "proposeL2Output", root, block, bytes(32), 0, sender=PROPOSER)


def storage_proof(l2: Raw, slots: list[int], wanted: bytes) -> tuple[bytes, list[bytes]]:
    """Root and proof of the message passer's whole storage, by a trie of another author."""
    trie = HexaryTrie({})
    pairs = []
    for slot in slots:
        value = l2.storage(MESSAGE_PASSER, slot)
        key = slot.to_bytes(32, "big")
        pairs.append((key, rlp.encode(value)))
        trie[keccak(key)] = rlp.encode(value)
    assert trie.root_hash == secure_root(pairs)
    return trie.root_hash, [rlp.encode(node) for node in trie.get_proof(keccak(wanted))]


def plain(withdrawal: Withdrawal) -> portal.Withdrawal:
    w = withdrawal
    return (w.nonce, w.sender, w.target, w.value, w.gas_limit, w.data)


def test_a_proven_withdrawal_is_paid_once(crossing: Crossing) -> None:
    assert crossing.withdrawal.sender == USER
    assert crossing.withdrawal.value == AMOUNT

    crossing.prove()
    crossing.l1.warp(PERIOD + 1)
    crossing.finalize()

    assert crossing.held(FRIEND) == AMOUNT
    assert crossing.l1.read("OptimismPortal", "finalizedWithdrawals", crossing.withdrawal.hash)
    assert crossing.l1.read("OptimismPortal", "balance") == 3 * 10**18
    with pytest.raises(Reverted, match="withdrawal has already been finalized"):
        crossing.finalize()
    with pytest.raises(Reverted, match="withdrawal hash has already been proven"):
        crossing.prove()
    assert crossing.held(FRIEND) == AMOUNT


def test_a_forged_withdrawal_is_refused(crossing: Crossing) -> None:
    """Each field changed in turn, proven with the honest proof."""
    honest = crossing.withdrawal
    forged = (
        replace(honest, value=AMOUNT + 1),
        replace(honest, target=STRANGER),
        replace(honest, sender=STRANGER),
        replace(honest, nonce=honest.nonce + 1),
        replace(honest, gas_limit=honest.gas_limit + 1),
        replace(honest, data=b"\x01"),
    )
    for each in forged:
        with pytest.raises(Reverted):
            crossing.prove(each)
        with pytest.raises(Reverted, match="has not been proven yet"):
            crossing.finalize(each)

    crossing.prove()
    crossing.l1.warp(PERIOD + 1)
    for each in forged:
        with pytest.raises(Reverted, match="has not been proven yet"):
            crossing.finalize(each)


def test_a_forged_proof_is_refused(crossing: Crossing) -> None:
    nodes = crossing.nodes
    parts = (bytes(32), STATE_ROOT, crossing.storage_root, BLOCK_HASH)
    for at in range(4):
        changed = tuple(b"\x66" * 32 if i == at else part for i, part in enumerate(parts))
        with pytest.raises(Reverted, match="invalid output root proof"):
            crossing.prove(output=changed)
    for cut in (nodes[:-1], nodes[1:], [*nodes, nodes[-1]], []):
        with pytest.raises(Reverted):
            crossing.prove(nodes=cut)
    with pytest.raises(Reverted):
        crossing.prove(index=1)  # no such output


def test_nobody_is_paid_before_the_period(crossing: Crossing) -> None:
    with pytest.raises(Reverted, match="withdrawal has not been proven yet"):
        crossing.finalize()
    crossing.prove()
    for seconds in (0, PERIOD - 1, 1):
        crossing.l1.warp(seconds)
        with pytest.raises(Reverted, match="finalization period has not elapsed"):
            crossing.finalize()
    crossing.l1.warp(1)

    crossing.finalize()


def test_a_deleted_output_takes_its_proofs_along(crossing: Crossing) -> None:
    """The challenger deletes it; against the next one the same withdrawal is proven anew."""
    crossing.prove()
    crossing.l1.call("L2OutputOracle", "deleteL2Outputs", 0, sender=CHALLENGER)
    crossing.l1.warp(PERIOD + 1)
    with pytest.raises(Reverted):
        crossing.finalize()
    propose(crossing.l1, b"\x0b" * 32, 4)
    with pytest.raises(Reverted, match="not the same as current output root"):
        crossing.finalize()
    propose(crossing.l1, output_root(STATE_ROOT, crossing.storage_root, BLOCK_HASH), 8)

    crossing.prove(index=1)
    crossing.l1.warp(PERIOD + 1)
    crossing.finalize()

    assert crossing.held(FRIEND) == AMOUNT


def test_a_node_that_its_parent_holds_is_spelled_out(crossing: Crossing) -> None:
    """eth_getProof leaves it out, the portal asks for it: a neighbour that shares 58 digits of the
    path makes the last branch hold the withdrawal's leaf."""
    path = keccak(crossing.withdrawal.slot)
    neighbour = path[:29] + bytes(byte ^ 0xFF for byte in path[29:])
    trie = HexaryTrie({})
    for key in (path, neighbour, b"\x12" * 32, b"\x7f" * 32):
        trie[key] = b"\x01"
    bare = [rlp.encode(node) for node in trie.get_proof(path)]
    bare = [node for node in bare if len(node) >= 32]
    crossing.storage_root = trie.root_hash
    propose(crossing.l1, output_root(STATE_ROOT, trie.root_hash, BLOCK_HASH), 8)
    with pytest.raises(Reverted):
        crossing.prove(nodes=bare, index=1)
    spelled = spelled_out(trie.root_hash, crossing.withdrawal.slot, bare)
    assert len(spelled) > len(bare)

    crossing.prove(nodes=list(spelled), index=1)


def test_only_the_proposer_proposes_what_has_happened(crossing: Crossing) -> None:
    l1 = crossing.l1
    with pytest.raises(Reverted, match="only the proposer"):
        l1.call("L2OutputOracle", "proposeL2Output", b"\x01" * 32, 8, bytes(32), 0, sender=USER)
    with pytest.raises(Reverted, match="in the future"):
        l1.call("L2OutputOracle", "proposeL2Output", b"\x01" * 32, 8, bytes(32), 0, sender=PROPOSER)
    with pytest.raises(Reverted, match="must be equal to next expected"):
        l1.call("L2OutputOracle", "proposeL2Output", b"\x01" * 32, 9, bytes(32), 0, sender=PROPOSER)


def test_the_message_passer_is_where_everybody_looks() -> None:
    assert MESSAGE_PASSER == portal.MESSAGE_PASSER == predeploy("L2ToL1MessagePasser")
    assert predeploy("L1Block") == portal.L1_BLOCK
    assert addresses(L1().setup)["OPEN"]
