"""Calls and events fit the committed ABI, field by field."""

from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import pytest
from eth_abi.exceptions import EncodingError

from contracts import abi
from contracts.bindings import reason
from protocol import calls, events
from protocol.calls import (
    Claim,
    CreateDatanet,
    Deposit,
    RegisterBase,
    RegisterNode,
    RewardProof,
    Stake,
    UpdateNode,
)
from protocol.errors import Malformed
from protocol.events import DatanetCreated, Locked, NodeRegistered, NodeUpdated, Staked
from protocol.parameters import OPEN, Parameters
from protocol.refute import REFUTATIONS

EVENTS = get_args(events.Event)
CALLS = [c for c in vars(calls).values() if isinstance(c, type) and hasattr(c, "function")]
JUDGED = ("AttributionOracle", "DatanetRegistry", "FeatureRegistry")
SEVERAL = {
    "ClaimCredit": ("StakeVault", "RewardPool", *JUDGED),
    "CollectFees": ("ModelRegistry", "DatanetRegistry"),
    "Demand": JUDGED,
    "ClaimUnanswered": JUDGED,
    "RefundDemand": JUDGED,
    "Object": ("AttributionOracle", "FeatureRegistry"),
    "ReleaseBond": ("AttributionOracle", "FeatureRegistry"),
}
# Not the fields of the call itself, but of the one value in it.
BY_NAME = {"PublishShard"}


def kinds(hint: Any) -> tuple[str, ...]:
    """The Solidity types that a Python field may stand for."""
    if hint is int:
        return ("uint",)
    if hint is bytes:
        return ("bytes", "address")
    if hint is str:
        return ("string",)
    if hint is bool:
        return ("bool",)
    assert get_origin(hint) is tuple or is_dataclass(hint), hint
    return ("tuple", "uint16[4]")


def own(cls: type, *without: str) -> list[str]:
    return [f.name for f in fields(cls) if f.name not in without]


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_an_event_has_the_fields_of_its_abi(cls: type) -> None:
    """Names, order and kinds agree with every contract that emits it."""
    found = [
        entry
        for name in abi.names()
        for entry in abi.artifact(name).events.values()
        if entry["name"] == cls.__name__ and name != "AccessManager"
    ]

    assert found
    assert ("contract" in own(cls)) == (len(found) > 1)
    hints = get_type_hints(cls)
    for entry in found:
        assert own(cls, "contract") == [abi.snake(i["name"]) for i in entry["inputs"]]
        for item in entry["inputs"]:
            assert item["type"].startswith(kinds(hints[abi.snake(item["name"])]))


def test_no_event_of_ours_is_left_out() -> None:
    ours = [name for name in abi.names() if name != "AccessManager"]
    emitted = {e["name"] for name in ours for e in abi.artifact(name).events.values()}

    inherited = {"AuthorityUpdated", "EIP712DomainChanged"}
    assert emitted - inherited == {cls.__name__ for cls in EVENTS}


@pytest.mark.parametrize("cls", CALLS, ids=lambda cls: cls.__name__)
def test_a_call_has_the_arguments_of_its_abi(cls: Any) -> None:
    contracts = SEVERAL.get(cls.__name__) or (cls.contract,)
    for contract in contracts:
        entry = abi.artifact(contract).functions[cls.function]
        inputs = entry["inputs"]
        names = own(cls, "contract", "value")
        if len(inputs) == 1 and inputs[0]["type"] == "tuple" and len(names) > 1:
            inputs = inputs[0]["components"]
        expected = [abi.snake(item["name"]) for item in inputs]
        if cls.__name__ in BY_NAME:
            hints = get_type_hints(cls)
            inside = {n for h in hints.values() if is_dataclass(h) for n in own(h)}
            assert set(expected) <= inside | set(names)
        else:
            assert names == expected
        payable = entry["stateMutability"] == "payable"
        assert payable == ("value" in own(cls))


@pytest.mark.parametrize("cls", REFUTATIONS, ids=lambda cls: cls.__name__)
def test_a_refutation_has_the_arguments_of_its_abi(cls: Any) -> None:
    inputs = abi.artifact(cls.contract).functions[cls.function]["inputs"]
    assert len(own(cls)) == len(inputs)


