"""One network: the chain, the contracts on it, and the peers that let a newcomer in."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from config import shapes
from config.settings import ConfigError, PeerAddr, Table, build, read_toml
from config.toml import write

NETWORKS = Path(__file__).parent / "networks"

Address = Annotated[str, AfterValidator(shapes.address)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]


class Network(Table):
    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    chain_id: int = Field(ge=1, lt=1 << 63)
    fork_digest: Digest  # 4 bytes in hex; part of every gossip topic
    deployment_block: int = Field(ge=0)  # nothing of ours lies before it
    bootstrap: tuple[PeerAddr, ...] = ()
    contracts: dict[str, Address] = Field(default_factory=dict)  # by Solidity name
    l1_contracts: dict[str, Address] = Field(default_factory=dict)  # the rollup's, on L1

    def contract(self, name: str) -> bytes:
        """The 20 bytes of the address of the contract `name`."""
        return self._address("contracts", self.contracts, name)

    def l1_contract(self, name: str) -> bytes:
        return self._address("l1_contracts", self.l1_contracts, name)

    def _address(self, table: str, known: dict[str, str], name: str) -> bytes:
        if name not in known:
            raise ConfigError(f"network {self.name}: {table}.{name}: missing")
        return bytes.fromhex(known[name][2:])


def load_network(name: str, folder: Path = Path()) -> Network:
    """The network that settings name: a file in config/networks, or a path from `folder`."""
    path = network_path(name, folder)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in NETWORKS.glob("*.toml")))
        raise ConfigError(f"network: no file {path}; want a path to one, or one of {known}")
    return build(Network, read_toml(path), path)


def network_path(name: str, folder: Path = Path()) -> Path:
    if "/" in name or name.endswith(".toml"):
        return folder / Path(name).expanduser()
    return NETWORKS / f"{name}.toml"


def write_network(network: Network, path: Path) -> None:
    """Write `network` so that `load_network` reads it back equal."""
    table: dict[str, Any] = network.model_dump(mode="json")
    path.write_text(write(table), encoding="utf-8")
