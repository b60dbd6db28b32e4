"""The folder of a test network: its keys, its genesis, the settings file of each node."""

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
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

L1_CHAIN_ID, CHAIN_ID = 9_016, 9_017
L1_SECONDS = 3  # between two L1 blocks
CHANNEL_BLOCKS = 3  # L1 blocks until a channel of batches is closed
FORK_DIGEST = "0dd0e7f1"
SCRYPT_COST = 1 << 12  # these keys are worth nothing; a real node's cost 32 times more
ETHER = 10**18
L1_BALANCE = 10_000 * ETHER
L1_GAS_LIMIT = 30_000_000
PASSWORD = "testnet\n"
LOOPBACK = "127.0.0.1"
STATE = "testnet.json"
HONEST_ANSWERS = 2  # of one batch, so that several pend at once
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
L1 = NodeSpec("l1", "l1")
DERIVING = ("sequencer", "curator", "validator")  # roles whose nodes derive the L2 by themselves


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
    rpc_ports: dict[str, int] = field(default_factory=dict)  # of L1, and of who derives

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
    def bank(self) -> LocalSigner:
        """Deploys on L1 and deposits from there. Not the deployer on the L2: each deposit counts up
        its sender's nonce there, and his decide the addresses."""
        return self.signer("bank")

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

    @property
    def funded(self) -> tuple[str, ...]:
        """Who gets ETH on L1: whoever sends something there."""
        return ("bank", "payer", SPECS[0].name)

    def write_l1_genesis(self) -> None:
        file = self.l1_home / "genesis.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            alloc: dict[bytes | str, Any] = {
                self.signer(n).address: L1_BALANCE for n in self.funded
            }
            value = genesis(L1_CHAIN_ID, alloc, self.born)
            _write_whole(file, json.dumps({**value, "gasLimit": hex(L1_GAS_LIMIT)}))

    def write_rollup(self, l2_genesis: Mapping[str, Any], rollup: Mapping[str, Any]) -> None:
        """Once: what was begun stays."""
        for name, value in (("genesis.json", l2_genesis), ("rollup.json", rollup)):
            if not (self.path / name).exists():
                _write_whole(self.path / name, json.dumps(value, indent=1))

    # ------------------------------------------------------------ nodes

    def choose_ports(self, nodes: Sequence[NodeSpec]) -> None:
        deriving = [node.name for node in nodes if node.role in DERIVING and not node.lies]
        self.rpc_ports = {name: free_port() for name in (L1.name, *deriving)}
        self.ports = {node.name: (free_port(), free_port()) for node in nodes}

    def write_nodes(
        self,
        nodes: Sequence[NodeSpec],
        base_model: Path | None,
        l1_contracts: Mapping[str, bytes],
    ) -> None:
        """Write everybody's settings anew; keys and stores stay."""
        first = nodes[0].name
        identity = to_text(peer_id(self.signer(first).p2p_secret()))
        network = Network(
            name="testnet",
            chain_id=CHAIN_ID,
            fork_digest=FORK_DIGEST,
            deployment_block=0,
            bootstrap=(f"/ip4/{LOOPBACK}/tcp/{self.ports[first][0]}/p2p/{identity}",),
            contracts=_hexadecimal(addresses(self.setup)),
            l1_contracts=_hexadecimal(l1_contracts),
        )
        write_network(network, self.path / "network.toml")
        for node in nodes:
            self._write_node(node, base_model)

    def _write_node(self, node: NodeSpec, base_model: Path | None) -> None:
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
            "chain": {"rpc_url": self.rpc_of(node.name), "confirmations": 1, "poll_seconds": 0.5},
            "log": {"format": "json"},
        }
        if node.name in self.rpc_ports:
            table["rollup"] = self._rollup(node)
        if node.role == "sequencer":
            table["sequencer"] = {"channel_blocks": CHANNEL_BLOCKS, "serve_da": True}
        if node.role == "prover":
            answers = {} if node.lies else {"answers_max": HONEST_ANSWERS}
            table["prover"] = {"batch_seconds": 0.1, **answers}
        if node.role in ("prover", "validator"):
            table["availability"] = {"url": self.da_url}
            if base_model is not None:
                table["influence"] = {"base_models": [str(base_model.resolve())]}
        if node.role == "host" and base_model is not None:
            prices = {"prompt_price": PROMPT_PRICE, "output_price": OUTPUT_PRICE}
            table["host"] = {"base_model": str(base_model.resolve()), **prices}
        _write_whole(self.settings(node), write(table))

    def _rollup(self, node: NodeSpec) -> dict[str, Any]:
        table = {
            "l1_rpc_url": self.l1_url,
            "l1_poll_seconds": 1.0,
            "l1_confirmations": 1,
            "config": str(self.path / "rollup.json"),
            "genesis": str(self.path / "genesis.json"),
            "rpc_listen": f"{LOOPBACK}:{self.rpc_ports[node.name]}",
            "da_url": self.da_url,
        }
        if node.role != "sequencer":
            table["sequencer_url"] = self.rpc_url
        return table

    def home(self, node: NodeSpec) -> Path:
        return self.path / "nodes" / node.name

    def settings(self, node: NodeSpec) -> Path:
        return self.home(node) / "node.toml"

    @property
    def l1_home(self) -> Path:
        return self.home(L1)

    @property
    def l1_url(self) -> str:
        return f"http://{LOOPBACK}:{self.rpc_ports[L1.name]}"

    @property
    def da_url(self) -> str:
        """The sequencer's, of L2 batches and of attribution batches."""
        return f"{self.url(SPECS[0].name)}/da"

    @property
    def rpc_url(self) -> str:
        """The sequencer's, of the L2."""
        return f"http://{LOOPBACK}:{self.rpc_ports[SPECS[0].name]}"

    def rpc_of(self, name: str) -> str:
        """The L2 as this node sees it: its own engine, or the sequencer's."""
        return f"http://{LOOPBACK}:{self.rpc_ports.get(name, self.rpc_ports[SPECS[0].name])}"

    def url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[name][1]}"


def _hexadecimal(contracts: Mapping[str, bytes]) -> dict[str, str]:
    return {name: "0x" + at.hex() for name, at in contracts.items()}


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
