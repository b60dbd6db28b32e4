"""`openledger check` finds what would keep a node from deriving the chain, and says what to do."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from eth_hash.auto import keccak

from config.network import Network, write_network
from config.toml import write
from contracts.bedrock.deploy import BedrockSetup, addresses, batch_inbox
from contracts.bedrock.genesis import Anchor, L2Setup, keccak_da, l2_genesis, rollup_json
from node import exits, keystore
from node.check import problems
from node.cli import main
from node.exits import Note
from rollup.codec.genesis import genesis_header

L1, L2 = 9016, 9017
BORN = 1_700_000_000
SECRET = bytes(31) + b"\x07"
OWNER, STRANGER = b"\1" * 20, b"\3" * 20
ANCHOR = Anchor(hash=b"\4" * 32, number=5)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def us(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("key") / "operator.json"
    keystore.encrypt(file, SECRET, "secret", cost=2)
    return bytes.fromhex(keystore.address_in(file)[2:])


@pytest.fixture(scope="module")
def setup(us: bytes) -> BedrockSetup:
    return BedrockSetup(
        deployer=OWNER,
        batcher=us,
        proposer=us,
        challenger=OWNER,
        unsafe_block_signer=us,
        batch_inbox=batch_inbox(L2),
        l2_genesis_time=BORN,
        submission_interval=10,
        finalization_seconds=10,
    )


@dataclass
class World:
    """A node's files; `save` writes them, whatever was done to them."""

    folder: Path
    settings: Json
    network: Json
    rollup: Json
    genesis: Json
    more: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "node.toml"

    def save(self) -> None:
        self.file.write_text(write(self.settings))
        (self.folder / "rollup.json").write_text(json.dumps(self.rollup))
        (self.folder / "genesis.json").write_text(json.dumps(self.genesis))
        write_network(Network.model_validate_json(json.dumps(self.network)), self.folder / "n.toml")
        for name, text in self.more.items():
            (self.folder / name).write_text(text)

    def told(self, *, online: bool = False) -> list[str]:
        """Problems as they are, notes behind "note: "."""
        self.save()
        found = problems(self.file, online=online)
        return [f"note: {fault}" if isinstance(fault, Note) else str(fault) for fault in found]


@pytest.fixture(scope="module")
def made(setup: BedrockSetup) -> tuple[Json, Json, Json]:
    """Genesis, rollup.json, network file: once, they take a while."""
    where = addresses(setup)
    genesis = l2_genesis(L2Setup(l1=where, owner=OWNER, fee_recipient=OWNER, timestamp=BORN))
    rollup = rollup_json(
        setup,
        where,
        l1_chain_id=L1,
        l1_anchor=ANCHOR,
        l2_genesis_hash=genesis_header(genesis).hash,
        alt_da=keccak_da(setup, where),
    )
    network = {
        "name": "test",
        "chain_id": L2,
        "fork_digest": "00000001",
        "deployment_block": 0,
        "l1_contracts": {name: "0x" + at.hex() for name, at in where.items()},
    }
    return genesis, rollup, network


@pytest.fixture
def world(tmp_path: Path, made: tuple[Json, Json, Json]) -> World:
    """A sequencer's, without a fault."""
    (tmp_path / "pw").write_text("secret")
    keystore.encrypt(tmp_path / "operator.json", SECRET, "secret", cost=2)
    genesis, rollup, network = json.loads(json.dumps(made))
    settings = {
        "network": "./n.toml",
        "data_dir": "data",
        "roles": ["sequencer"],
        "keys": {"password_file": "pw"},
        "p2p": {"listen": "/ip4/127.0.0.1/tcp/0"},
        "http": {"listen": "127.0.0.1:0"},
        "chain": {"rpc_url": "http://127.0.0.1:18545"},
        "rollup": {
            "l1_rpc_url": "http://127.0.0.1:1",
            "rpc_listen": "127.0.0.1:18545",
            "da_url": "http://127.0.0.1:1/da",
        },
        "sequencer": {"serve_da": True},
    }
    return World(tmp_path, settings, network, rollup, genesis)


