"""Our reading of DataAvailabilityChallenge against the published contract, on our own L1 engine."""

from typing import Any

import pytest
from eth_hash.auto import keccak

from contracts import abi
from contracts.bedrock.published import artifact
from protocol.signature import address_of
from rollup.codec.refs import L1Block, L1BlockRef, L1Log, L1Transaction
from rollup.da.challenges import Challenges, Drop, LookAhead, Status, Take, Terms
from rollup.da.contract import INPUT_BYTES_MAX, challenge_call, resolve_call
from rollup.da.rest import keccak_commitment
from rollup.engine import execution
from rollup.engine.building import Fields
from rollup.engine.genesis import genesis, parse
from rollup.engine.transaction import included
from tests.engine_blocks import Blocks
from tests.evm_draw import signed

CHAIN_ID, START, GAS_LIMIT = 31_337, 1_700_000_000, 15_000_000
SECRET = b"\x0a" * 32
SENDER = address_of(SECRET)
WINDOW, RESOLVE, BOND = 4, 3, 10**15
DATA = b"\x00 frames" * 100
OURS = keccak_commitment(DATA)


def call(contract: str, function: str, *values: Any) -> bytes:
    entry = artifact(contract).functions[function]
    return abi.selector(entry) + abi.encode(entry["inputs"], values)


class Chain:
    """An L1 with the contract behind its proxy, and what derivation would see of each block."""

    def __init__(self) -> None:
        self.blocks = Blocks(parse(genesis(CHAIN_ID, {SENDER: 10**24}, START)))
        self.nonce = 0
        self.seen: list[L1Block] = []
        implementation = self._create("DataAvailabilityChallenge", b"")
        self.contract = self._create("Proxy", SENDER.rjust(32, b"\0"))
        setup = call(
            *("DataAvailabilityChallenge", "initialize"), SENDER, WINDOW, RESOLVE, BOND, 10
        )
        upgrade = call("Proxy", "upgradeToAndCall", implementation, setup)
        assert self.mine(self.sent(upgrade)) == [1]

    def _create(self, name: str, arguments: bytes) -> bytes:
        raw = self.sent(artifact(name).bytecode + arguments, to=b"", gas=4_000_000)
        assert self.mine(raw) == [1]
        return self.made

    def sent(self, data: bytes, to: bytes | None = None, gas: int = 2_000_000) -> bytes:
        fields: dict[str, Any] = {
            "chain_id": CHAIN_ID,
            "nonce": self.nonce,
            "tip": 0,
            "fee": 10**11,
            "gas": gas,
            "to": self.contract if to is None else to,
            "value": BOND if to is None and data[:4] == challenge_call(0, b"")[:4] else 0,
            "data": data,
        }
        self.nonce += 1
        return signed(SECRET, 2, **fields)

    def mine(self, *raws: bytes) -> list[int]:
        """The statuses of the transactions; the block is remembered as derivation reads it."""
        parent = self.blocks.head
        fields = Fields(parent.timestamp + 12, bytes(20), bytes(32), bytes(32), GAS_LIMIT, b"")
        assembly = self.blocks.assembly(fields)
        entered, why = self.blocks.offer(assembly, raws)
        assert len(entered) == len(raws), why
        block = self.blocks.add(assembly)
        transactions, logs = [], []
        for at, (raw, receipt) in enumerate(zip(raws, block.receipts, strict=True)):
            told = included(raw, CHAIN_ID)
            transactions.append(L1Transaction(told.hash, told.sender, told.to, told.data))
            for log in receipt.logs:
                logs.append(L1Log(log.address, log.topics, log.data, len(logs), at))
            self.made = receipt.created
        ref = L1BlockRef(block.hash, block.number, block.header.parent_hash, fields.timestamp)
        self.seen.append(L1Block(ref, 1, 1, bytes(32), bytes(32), tuple(transactions), tuple(logs)))
        return [receipt.status for receipt in block.receipts]

    def status(self, number: int, commitment: bytes) -> Status:
        """What the contract itself says at the head."""
        data = call("DataAvailabilityChallenge", "getChallengeStatus", number, commitment)
        parent = self.blocks.head
        fields = Fields(parent.timestamp + 12, bytes(20), bytes(32), bytes(32), GAS_LIMIT, b"")
        assembly = self.blocks.assembly(fields)
        transaction = included(self.sent(data), CHAIN_ID)
        self.nonce -= 1
        return Status(int.from_bytes(execution.apply(assembly.state, transaction).output, "big"))