def test_a_call_goes_to_its_contract_with_its_value(chain: Any, rich: Any) -> None:
    _, alice = rich("alice")
    staked = chain.send(Stake(alice, value=3 * OPEN), alice)
    registered = chain.send(
        RegisterNode(5, b"peer", "/ip4/10.0.0.1/tcp/1", value=100 * OPEN), alice
    )

    assert staked == [Staked(alice, alice, 3 * OPEN)]
    assert NodeRegistered(alice, 5, 100 * OPEN, b"peer", "/ip4/10.0.0.1/tcp/1") in registered
    assert Locked(chain.addresses["NodeRegistry"], alice, 100 * OPEN) in registered
    assert chain.read("NodeRegistry", "rolesOf", alice) == 5
    assert chain.read("NodeRegistry", "nodeOf", alice).peer_id == b"peer"


def test_parameters_come_back_as_they_were_deployed(chain: Any) -> None:
    version = chain.read("Parameters", "current")
    values = chain.read("Parameters", "at", version)

    assert Parameters(**vars(values)) == Parameters()


def test_foreign_logs_are_nobodys(chain: Any) -> None:
    class Log:
        address = b"\x01" * 20
        topics: ClassVar[list[bytes]] = [b"\x02" * 32]
        data = b""

    assert chain.bindings.decode(Log) is None
    Log.address = chain.addresses["StakeVault"]
    assert chain.bindings.decode(Log) is None
    Log.topics = []
    assert chain.bindings.decode(Log) is None


def test_a_log_that_does_not_fit_is_malformed(chain: Any) -> None:
    topic = next(t for t, e in abi.artifact("StakeVault").events.items() if e["name"] == "Staked")

    class Log:
        address = chain.addresses["StakeVault"]
        topics: ClassVar[list[bytes]] = [topic, bytes(32), bytes(32)]
        data = b"\x01"

    with pytest.raises(Malformed):
        chain.bindings.decode(Log)
    Log.data, Log.topics = bytes(32), [topic, bytes(32)]
    with pytest.raises(Malformed):
        chain.bindings.decode(Log)


HOSTILE = b"\xff\xfe"  # no UTF-8


def logs_with_a_string() -> list[tuple[str, bytes, abi.Entry]]:
    return [
        (name, topic, entry)
        for name in abi.names()
        if name != "AccessManager"
        for topic, entry in abi.artifact(name).events.items()
        if any(item["type"] == "string" for item in entry["inputs"])
    ]


def test_every_string_of_a_log_may_be_any_bytes(chain: Any) -> None:
    """Else one transaction would stop every node, again at every start."""
    found = logs_with_a_string()
    assert len(found) == 5
    for name, topic, entry in found:
        plain = [item for item in entry["inputs"] if not item["indexed"]]
        bare = [{**i, "type": i["type"].replace("string", "bytes")} for i in plain]
        values = [HOSTILE if i["type"] == "bytes" else zero(i["type"]) for i in bare]

        class Log:
            address = chain.addresses[name]
            topics: ClassVar[list[bytes]] = [
                topic,
                *[bytes(32)] * (len(entry["inputs"]) - len(plain)),
            ]
            data = abi.encode(bare, values)

        event = chain.bindings.decode(Log)
        strings = [abi.snake(i["name"]) for i in plain if i["type"] == "string"]
        assert [getattr(event, name) for name in strings] == ["\ufffd\ufffd"], entry["name"]


def zero(kind: str) -> Any:
    return 0 if kind.startswith("uint") else bytes(20 if kind == "address" else 32)


