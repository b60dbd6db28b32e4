"""The deployment: addresses, who may do what afterwards, where a crash can interrupt it."""

from dataclasses import replace
from typing import Any

import pytest
import trio

from contracts import abi
from contracts.deploy import (
    CONTRACTS,
    LIMITS,
    ROLES,
    TEST_LIMITS,
    Setup,
    addresses,
    created,
    execute,
    steps,
)
from protocol import calls
from protocol.errors import Temporary
from protocol.parameters import Parameters
from tests.evm.embedded import DEPLOYER, TREASURY, Chain, Reverted

SETUP = Setup(deployer=DEPLOYER, treasury=TREASURY, admin=b"\xad" * 20)
ADMIN_ROLE = 0


def test_addresses_follow_from_deployer_and_nonce() -> None:
    """Vectors of go-ethereum's `CreateAddress`."""
    deployer = bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")

    assert created(deployer, 0).hex() == "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert created(deployer, 1).hex() == "343c43a37d37dff08ae8c4a11544c718abb4fcf8"
    assert list(addresses(SETUP).values()) == [created(DEPLOYER, n) for n in range(len(CONTRACTS))]
    later = replace(SETUP, nonce=5)
    assert addresses(later)["AccessManager"] == created(DEPLOYER, 5)


def test_the_plan_is_pure_and_can_be_resumed() -> None:
    sent = list[tuple[bytes | None, bytes, int]]()

    async def send(to: bytes | None, data: bytes, value: int) -> None:
        if len(sent) == 7 and not crashes:
            crashes.append(True)
            raise Temporary("the node went away")
        sent.append((to, data, value))

    crashes = list[bool]()
    with pytest.raises(Temporary):
        trio.run(execute, steps(SETUP), send)
    trio.run(execute, steps(SETUP)[len(sent) :], send)

    assert sent == [(s.to, s.data, s.value) for s in steps(SETUP)]


def test_only_modules_may_do_what_is_restricted(chain: Chain) -> None:
    """Every function with a role, asked of the chain for every contract and for the deployer."""
    for role, target, functions, holders in ROLES:
        for function in functions:
            selector = abi.selector(abi.artifact(target).functions[function])
            where = chain.addresses[target]
            assert chain.read("AccessManager", "getTargetFunctionRole", where, selector) == role
            for name, caller in (*chain.addresses.items(), ("deployer", DEPLOYER)):
                may, _ = chain.read("AccessManager", "canCall", caller, where, selector)
                assert may == (name in holders), (target, function, name)


def test_no_other_function_is_left_to_its_modifier(chain: Chain) -> None:
    """A `restricted` function that the wiring forgot would be the administrator's alone."""
    named = {(target, function) for _, target, functions, _ in ROLES for function in functions}
    restricted = set()
    for name in CONTRACTS[1:]:
        for function, entry in abi.artifact(name).functions.items():
            if entry["stateMutability"] in ("view", "pure") or function == "setAuthority":
                continue
            zeros = abi.selector(entry) + bytes(32 * 64)
            try:
                chain.execute(chain.addresses[name], zeros, 0, b"\x99" * 20)
            except Reverted as error:
                if "AccessManagedUnauthorized" in str(error):
                    restricted.add((name, function))

    assert restricted == named | {("Parameters", "propose")}


def test_the_deployer_hands_over_and_keeps_nothing() -> None:
    chain = Chain(admin=SETUP.admin)
    chain.give(SETUP.admin)

    assert chain.read("AccessManager", "hasRole", ADMIN_ROLE, SETUP.admin)[0]
    assert not chain.read("AccessManager", "hasRole", ADMIN_ROLE, DEPLOYER)[0]
    with pytest.raises(Reverted, match="AccessManagedUnauthorized"):
        chain.send(calls.ProposeParameters(Parameters(platform_bps=0)), DEPLOYER)
    chain.send(calls.ProposeParameters(Parameters(platform_bps=0)), SETUP.admin)


def test_a_vote_binds_after_the_delay(chain: Chain) -> None:
    proposed = Parameters(platform_bps=500, span_weights=(1, 2, 3, 4))
    (event,) = chain.send(calls.ProposeParameters(proposed), DEPLOYER)

    assert event.values == proposed
    assert chain.read("Parameters", "current") == 1
    chain.warp(event.effective_at - chain.time)
    assert chain.read("Parameters", "current") == event.version == 2
    assert Parameters(**vars(chain.read("Parameters", "inForce"))) == proposed


@pytest.mark.parametrize("limits", [LIMITS, TEST_LIMITS])
def test_the_defaults_are_within_the_limits(limits: Any) -> None:
    for name, (low, high) in limits.items():
        value = getattr(Parameters(), name)
        for number in value if isinstance(value, tuple) else (value,):
            assert low <= number <= high, name


def test_values_outside_the_limits_cannot_be_deployed() -> None:
    with pytest.raises(Reverted, match="OutOfBounds"):
        Chain(Parameters(bond_bps=999))


def test_no_contract_is_over_the_chains_limit() -> None:
    for name in CONTRACTS:
        assert len(abi.artifact(name).bytecode) < 49_152