@pytest.fixture
def chain() -> Chain:
    return Chain()


def follower(chain: Chain) -> Challenges:
    challenges = Challenges(Terms(chain.contract, WINDOW, RESOLVE))
    challenges.restart(chain.seen[0].ref)
    for block in chain.seen[1:]:
        challenges.advance(block)
    return challenges


def test_a_challenge_that_is_resolved(chain: Chain) -> None:
    assert chain.mine() == []
    inclusion = chain.seen[-1].ref
    challenges = follower(chain)
    assert challenges.judge(OURS, inclusion, None) == LookAhead(inclusion.number + 1)

    assert chain.mine(chain.sent(challenge_call(inclusion.number, OURS))) == [1]
    challenges.look_ahead(chain.seen[-1])
    assert challenges.status(OURS, inclusion.number) is Status.ACTIVE
    assert chain.mine(chain.sent(resolve_call(inclusion.number, OURS, DATA))) == [1]
    challenges.look_ahead(chain.seen[-1])

    assert challenges.status(OURS, inclusion.number) is Status.RESOLVED
    assert challenges.judge(OURS, inclusion, None) == Take(DATA)
    assert chain.status(inclusion.number, OURS) is Status.RESOLVED


def test_a_challenge_that_expires_when_the_contract_says_so(chain: Chain) -> None:
    """The contract still takes the data in block start + window; op-node has dropped it there
    unless it came earlier, or in that very block."""
    chain.mine()
    number = chain.seen[-1].ref.number
    chain.mine(chain.sent(challenge_call(number, OURS)))
    for _ in range(RESOLVE - 1):
        chain.mine()
    challenges = follower(chain)
    assert challenges.status(OURS, number) is Status.ACTIVE

    assert chain.status(number, OURS) is Status.ACTIVE  # as the next block would see it
    chain.mine()
    challenges.advance(chain.seen[-1])

    assert challenges.status(OURS, number) is Status.EXPIRED
    assert chain.status(number, OURS) is Status.EXPIRED
    assert isinstance(challenges.judge(OURS, chain.seen[-RESOLVE - 2].ref, DATA), Drop)
    late = chain.sent(resolve_call(number, OURS, DATA))
    assert chain.mine(late) == [0]


def test_resolved_in_the_last_block(chain: Chain) -> None:
    chain.mine()
    number = chain.seen[-1].ref.number
    chain.mine(chain.sent(challenge_call(number, OURS)))
    for _ in range(RESOLVE - 1):
        chain.mine()

    assert chain.mine(chain.sent(resolve_call(number, OURS, DATA))) == [1]

    assert follower(chain).status(OURS, number) is Status.RESOLVED


def test_what_the_contract_refuses_changes_nothing(chain: Chain) -> None:
    chain.mine()
    number = chain.seen[-1].ref.number
    false, other = keccak_commitment(b"x"), b"\x01" + bytes(32)
    refused = [
        challenge_call(number, other),
        challenge_call(number + 99, OURS),
        resolve_call(number, OURS, DATA),
        resolve_call(number, false, DATA),
    ]

    assert chain.mine(*map(chain.sent, refused)) == [0] * 4
    assert chain.mine(*[chain.sent(challenge_call(number, OURS)) for _ in range(2)]) == [1, 0]

    challenges = follower(chain)
    assert challenges.status(OURS, number) is Status.ACTIVE
    assert challenges.status(false, number) is Status.UNCHALLENGED


def test_the_largest_input_fits_into_one_transaction(chain: Chain) -> None:
    """op-alt-da's MaxInputSize: 130,672 bytes in the calldata of resolve."""
    data = keccak(b"no zeros") * (INPUT_BYTES_MAX // 32) + bytes(INPUT_BYTES_MAX % 32)
    commitment = keccak_commitment(data)
    chain.mine()
    number = chain.seen[-1].ref.number
    chain.mine(chain.sent(challenge_call(number, commitment)))

    raw = chain.sent(resolve_call(number, commitment, data), gas=8_000_000)

    assert len(raw) <= 128 * 1024
    assert chain.mine(raw) == [1]
    assert follower(chain).judge(commitment, chain.seen[-3].ref, None) == Take(data)