def test_a_good_sequencer(world: World) -> None:
    world.save()
    before = sorted(world.folder.iterdir())

    assert world.told() == []
    assert sorted(world.folder.iterdir()) == before, "a check makes nothing"


def set_in(name: str, path: str, value: Any) -> Callable[[World], None]:
    """Sets a key of one of the files; None removes it."""

    def spoil(world: World) -> None:
        table = getattr(world, name)
        *path_to, last = path.split(".")
        for key in path_to:
            table = table[key]
        if value is None:
            del table[last]
        else:
            table[last] = value

    return spoil


def validator(world: World) -> None:
    world.settings["roles"] = ["validator"]


def short_secret(world: World) -> None:
    world.settings["rollup"]["jwt_file"] = "jwt.hex"
    world.more["jwt.hex"] = "0xabcd"


def with_engine(world: World) -> None:
    world.settings["roles"] = ["validator"]
    world.settings["rollup"] |= {
        "engine_url": "http://127.0.0.1:8551",
        "jwt_file": "jwt.hex",
        "sequencer_url": "http://127.0.0.1:2",
    }
    world.more["jwt.hex"] = "ab" * 32


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_in("settings", "rollup.config", "r.json"), "r.json cannot be read: No such file"),
        (set_in("settings", "rollup.genesis", "g.json"), "g.json cannot be read: No such file"),
        (set_in("rollup", "block_time", 0), "rollup.json: block_time is zero; get the file"),
        (set_in("rollup", "gensis", 1), "rollup.json: unknown in rollup.json: ['gensis']"),
        (set_in("genesis", "gasLimit", "0x1"), "genesis.json begins with block 0x"),
        (set_in("genesis", "gasLimit", "x"), "genesis.json: gasLimit is not a number"),
        (set_in("genesis", "config.chainId", 7), "config.chainId is 7, rollup.json wants 9017"),
        (set_in("genesis", "config.jovianTime", 9), "jovianTime is 9, rollup.json wants None"),
        (
            set_in("genesis", "config.optimism.eip1559Elasticity", 2),
            "config.optimism.eip1559Elasticity is 2, rollup.json wants 6",
        ),
        (set_in("network", "chain_id", 5), "network test: chain_id is 5"),
        (
            set_in("network", "l1_contracts.OptimismPortal", "0x" + "09" * 20),
            "l1_contracts.OptimismPortal is 0x0909",
        ),
        (set_in("network", "l1_contracts.L2OutputOracle", None), "L2OutputOracle: missing; a"),
        (set_in("settings", "rollup.da_url", None), "rollup.da_url: missing; this chain keeps"),
        (set_in("rollup", "alt_da", None), "note: rollup.da_url: has no effect"),
        (short_secret, "jwt.hex holds 2 bytes, want 32 in hex"),
        (set_in("settings", "rollup.jwt_file", "j"), "j cannot be read"),
        (set_in("settings", "rollup.sequencer_url", "http://s"), "takes the transactions itself"),
        (validator, "note: rollup.sequencer_url: missing; what is sent to this node reaches no"),
        (with_engine, "note: rollup.sequencer_url: has no effect with engine_url"),
        (
            set_in("settings", "chain.rpc_url", "http://127.0.0.1:18546"),
            "note: chain.rpc_url: http://127.0.0.1:18546 is not this node's own engine, "
            "http://127.0.0.1:18545",
        ),
        (set_in("settings", "rollup.rpc_listen", "0.0.0.0:1"), "want 127.0.0.1:PORT"),
        (
            set_in("settings", "rollup.blob_archive_url", "http://b"),
            "blob_archive_url wants beacon_url",
        ),
        (set_in("settings", "p2p.listen", "/ip4/127.0.0.1/tcp/18545"), "want a port each"),
    ],
)
def test_each_fault_is_told_once(
    world: World, spoil: Callable[[World], None], message: str
) -> None:
    spoil(world)
    told = [line for line in world.told() if "begins with block" not in line or "begins" in message]

    assert len(told) == 1 + (message.startswith("note: rollup.da_url"))
    assert message in told[0]


