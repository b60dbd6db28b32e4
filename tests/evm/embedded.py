"""A chain in this process (py-evm through titanoboa) with every contract of the artifacts on it."""

import warnings
from typing import Any

import trio

from contracts.bindings import Bindings, reason, result
from contracts.deploy import TEST_LIMITS, Setup, addresses, execute, steps
from protocol.events import Event
from protocol.parameters import OPEN, Parameters

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import boa
    from boa.environment import Env
    from eth_utils import to_checksum_address

DEPLOYER, TREASURY = b"\xde" * 20, b"\x7e" * 20
FORTUNE = 10**9 * OPEN
GAS_MAX = 30_000_000


class Reverted(Exception):
    """The contract refused; the message is its error in words."""


class Log:
    def __init__(self, address: bytes, topics: list[int], data: bytes) -> None:
        self.address, self.data = address, data
        self.topics = tuple(topic.to_bytes(32, "big") for topic in topics)


class Chain:
    """All contracts on a chain of their own; time stands still until `warp`."""

    def __init__(self, parameters: Parameters | None = None, admin: bytes = DEPLOYER) -> None:
        self.env = Env()
        self.env.enable_fast_mode()
        self.setup = Setup(
            deployer=DEPLOYER,
            treasury=TREASURY,
            admin=admin,
            parameters=parameters or Parameters(),
            limits=TEST_LIMITS,
        )
        self.addresses = addresses(self.setup)
        self.bindings = Bindings(self.addresses)
        self.gas = 0  # of the last transaction's execution
        self.give(DEPLOYER)
        self._nonce = 0
        trio.run(execute, steps(self.setup), self._deploy)

    @property
    def id(self) -> int:
        return int(self.env.evm.patch.chain_id)

    @property
    def time(self) -> int:
        return int(self.env.evm.patch.timestamp)

    def warp(self, seconds: int) -> None:
        self.env.time_travel(seconds=seconds)

    def give(self, who: bytes, wei: int = FORTUNE) -> None:
        self.env.set_balance(_address(who), wei)

    def balance(self, who: bytes) -> int:
        return int(self.env.get_balance(_address(who)))

    def send(self, call: Any, sender: bytes) -> list[Event]:
        """The events of a transaction of `sender`; `Reverted` with the contract's reason."""
        to, data, value = self.bindings.encode(call)
        logs = self.execute(to, data, value, sender)
        events = (self.bindings.decode(log) for log in logs)
        return [event for event in events if event is not None]

    def read(self, contract: str, function: str, *values: Any) -> Any:
        to, data = self.bindings.query(contract, function, *values)
        answer = self.env.execute_code(to_address=_address(to), data=data, gas=GAS_MAX)
        if answer.is_error:
            raise Reverted(reason(answer.output))
        return result(contract, function, answer.output)

    def execute(self, to: bytes, data: bytes, value: int, sender: bytes) -> list[Log]:
        done = self.env.execute_code(
            to_address=_address(to), sender=_address(sender), data=data, value=value, gas=GAS_MAX
        )
        self.gas = done.get_gas_used()
        if done.is_error:
            raise Reverted(reason(done.output))
        return [Log(*entry) for entry in done.get_log_entries()]

    async def _deploy(self, to: bytes | None, data: bytes, value: int) -> None:
        if to is not None:
            self.execute(to, data, value, DEPLOYER)
            return
        # Fixed addresses: the pure plan's, by the deployer's nonce.
        where = list(self.addresses.values())[self._nonce]
        self._nonce += 1
        _, done = self.env.deploy(
            sender=_address(DEPLOYER),
            bytecode=data,
            value=value,
            gas=GAS_MAX,
            override_address=_address(where),
        )
        if done.is_error:
            raise Reverted(reason(done.output))


def _address(raw: bytes) -> Any:
    return boa.util.abi.Address(to_checksum_address(raw))


def key(name: str) -> bytes:
    """A secret key; `address_of(key(name))` is who holds it."""
    return name.encode().rjust(32, b"\x01")
