"""Take or check the committed artifacts: `extract write PACKAGE GENESIS | check PACKAGE [GENESIS]`.

PACKAGE is the npm package, as the `.tgz` that `npm pack` fetches or unpacked; GENESIS the published
genesis of a chain, as JSON in geth's format, of which the L2 predeploys are taken. Nothing is
compiled here: the code is the one that was published, the manifest says where and under what hash.
"""

import base64
import hashlib
import json
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.bedrock.published import ARTIFACTS, MANIFEST, PREDEPLOYS

PACKAGE: Final = {
    "name": "@eth-optimism/contracts-bedrock",
    "version": "0.17.3",
    "integrity": "sha512-"
    "cHPO7ntWeOBDLO7ZFFSZGI1D7CDqf4loRbRVJrFIsqLEz+hysWIqA0e3dv2GnrjVeuYePBfI2NTBEG4uwz9bQQ==",
    "license": "MIT",
}
# The predeploys of that package do not know Isthmus: theirs come from a chain that began with it.
GENESIS: Final = {
    "repository": "https://github.com/ethereum-optimism/superchain-registry",
    "file": "superchain/extra/genesis/sepolia-devnet-2/sepolia-devnet-2.json.zst",
    "genesis_hash": "0x782e7ef559d86bd85ca14b3b51bcd64b2a5abba5bf3017d83d34e666d8dc0a57",
    "license": "MIT",
}
CONTRACTS: Final = (
    "AnchorStateRegistry",
    "DataAvailabilityChallenge",
    "DelayedWETH",
    "DisputeGameFactory",
    "FaultDisputeGame",
    "L1CrossDomainMessenger",
    "L1StandardBridge",
    "L2OutputOracle",
    "L2ToL1MessagePasser",
    "OptimismMintableERC20",
    "OptimismPortal",
    "Proxy",
    "SuperchainConfig",
    "SystemConfig",
)
# What stands at which address of the genesis file.
ACCOUNTS: Final = {
    "Proxy": "4200000000000000000000000000000000000016",
    "WETH": "4200000000000000000000000000000000000006",
    **{
        name: f"c0d3c0d3c0d3c0d3c0d3c0d3c0d3c0d3c0d300{place}"
        for name, place in (
            ("L2CrossDomainMessenger", "07"),
            ("GasPriceOracle", "0f"),
            ("L2StandardBridge", "10"),
            ("SequencerFeeVault", "11"),
            ("OptimismMintableERC20Factory", "12"),
            ("L1Block", "15"),
            ("L2ToL1MessagePasser", "16"),
            ("ProxyAdmin", "18"),
            ("BaseFeeVault", "19"),
            ("L1FeeVault", "1a"),
            ("OperatorFeeVault", "1b"),
        )
    },
    "BeaconRoots": "000f3df6d732807ef1319fb7b8bb8522d0beac02",
    "BlockHashes": "0000f90827f1c53a10cb7a02335b175320002935",
    "Create2Deployer": "13b0d85ccb8bf860b6b79af3029fca081ae9bef2",
    "CreateX": "ba5ed099633d3b313e4d5f7bdc1305d3c28ba5ed",
    "DeterministicDeploymentProxy": "4e59b44847b379578588920ca78fbf26c0b4956c",
    "Multicall3": "ca11bde05977b3631167028862be2a173976ca11",
    "SafeSingletonFactory": "914d7fec6aac8cd542e72bca78b30650d45643d7",
}
LICENSE: Final = "LICENSE"
FILE_BYTES_MAX: Final = 64 << 20

Read = Callable[[str], bytes]


class Differs(Exception):
    """The package, the genesis or the committed files are not what they should be."""


def extracted(read: Read, genesis: Mapping[str, Any] | None) -> dict[str, str]:
    """Every file of `artifacts/` but the manifest; without `genesis`, but the predeploys too."""
    files = {f"{name}.json": _contract(name, json.loads(read(_place(name)))) for name in CONTRACTS}
    files[LICENSE] = read(LICENSE).decode()
    if genesis is not None:
        files[PREDEPLOYS] = _predeploys(genesis)
    return files


