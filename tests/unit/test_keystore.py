"""A key is on disk only encrypted, never asked for without a terminal, never printed."""

import io
import json
from pathlib import Path

import pytest

from config.settings import Keys
from node import keystore
from node.exits import KeyTrouble
from node.keystore import LocalSigner, decrypt, encrypt, open_key
from protocol.signature import recover

SECRET = bytes(31) + b"\x07"
COST = 2  # scrypt's n; the real one is tried once below


@pytest.fixture
def file(tmp_path: Path) -> Path:
    encrypt(tmp_path / "operator.json", SECRET, "pass", cost=COST)
    return tmp_path / "operator.json"


def test_it_is_a_web3_keystore(tmp_path: Path) -> None:
    """At full cost; other tools open it, and it states its address as they expect."""
    from eth_keyfile.keyfile import decode_keyfile_json

    encrypt(tmp_path / "k.json", SECRET, "pässword")
    document = json.loads((tmp_path / "k.json").read_text())

    assert document["crypto"]["kdfparams"]["n"] == keystore.SCRYPT_N >= 1 << 17
    assert decode_keyfile_json(document, "pässword".encode()) == SECRET
    assert keystore.address_in(tmp_path / "k.json") == "0x" + LocalSigner(SECRET).address.hex()


def test_only_the_owner_reads_it(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert SECRET.hex() not in file.read_text()
    assert [path.name for path in file.parent.iterdir()] == ["operator.json"]

    file.chmod(0o640)
    with pytest.raises(KeyTrouble, match="may be read by others; run `chmod 600"):
        open_key(Keys(keystore=file))


def test_nothing_is_overwritten_unasked(file: Path) -> None:
    with pytest.raises(KeyTrouble, match="exists and was left as it is"):
        encrypt(file, bytes(31) + b"\x08", "other", cost=COST)
    assert decrypt(file, "pass") == SECRET

    encrypt(file, SECRET, "other", cost=COST, overwrite=True)
    assert decrypt(file, "other") == SECRET


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; restore it from your backup"),
        (b"", "damaged: it is not JSON"),
        (b"\xff", "damaged: it is not JSON"),
        (b"[1]", "no V3 keystore"),
        (b"{}", "no V3 keystore"),
        (b'{"version": 3, "crypto": {}}', "no V3 keystore"),
    ],
)
def test_each_damage_has_its_sentence(file: Path, content: bytes | None, message: str) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KeyTrouble, match=message):
        decrypt(file, "pass")


def test_a_wrong_password_is_told(file: Path) -> None:
    with pytest.raises(KeyTrouble, match="the password is wrong"):
        decrypt(file, "no")


def test_the_password_comes_from_a_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("pass\nnot this\n")
    assert open_key(Keys(keystore=file, password_file=tmp_path / "pw")).secret == SECRET

    (tmp_path / "pw").write_text("\n")
    with pytest.raises(KeyTrouble, match="want a password in the first line"):
        open_key(Keys(keystore=file, password_file=tmp_path / "pw"))
    with pytest.raises(KeyTrouble, match=r"keys\.password_file: .* cannot be read: No such file"):
        open_key(Keys(keystore=file, password_file=tmp_path / "none"))


def test_the_password_comes_from_a_credential(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(keystore=file, password_credential="operator")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(KeyTrouble, match="no service manager passed credentials"):
        open_key(keys)

    (tmp_path / "operator").write_text("pass")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert open_key(keys).secret == SECRET


def test_the_password_comes_from_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(keystore=file, password_env="OPENLEDGER_TEST_PASSWORD")
    with pytest.raises(KeyTrouble, match="OPENLEDGER_TEST_PASSWORD is not set"):
        open_key(keys)

    monkeypatch.setenv("OPENLEDGER_TEST_PASSWORD", "pass")
    assert open_key(keys).secret == SECRET


def test_nothing_is_asked_without_a_terminal(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(KeyTrouble, match=r"set keys\.password_file"):
        open_key(Keys(keystore=file))


def test_the_secret_is_in_no_repr() -> None:
    signer = LocalSigner(SECRET)

    assert SECRET.hex() not in repr(signer)
    assert repr(SECRET) not in repr(signer)


def test_signatures_recover_to_the_address() -> None:
    signer = LocalSigner(SECRET)

    assert recover(bytes(32), signer.sign(bytes(32))) == signer.address


def test_the_p2p_identity_follows_from_the_key_and_hides_it() -> None:
    one, other = LocalSigner(SECRET), LocalSigner(keystore.new_secret())

    assert one.p2p_secret() == LocalSigner(SECRET).p2p_secret()
    assert len({one.p2p_secret(), other.p2p_secret(), one.secret, other.secret}) == 4
    assert len(one.p2p_secret()) == 32


@pytest.mark.parametrize("text", ["", "0x", "zz" * 32, "00" * 32, "ff" * 32, "01" * 31])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyTrouble, match="not a private key"):
        keystore.parse_secret(text)


def test_a_key_in_hex_is_taken() -> None:
    assert keystore.parse_secret(f" 0x{SECRET.hex()}\n") == SECRET
