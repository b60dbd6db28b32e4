"""Two chains in this process: the L1 with the bedrock contracts, the L2 as its genesis has it."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from eth_hash.auto import keccak

from contracts import abi
from contracts.bedrock.deploy import BedrockSetup, addresses, batch_inbox, steps
from contracts.bedrock.published import artifact
from contracts.bindings import reason
from contracts.deploy import Step, created
from tests.evm.embedded import Log, Reverted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import boa
    from boa.environment import Env
    from eth_utils import to_checksum_address

DEPLOYER, BATCHER, PROPOSER = b"\xde" * 20, b"\xba" * 20, b"\x9e" * 20
CHALLENGER, SIGNER = b"\xc4" * 20, b"\x51" * 20
FORTUNE = 10**24
GAS_MAX = 30_000_000
PERIOD = 12


class Contracts:
    """Contracts of a package on one chain; time stands still until `warp`."""

    def __init__(self, where: Mapping[str, bytes]) -> None:
        self.env = Env()
        self.where = dict(where)
        self.gas = 0

    @property
    def time(self) -> int:
        return int(self.env.evm.patch.timestamp)

    def warp(self, seconds: int) -> None:
        self.env.time_travel(seconds=seconds)

    def execute(self, to: bytes, data: bytes, sender: bytes, value: int = 0) -> list[Log]:
        self.env.set_balance(_address(sender), FORTUNE)
        done = self.env.execute_code(
            to_address=_address(to), sender=_address(sender), data=data, value=value, gas=GAS_MAX
        )
        self.gas = done.get_gas_used()
        if done.is_error:
            raise Reverted(reason(done.output))
        return [Log(*entry) for entry in done.get_log_entries()]

    def call(self, name: str, function: str, *values: Any, sender: bytes = DEPLOYER) -> list[Log]:
        return self.execute(self.where[name], call_data(name, function, *values), sender)

    def ask(self, to: bytes, data: bytes) -> bytes:
        done = self.env.execute_code(to_address=_address(to), data=data, gas=GAS_MAX)
        if done.is_error:
            raise Reverted(reason(done.output))
        return bytes(done.output)

    def read(self, name: str, function: str, *values: Any) -> Any:
        answer = self.ask(self.where[name], call_data(name, function, *values))
        found = abi.decode(_artifact(name).functions[function]["outputs"], answer)
        return found[0] if len(found) == 1 else tuple(found)


class L1(Contracts):
    """The L1 after all steps of the deployment."""

    def __init__(self, mints: Sequence[tuple[bytes, int]] = ()) -> None:
        super().__init__({})
        self.setup = BedrockSetup(
            deployer=DEPLOYER,
            batcher=BATCHER,
            proposer=PROPOSER,
            challenger=CHALLENGER,
            unsafe_block_signer=SIGNER,
            batch_inbox=batch_inbox(9017),
            l2_genesis_time=self.time,
            submission_interval=4,
            finalization_seconds=PERIOD,
            mints=mints,
        )
        self.where = addresses(self.setup)
        self.gas_of = dict[str, int]()
        self.run(steps(self.setup))

    def run(self, todo: Sequence[Step], nonce: int = 0) -> None:
        """The deployer's transactions, from his nonce on."""
        for at, step in enumerate(todo, nonce):
            if step.to is not None:
                self.execute(step.to, step.data, DEPLOYER)
            else:
                self._create(step.data, created(DEPLOYER, at))
            self.gas_of[step.what] = self.gas

    def _create(self, data: bytes, at: bytes) -> None:
        _, done = self.env.deploy(
            sender=_address(DEPLOYER), bytecode=data, gas=GAS_MAX, override_address=_address(at)
        )
        self.gas = done.get_gas_used()
        if done.is_error:
            raise Reverted(reason(done.output))


class L2(Contracts):
    """The accounts of a genesis file."""

    def __init__(self, genesis: Mapping[str, Any], where: Mapping[str, bytes]) -> None:
        super().__init__(where)
        for address, account in genesis["alloc"].items():
            raw = bytes.fromhex(address[2:])
            self.env.set_code(_address(raw), bytes.fromhex(account["code"][2:]))
            for slot, value in account.get("storage", {}).items():
                self.env.set_storage(_address(raw), int(slot, 16), int(value, 16))


class Raw:
    """Calls of a chain's contracts by signature, for what no artifact describes."""

    def __init__(self, chain: Contracts) -> None:
        self.chain = chain

    def ask(self, name: str, signature: str, *words: bytes) -> bytes:
        call = keccak(signature.encode())[:4] + b"".join(words)
        return self.send_to(self.chain.where[name], call, b"\x01" * 20)

    def send(self, name: str, data: bytes, sender: bytes) -> bytes:
        return self.send_to(self.chain.where[name], data, sender)

    def send_to(self, to: bytes, data: bytes, sender: bytes) -> bytes:
        done = self.chain.env.execute_code(
            to_address=_address(to), sender=_address(sender), data=data, gas=GAS_MAX
        )
        assert not done.is_error, done.output.hex()
        return bytes(done.output)

    def storage(self, address: bytes, slot: int) -> int:
        return int(self.chain.env.get_storage(_address(address), slot))


def call_data(name: str, function: str, *values: Any) -> bytes:
    entry = _artifact(name).functions[function]
    return abi.selector(entry) + abi.encode(entry["inputs"], values)


def _artifact(name: str) -> abi.Artifact:
    return artifact("OptimismMintableERC20" if name == "OPEN" else name)


def _address(raw: bytes) -> Any:
    return boa.util.abi.Address(to_checksum_address(raw))