def manifest(files: Mapping[str, str]) -> str:
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    value = {"package": PACKAGE, "genesis": GENESIS, "files": dict(sorted(hashes.items()))}
    return _json(value)


def reader(package: Path) -> Read:
    """Files of the package by their name in it. Raises `Differs` for another package."""
    if package.is_dir():
        return _named(lambda name: (package / name).read_bytes())
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != PACKAGE["integrity"]:
        raise Differs(f"{package.name} is not the package that was published: sha512-{digest}")
    wanted = {f"package/{_place(name)}" for name in CONTRACTS}
    wanted |= {f"package/{LICENSE}", "package/package.json"}
    held = dict[str, bytes]()
    with tarfile.open(package, "r:gz") as archive:
        for member in archive:
            if member.name in wanted and member.isfile() and member.size <= FILE_BYTES_MAX:
                file = archive.extractfile(member)
                assert file is not None
                held[member.name] = file.read()
    return _named(lambda name: held[f"package/{name}"])


def write(package: Path, genesis: Path) -> int:
    files = extracted(reader(package), json.loads(genesis.read_bytes()))
    ARTIFACTS.mkdir(exist_ok=True)
    for name, text in {**files, MANIFEST: manifest(files)}.items():
        (ARTIFACTS / name).write_text(text, encoding="utf-8")
    print(f"{len(files)} files written")
    return 0


def check(package: Path, genesis: Path | None = None) -> int:
    """Whether what is committed is, byte for byte, what was published."""
    files = extracted(reader(package), json.loads(genesis.read_bytes()) if genesis else None)
    differ = sorted(name for name, text in files.items() if committed().get(name) != text)
    differ += strays()
    print(f"differ: {', '.join(differ)}" if differ else f"{len(files)} files are as published")
    return 1 if differ else 0


def committed() -> dict[str, str]:
    """The committed files by name, without the manifest."""
    paths = (path for path in ARTIFACTS.iterdir() if path.name != MANIFEST)
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def strays() -> list[str]:
    """What the manifest does not say, or says otherwise: every file of the folder is held by it."""
    files = committed()
    if (ARTIFACTS / MANIFEST).read_text(encoding="utf-8") == manifest(files):
        said = {f"{name}.json" for name in CONTRACTS} | {LICENSE, PREDEPLOYS}
        return sorted(files.keys() ^ said)
    return [MANIFEST]


def _named(read: Read) -> Read:
    about = json.loads(read("package.json"))
    if any(about.get(key) != PACKAGE[key] for key in ("name", "version", "license")):
        raise Differs(f"this is {about.get('name')} {about.get('version')}")
    return read


def _place(name: str) -> str:
    return f"forge-artifacts/{name}.sol/{name}.json"


def _contract(name: str, built: Mapping[str, Any]) -> str:
    bytecode = built["bytecode"]
    if bytecode["linkReferences"]:
        raise Differs(f"{name} wants a library")
    source = next(iter(built["metadata"]["settings"]["compilationTarget"]))
    return _json(
        {
            "contract": name,
            "source": source,
            "solc": built["metadata"]["compiler"]["version"],
            "abi": [_plain(entry) for entry in built["abi"]],
            "bytecode": bytecode["object"],
        }
    )


def _plain(entry: Any) -> Any:
    """An ABI entry without the names of Solidity's own types, which nothing reads."""
    if isinstance(entry, dict):
        return {key: _plain(value) for key, value in entry.items() if key != "internalType"}
    return [_plain(item) for item in entry] if isinstance(entry, list) else entry


def _predeploys(genesis: Mapping[str, Any]) -> str:
    alloc = {key.lower().removeprefix("0x"): value for key, value in genesis["alloc"].items()}
    return _json(
        {
            name: {"address": f"0x{address}", "code": alloc[address]["code"]}
            for name, address in ACCOUNTS.items()
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["write", package, genesis]:
                sys.exit(write(Path(package), Path(genesis)))
            case ["check", package]:
                sys.exit(check(Path(package)))
            case ["check", package, genesis]:
                sys.exit(check(Path(package), Path(genesis)))
            case _:
                sys.exit("usage: python -m contracts.bedrock.extract write|check PACKAGE [GENESIS]")
    except Differs as error:
        sys.exit(str(error))
