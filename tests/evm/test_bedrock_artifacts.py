"""The committed artifacts of others: what the manifest says, and nothing that was not published."""

import hashlib
import json
from pathlib import Path

import pytest
import zstandard

from contracts.bedrock import extract
from contracts.bedrock.published import ARTIFACTS, MANIFEST, artifact, names, predeploys

CODE_MAX = 24_576  # EIP-170
INITCODE_MAX = 2 * CODE_MAX  # EIP-3860
VECTORS = Path(__file__).parent.parent / "vectors" / "op-stack" / "genesis"
CHAIN = "sepolia-devnet-2-sepolia-devnet-2.json.zst"


def test_the_manifest_holds_every_file() -> None:
    manifest = json.loads((ARTIFACTS / MANIFEST).read_text())
    found = {p.name: p.read_bytes() for p in ARTIFACTS.iterdir() if p.name != MANIFEST}

    assert extract.strays() == []
    assert manifest["files"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in sorted(found.items())
    }
    assert manifest["package"]["version"] == "0.17.3"


def test_a_changed_artifact_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ARTIFACTS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(extract, "ARTIFACTS", tmp_path)
    assert extract.strays() == []

    (tmp_path / "Proxy.json").write_text((tmp_path / "Proxy.json").read_text() + " ")

    assert extract.strays() == [MANIFEST]


def test_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(
        '{"name": "@eth-optimism/contracts-bedrock", "version": "0.17.2", "license": "MIT"}'
    )
    archive = tmp_path / "package.tgz"
    archive.write_bytes(b"not the tarball")

    with pytest.raises(extract.Differs, match=r"0\.17\.2"):
        extract.reader(tmp_path)
    with pytest.raises(extract.Differs, match="not the package"):
        extract.reader(archive)


def test_the_licence_goes_with_the_code() -> None:
    licence = (ARTIFACTS / extract.LICENSE).read_text()

    assert licence.startswith("MIT License")
    assert "Copyright (c) 2022 Optimism" in licence


def test_every_contract_fits_the_chain() -> None:
    assert set(names()) == set(extract.CONTRACTS)
    for name in names():
        assert 0 < len(artifact(name).bytecode) <= INITCODE_MAX, name
    for name, predeploy in predeploys().items():
        assert 0 < len(predeploy.code) <= CODE_MAX, name


def test_the_predeploys_are_those_of_a_published_genesis() -> None:
    """The vector of the superchain registry, whose genesis hash another test reproduces."""
    dictionary = zstandard.ZstdCompressionDict((VECTORS / "dictionary").read_bytes())
    packed = (VECTORS / CHAIN).read_bytes()
    genesis = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(
        packed, max_output_size=1 << 26
    )

    alloc = json.loads(genesis)["alloc"]

    for name, place in extract.ACCOUNTS.items():
        assert predeploys()[name].address.hex() == place
        assert alloc[place]["code"] == "0x" + predeploys()[name].code.hex(), name
