"""The operator's key: encrypted on disk (web3 V3, scrypt), opened once, never printed."""

import json
import os
import secrets
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from config.settings import Keys
from node.exits import KeyTrouble
from protocol.signature import address_of, sign

SCRYPT_N = 1 << 17  # with r = 8: about 0.3 s and 130 MB once at the start
FILE_BYTES_MAX = 64 << 10
PASSWORD_BYTES_MAX = 4096
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P2P_DOMAIN = b"openledger p2p identity"


@dataclass(frozen=True, slots=True)
class LocalSigner:
    """Signs with a key held in memory."""

    secret: bytes = field(repr=False)
    address: bytes = field(init=False)  # 20 bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", address_of(self.secret))

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r | s | v with v 27 or 28, over the 32 bytes of `digest`."""
        return sign(self.secret, digest)

    def p2p_secret(self) -> bytes:
        """The 32 bytes behind the libp2p identity: one backup keeps both."""
        return bytes(keccak(P2P_DOMAIN + b"|" + self.secret))


def new_secret() -> bytes:
    return (secrets.randbelow(ORDER - 1) + 1).to_bytes(32, "big")


def parse_secret(text: str) -> bytes:
    """The 32 bytes of a private key in hex, with or without 0x."""
    digits = text.strip().removeprefix("0x")
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        secret = b""
    if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
        raise KeyTrouble("not a private key: want 64 hex digits of a secp256k1 key")
    return secret


def open_key(keys: Keys) -> LocalSigner:
    """The key that the settings name; `KeyTrouble` says what is missing or wrong."""
    check_readable(keys.keystore)
    return LocalSigner(decrypt(keys.keystore, password(keys)))


def check_readable(path: Path) -> None:
    """Tell a missing, unreadable or public key file before a password is asked for."""
    try:
        mode = path.stat().st_mode
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise KeyTrouble(
            f"key file {path} is missing; restore it from your backup, "
            f"or make a new key with `openledger keys new {path}`"
        ) from None
    except OSError as error:
        raise KeyTrouble(f"key file {path} cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyTrouble(f"key file {path} may be read by others; run `chmod 600 {path}`")


def encrypt(
    path: Path, secret: bytes, password: str, *, overwrite: bool = False, cost: int = SCRYPT_N
) -> None:
    """Write `secret` to `path` encrypted: whole or not at all, on disk before this returns.

    `cost` is scrypt's n, a power of two; only throw-away keys of a testnet take less.
    """
    from eth_keyfile.keyfile import create_keyfile_json  # 0.9 s

    document = create_keyfile_json(secret, password.encode(), kdf="scrypt", iterations=cost)
    _write(path, json.dumps(document, indent=1).encode() + b"\n", overwrite=overwrite)


def decrypt(path: Path, password: str) -> bytes:
    from eth_keyfile.keyfile import decode_keyfile_json

    document = _document(path)
    try:
        secret: bytes = decode_keyfile_json(document, password.encode())
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise KeyTrouble(f"key file {path}: the password is wrong") from None
        raise KeyTrouble(f"key file {path} is damaged: {error}") from None
    except (KeyError, TypeError, NotImplementedError) as error:
        raise KeyTrouble(f"key file {path} is no V3 keystore: {error!r}") from None
    return secret


def address_in(path: Path) -> str:
    """The address that a key file states, without its password."""
    text = str(_document(path).get("address", ""))
    return "0x" + text.removeprefix("0x").lower()


def password(keys: Keys, *, confirm: bool = False) -> str:
    """The password from the place that the settings name, or from a prompt on a terminal only."""
    if keys.password_file is not None:
        return _read_password(keys.password_file, "keys.password_file")
    if keys.password_credential is not None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise KeyTrouble(
                f"keys.password_credential is {keys.password_credential!r} but no service manager "
                "passed credentials; under systemd use LoadCredential=, elsewhere password_file"
            )
        return _read_password(Path(folder) / keys.password_credential, "keys.password_credential")
    if keys.password_env is not None:
        value = os.environ.get(keys.password_env)
        if not value:
            raise KeyTrouble(f"keys.password_env: the variable {keys.password_env} is not set")
        return value
    return _prompt(confirm=confirm)


def _prompt(*, confirm: bool) -> str:
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or "INVOCATION_ID" in os.environ:
        raise KeyTrouble(
            "no password for the key: set keys.password_file or keys.password_credential "
            "(or pass --password-file); it is asked for on a terminal only"
        )
    import getpass

    first = getpass.getpass("Password of the key: ", stream=sys.stderr)
    if confirm and getpass.getpass("Again: ", stream=sys.stderr) != first:
        raise KeyTrouble("the two passwords differ; nothing was written")
    if not first:
        raise KeyTrouble("an empty password protects nothing; nothing was written")
    return first


def _read_password(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(PASSWORD_BYTES_MAX + 1)
        text = data.decode()
    except OSError as error:
        raise KeyTrouble(f"{what}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyTrouble(f"{what}: {path} is not UTF-8") from None
    first = text.split("\n", 1)[0].rstrip("\r")
    if not first or len(data) > PASSWORD_BYTES_MAX:
        raise KeyTrouble(f"{what}: want a password in the first line of {path}")
    return first


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(FILE_BYTES_MAX))
    except FileNotFoundError:
        raise KeyTrouble(f"key file {path} is missing; restore it from your backup") from None
    except OSError as error:
        raise KeyTrouble(f"key file {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise KeyTrouble(f"key file {path} is damaged: it is not JSON") from None
    if not isinstance(document, dict):
        raise KeyTrouble(f"key file {path} is no V3 keystore")
    return document


def _write(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Through a file beside it, synced, then put in place in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            draft.replace(path)
        else:
            os.link(draft, path)  # fails if `path` exists, with no moment in between
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except FileExistsError:
        raise KeyTrouble(
            f"key file {path} exists and was left as it is; name another or move it away"
        ) from None
    except OSError as error:
        raise KeyTrouble(f"key file {path} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