def test_strangers_write_such_strings(chain: Any, rich: Any) -> None:
    """The contracts do take them: an operator's endpoint, a curator's name."""
    _, alice = rich("alice")

    def written(call: Any) -> list[Any]:
        to, data, value = chain.bindings.encode(call)
        assert data.count(b"??") == 1
        logs = chain.execute(to, data.replace(b"??", HOSTILE), value, alice)
        return [event for log in logs if (event := chain.bindings.decode(log)) is not None]

    registered = written(RegisterNode(5, b"peer", "??", value=100 * OPEN))
    assert NodeRegistered(alice, 5, 100 * OPEN, b"peer", "\ufffd\ufffd") in registered
    assert written(UpdateNode(5, b"peer", "??")) == [NodeUpdated(alice, 5, b"peer", "\ufffd\ufffd")]
    created = written(CreateDatanet("??", value=Parameters().datanet_fee))
    assert created == [DatanetCreated(1, alice, "\ufffd\ufffd")]
    with pytest.raises(Exception, match="BadName"):
        written(RegisterBase(bytes(31) + b"1", "??", value=Parameters().model_fee))


EDGES = [0, 1, 31, 33, 64, 2**16, *(2**n - k for n in (31, 32, 63, 64, 255, 256) for k in (1, 32))]


def test_any_words_decode_or_are_malformed(chain: Any) -> None:
    """Each word of each event in turn is what it should not be."""
    for name in chain.addresses:
        for topic, entry in abi.artifact(name).events.items():
            plain = [item for item in entry["inputs"] if not item["indexed"]]
            indexed = len(entry["inputs"]) - len(plain)
            words = [bytes(32)] * indexed + split(sample(plain))
            for place in range(len(words)):
                for edge in EDGES:
                    bad = [*words[:place], edge.to_bytes(32, "big"), *words[place + 1 :]]

                    class Log:
                        address = chain.addresses[name]
                        topics: ClassVar[list[bytes]] = [topic, *bad[:indexed]]
                        data = b"".join(bad[indexed:])

                    with suppress(Malformed):
                        chain.bindings.decode(Log)


def sample(plain: list[abi.Entry]) -> bytes:
    sizes = sum(32 if "[4]" not in i["type"] else 128 for i in flat(plain))
    tails = {"string", "bytes"} & {i["type"] for i in plain}
    if not tails:
        return bytes(sizes)
    values = ["text" if i["type"] == "string" else zero(i["type"]) for i in plain]
    return abi.encode(plain, values)


def flat(entries: list[abi.Entry]) -> list[abi.Entry]:
    return [x for i in entries for x in (flat(i["components"]) if "components" in i else [i])]


def split(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def test_a_reason_that_is_no_text_is_shown(chain: Any) -> None:
    message = [{"name": "message", "type": "bytes"}]
    data = bytes.fromhex("08c379a0") + abi.encode(message, [HOSTILE])

    assert reason(data) == "Error(message=\ufffd\ufffd)"


def test_a_revert_says_why(chain: Any) -> None:
    artifact = abi.artifact("InferenceEscrow")
    insufficient = next(e for e in artifact.errors.values() if e["name"] == "Insufficient")
    data = abi.selector(insufficient) + abi.encode(insufficient["inputs"], [1, 2])

    assert reason(data) == "Insufficient(have=1, want=2)"
    assert reason(data[:-1]) == "Insufficient, malformed"
    assert reason(b"") == "without a reason"
    assert reason(bytes.fromhex("4e487b71") + (17).to_bytes(32, "big")) == "Panic(code=17)"
    assert reason(b"\x01\x02\x03\x04") == "0x01020304"


def test_nested_values_are_encoded(chain: Any) -> None:
    """A claim is an array of structs with an array of structs inside."""
    proof = tuple((bytes([i]) * 32, i) for i in range(24))
    to, data, value = chain.bindings.encode(Claim((RewardProof(7, 9, proof),)))  # type: ignore[arg-type]

    entry = abi.artifact("RewardPool").functions["claim"]
    assert to == chain.addresses["RewardPool"]
    assert value == 0
    assert abi.decode(entry["inputs"], data[4:]) == [((7, 9, proof),)]


def test_values_that_do_not_fit_are_a_bug_of_the_caller(chain: Any) -> None:
    with pytest.raises(EncodingError, match="AddressEncoder"):
        chain.bindings.encode(Deposit(b"\x01" * 19, value=1))
