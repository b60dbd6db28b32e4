"""The folder of a test network: its keys, its genesis, the settings file of each node."""

import fcntl
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from config.network import Network, write_network
from config.toml import write
from contracts.deploy import TEST_LIMITS, Setup, addresses
from node.exits import Occupied, WrongSettings
from node.keystore import LocalSigner, encrypt
from node.listening import free_port
from p2p.identity import peer_id, to_text
from protocol.parameters import OPEN, Parameters
from rollup.engine.genesis import genesis

CHAIN_ID = 9_017
FORK_DIGEST = "0dd0e7f1"
SCRYPT_COST = 1 << 12  # these keys are worth nothing; a real node's cost 32 times more
BALANCE = 10_000_000 * OPEN
PASSWORD = "testnet\n"
LOOPBACK = "127.0.0.1"
STATE = "testnet.json"
PROMPT_PRICE, OUTPUT_PRICE = 1 * OPEN, 10 * OPEN  # wei per 1,000 tokens


@dataclass(frozen=True)
class NodeSpec:
    """One process of the network."""

    name: str
    role: str
    lies: bool = False


SPECS = (
    NodeSpec("sequencer", "sequencer"),
    NodeSpec("curator", "curator"),
    NodeSpec("host", "host"),
    NodeSpec("prover", "prover"),
    NodeSpec("validator", "validator"),
)
LIAR = NodeSpec("liar", "prover", lies=True)


def specs(count: int) -> list[NodeSpec]:
    """At least one node of each role; more are validators and provers in turn."""
    more = [
        NodeSpec(f"{role}-{2 + n // 2}", role)
        for n in range(count - len(SPECS))
        for role in [("validator", "prover")[n % 2]]
    ]
    return [*SPECS, *more]


@dataclass
class Folder:
    """Keys are derived from the folder's own seed, so that a second start finds them again."""

    path: Path
    window: int
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> (p2p, http)
    rpc_port: int = 0

    @classmethod
    def open(cls, path: Path, window: int) -> "Folder":
        """Make or reopen the folder; `Occupied` while another process runs it."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongSettings(f"--dir: cannot make {path}: {error.strerror}") from None
        folder = cls(path.resolve(), window)
        folder._lock()
        folder._state()
        return folder

    def _lock(self) -> None:
        self._handle = os.open(self.path / "testnet.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(
                f"{self.path} is run by another process; stop that one or give another --dir"
            ) from None

    def _state(self) -> None:
        file = self.path / STATE
        if not file.exists():
            state = {"seed": os.urandom(32).hex(), "born": int(time.time()), "window": self.window}
            _write_whole(file, json.dumps(state))
        state = json.loads(file.read_text())
        self._seed, self.born = bytes.fromhex(state["seed"]), int(state["born"])
        self.window = int(state["window"])  # what was deployed stays

    # ------------------------------------------------------------ keys

    def signer(self, name: str) -> LocalSigner:
        return LocalSigner(keccak(self._seed + name.encode()))

    @staticmethod
    def signer_of(path: Path, name: str) -> LocalSigner:
        """A key of a folder that another process may be running."""
        state = json.loads((path / STATE).read_text())
        return LocalSigner(keccak(bytes.fromhex(state["seed"]) + name.encode()))

    @property
    def deployer(self) -> LocalSigner:
        return self.signer("deployer")

    @property
    def payer(self) -> LocalSigner:
        return self.signer("payer")

    # ------------------------------------------------------------ chain

    @property
    def parameters(self) -> Parameters:
        """Those of the protocol, but for times and bonds: the same story in a minute."""
        return Parameters(
            window=self.window,
            response=max(1, self.window // 4),
            bond_min=10 * OPEN,
            demand_bond=OPEN // 10,
            unbonding=2 * self.window,
            datanet_window=self.window,
            datanet_bond=10 * OPEN,
        )

    @property
    def setup(self) -> Setup:
        return Setup(
            deployer=self.deployer.address,
            treasury=self.signer("treasury").address,
            admin=self.deployer.address,
            parameters=self.parameters,
            limits=TEST_LIMITS,
            delay=1,
        )

    def write_genesis(self, nodes: Sequence[NodeSpec]) -> Path:
        file = self.path / "genesis.json"
        if not file.exists():
            names = ("deployer", "payer", *(node.name for node in nodes))
            alloc: dict[bytes | str, Any] = {self.signer(n).address: BALANCE for n in names}
            _write_whole(file, json.dumps(genesis(CHAIN_ID, alloc, self.born)))
        return file

    # ------------------------------------------------------------ nodes

    def write_nodes(self, nodes: Sequence[NodeSpec], base_model: Path | None) -> None:
        """Choose free ports and write everybody's settings anew; keys and stores stay."""
        self.rpc_port = free_port()
        self.ports = {node.name: (free_port(), free_port()) for node in nodes}
        genesis_file = self.write_genesis(nodes)
        first = nodes[0].name
        identity = to_text(peer_id(self.signer(first).p2p_secret()))
        network = Network(
            name="testnet",
            chain_id=CHAIN_ID,
            fork_digest=FORK_DIGEST,
            deployment_block=0,
            bootstrap=(f"/ip4/{LOOPBACK}/tcp/{self.ports[first][0]}/p2p/{identity}",),
            contracts={name: "0x" + at.hex() for name, at in addresses(self.setup).items()},
        )
        write_network(network, self.path / "network.toml")
        for node in nodes:
            self._write_node(node, genesis_file, base_model)

    def _write_node(self, node: NodeSpec, genesis_file: Path, base_model: Path | None) -> None:
        home = self.home(node)
        home.mkdir(parents=True, exist_ok=True)
        key, password = home / "operator.json", home / "password"
        if not key.exists():
            _write_whole(password, PASSWORD)
            encrypt(key, self.signer(node.name).secret, PASSWORD.strip(), cost=SCRYPT_COST)
        p2p, http = self.ports[node.name]
        table: dict[str, Any] = {
            "network": str(self.path / "network.toml"),
            "data_dir": str(home / "data"),
            "roles": [node.role],
            "keys": {"keystore": str(key), "password_file": str(password)},
            "p2p": {"listen": f"/ip4/{LOOPBACK}/tcp/{p2p}"},
            "http": {"listen": f"{LOOPBACK}:{http}"},
            "chain": {"rpc_url": self.rpc_url, "confirmations": 1, "poll_seconds": 0.5},
            "log": {"format": "json"},
        }
        if node.role == "sequencer":
            listen = f"{LOOPBACK}:{self.rpc_port}"
            table["sequencer"] = {"rpc_listen": listen, "genesis": str(genesis_file)}
        if node.role == "prover":
            table["prover"] = {"batch_seconds": 0.1}
        if node.role == "host" and base_model is not None:
            prices = {"prompt_price": PROMPT_PRICE, "output_price": OUTPUT_PRICE}
            table["host"] = {"base_model": str(base_model.resolve()), **prices}
        _write_whole(self.settings(node), write(table))

    def home(self, node: NodeSpec) -> Path:
        return self.path / "nodes" / node.name

    def settings(self, node: NodeSpec) -> Path:
        return self.home(node) / "node.toml"

    @property
    def rpc_url(self) -> str:
        return f"http://{LOOPBACK}:{self.rpc_port}"

    def url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[name][1]}"


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
