"""`openledger keys`: make, list, move and re-encrypt key files, never printing more than asked."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from config.settings import Keys

app = typer.Typer(
    help="Encrypted key files (web3 V3).", no_args_is_help=True, rich_markup_mode=None
)

KeyFile = Annotated[Path, typer.Argument(metavar="KEYFILE", help="The encrypted key file.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the password in its first line; else it is asked for."),
]
Credential = Annotated[
    str | None, typer.Option(help="Name of a systemd credential with the password.")
]
PasswordEnv = Annotated[str | None, typer.Option(help="Variable that holds the password.")]


@app.command()
def new(
    file: KeyFile,
    password_file: PasswordFile = None,
    credential: Credential = None,
    password_env: PasswordEnv = None,
) -> None:
    """Make a new key; print its address."""
    from node.keystore import encrypt, new_secret, password

    keys = _keys(file, password_file, credential, password_env)
    encrypt(file, new_secret(), password(keys, confirm=True))
    _say_address(file)


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="A folder of key files.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print data for programs.")] = False,
) -> None:
    """List the key files of a folder with their addresses; no password is needed."""
    from node.exits import KeyTrouble
    from node.keystore import address_in

    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            address = address_in(file)
        except KeyTrouble:
            continue  # some other JSON file
        if len(address) == 42:
            found.append({"file": str(file), "address": address})
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for row in found:
            typer.echo(f"{row['address']}  {row['file']}")


@app.command("import")
def import_(
    file: KeyFile,
    secret_file: Annotated[
        Path | None, typer.Option(help="File with the private key in hex; else standard input.")
    ] = None,
    password_file: PasswordFile = None,
    credential: Credential = None,
    password_env: PasswordEnv = None,
) -> None:
    """Encrypt an existing private key; it is read from a file or a pipe, never an argument."""
    from node.exits import KeyTrouble
    from node.keystore import encrypt, parse_secret, password

    if secret_file is None and sys.stdin.isatty():
        raise KeyTrouble("pass the key by --secret-file or through a pipe, so no shell records it")
    try:
        text = sys.stdin.read(200) if secret_file is None else secret_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyTrouble(f"--secret-file {secret_file} cannot be read: {error}") from None
    keys = _keys(file, password_file, credential, password_env)
    encrypt(file, parse_secret(text), password(keys, confirm=True))
    _say_address(file)


@app.command()
def export(
    file: KeyFile,
    password_file: PasswordFile = None,
    credential: Credential = None,
    password_env: PasswordEnv = None,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, print the secret.")] = False,
) -> None:
    """Print the private key in hex.  Whoever reads it owns the stake."""
    from node.exits import KeyTrouble
    from node.keystore import open_key

    if not yes:
        raise KeyTrouble("the private key would be printed in the clear; add --yes if you mean it")
    signer = open_key(_keys(file, password_file, credential, password_env))
    typer.echo("0x" + signer.secret.hex())


@app.command("change-password")
def change_password(
    file: KeyFile,
    new_password_file: Annotated[
        Path | None, typer.Option(help="File with the new password; else it is asked for.")
    ] = None,
    password_file: PasswordFile = None,
    credential: Credential = None,
    password_env: PasswordEnv = None,
) -> None:
    """Encrypt the same key by another password; the old file stays until the new one is whole."""
    from node.keystore import encrypt, open_key, password

    signer = open_key(_keys(file, password_file, credential, password_env))
    fresh = password(_keys(file, new_password_file, None, None), confirm=True)
    encrypt(file, signer.secret, fresh, overwrite=True)
    _say_address(file)


def _keys(
    file: Path, password_file: Path | None, credential: str | None, env: str | None
) -> "Keys":
    from config.settings import Keys
    from node.exits import WrongSettings

    if sum(source is not None for source in (password_file, credential, env)) > 1:
        raise WrongSettings("want one of --password-file, --credential, --password-env")
    return Keys(
        keystore=file,
        password_file=password_file,
        password_credential=credential,
        password_env=env,
    )


def _say_address(file: Path) -> None:
    from node.keystore import address_in

    typer.echo(f"{address_in(file)}  {file}")