def test_notes_are_no_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    validator(world)
    world.save()

    assert main(["check", str(world.file)]) == exits.OK
    said = capsys.readouterr()
    assert said.err.startswith("note: rollup.sequencer_url: missing")
    assert said.out.endswith("node.toml: ok\n")
    assert main(["check", str(world.file), "--json"]) == exits.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"]
    assert len(answer["notes"]) == 1


class Layer1:
    """What an L1 node answers, and a DA server, and a consensus node."""

    def __init__(self, setup: BedrockSetup, us: bytes) -> None:
        self.chain_id, self.balance, self.code = L1, 10**18, "0x60"
        self.block: Json | None = {"hash": "0x" + ANCHOR.hash.hex()}
        self.says = {"batcherHash()": us, "unsafeBlockSigner()": us, "proposer()": us}
        self.where = addresses(setup)
        self.spec: Json = {"data": {"DEPOSIT_CHAIN_ID": str(L1)}}

    def answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getBlockByNumber":
                assert params == [hex(ANCHOR.number), False]
                return self.block
            case "eth_getCode":
                assert params[0] == "0x" + self.where["OptimismPortal"].hex()
                return self.code
            case "eth_getBalance":
                return hex(self.balance)
            case "eth_call":
                names = {"0x" + keccak(n.encode()).hex()[:8]: n for n in self.says}
                name = names[params[0]["data"]]
                owner = "L2OutputOracle" if name == "proposer()" else "SystemConfig"
                assert params[0]["to"] == "0x" + self.where[owner].hex()
                return "0x" + self.says[name].rjust(32, b"\0").hex()
            case _:
                raise AssertionError(method)


@contextmanager
def serving(l1: Layer1) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            result = l1.answer(asked["method"], asked["params"])
            self._send({"jsonrpc": "2.0", "id": 1, "result": result})

        def do_GET(self) -> None:
            self._send(l1.spec)

        def _send(self, body: Json) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def l1_set(**changes: Any) -> Callable[[Layer1], None]:
    return lambda l1: vars(l1).update(changes)


def names(role: str) -> Callable[[Layer1], None]:
    return lambda l1: l1.says.update({role: STRANGER})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (l1_set(), ""),
        (l1_set(chain_id=1), "is chain 1, rollup.json wants L1 chain 9016; set another URL"),
        (l1_set(block=None), "does not have block 5, after which the L2 begins; wait until"),
        (l1_set(block={"hash": "0x00"}), "has 0x00 as block 5, rollup.json wants 0x0404"),
        (l1_set(code="0x"), "rollup.json's deposit_contract_address; wait until"),
        (l1_set(balance=0), "has no funds on L1; send it ether"),
        (names("batcherHash()"), "as batcher, this account is 0x"),
        (names("unsafeBlockSigner()"), "as unsafe block signer, this account is 0x"),
        (names("proposer()"), "names 0x" + "03" * 20 + " as proposer"),
        (l1_set(spec={"data": {"DEPOSIT_CHAIN_ID": "1"}}), "is the consensus node of chain 1"),
        (l1_set(spec={}), "does not answer /eth/v1/config/spec as a consensus node"),
    ],
)
def test_online_asks_l1(
    world: World,
    setup: BedrockSetup,
    us: bytes,
    spoil: Callable[[Layer1], None],
    message: str,
) -> None:
    l1 = Layer1(setup, us)
    spoil(l1)
    with serving(l1) as url:
        world.settings["rollup"] |= {"l1_rpc_url": url, "beacon_url": url, "da_url": url}
        told = world.told(online=True)

    assert len(told) == bool(message), told
    assert all(message in line for line in told)


def test_online_names_servers_that_are_silent(world: World) -> None:
    """L1 as often as something hangs on it; not the DA server that this node itself will be."""
    world.settings["http"]["listen"] = "127.0.0.1:18080"
    world.settings["rollup"]["da_url"] = "http://127.0.0.1:18080/da"
    assert not [line for line in world.told(online=True) if "rollup.da_url" in line]

    world.settings["sequencer"]["serve_da"] = False
    told = world.told(online=True)
    assert any(
        line.startswith("rollup.da_url: http://127.0.0.1:18080/da does not") for line in told
    )
    assert any(line.startswith("rollup.l1_rpc_url: http://127.0.0.1:1 does not") for line in told)
