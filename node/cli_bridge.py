"""`openledger bridge`: move $OPEN between L1 and L2 through the rollup's own contracts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from node.bridge.actions import Options

app = typer.Typer(
    help="Move OPEN between L1 and L2. A command that was ended goes on when given again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The settings file (TOML).")]
Amount = Annotated[
    str | None, typer.Argument(help="How much OPEN, as 12.5; none: go on with what was begun.")
]
Transaction = Annotated[
    str, typer.Argument(metavar="HASH", help="The withdrawal's L2 transaction.")
]
To = Annotated[str | None, typer.Option(help="Who receives it; else the account itself.")]
Again = Annotated[
    bool, typer.Option("--again", help="Yes, another one like one that is still under way.")
]
Key = Annotated[
    Path | None, typer.Option(help="Key file of the account; else that of the settings.")
]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File with the password of --key in its first line.")
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")]
Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]
WAIT_DEFAULT = 3_600.0


@app.command()
def deposit(
    file: File,
    amount: Amount = None,
    to: To = None,
    again: Again = False,
    key: Key = None,
    password_file: PasswordFile = None,
    wait: Wait = WAIT_DEFAULT,
    as_json: Json = False,
) -> None:
    """Give OPEN to the portal on L1, wait until it is on the L2."""
    from node.bridge import commands

    commands.deposit(_options(file, key, password_file, as_json, wait), amount, to, again)


@app.command()
def withdraw(
    file: File,
    amount: Amount = None,
    to: To = None,
    again: Again = False,
    key: Key = None,
    password_file: PasswordFile = None,
    wait: Wait = WAIT_DEFAULT,
    as_json: Json = False,
) -> None:
    """Take OPEN from the L2: prove it when an output covers it, be paid after the period."""
    from node.bridge import commands

    commands.withdraw(_options(file, key, password_file, as_json, wait), amount, to, again)


@app.command()
def prove(
    file: File,
    transaction: Transaction,
    key: Key = None,
    password_file: PasswordFile = None,
    wait: Wait = WAIT_DEFAULT,
    as_json: Json = False,
) -> None:
    """Prove a withdrawal now, whoever made it; the portal's reason if it may not be yet."""
    from node.bridge import commands

    commands.prove(_options(file, key, password_file, as_json, wait), transaction)


@app.command()
def finalize(
    file: File,
    transaction: Transaction,
    key: Key = None,
    password_file: PasswordFile = None,
    wait: Wait = WAIT_DEFAULT,
    as_json: Json = False,
) -> None:
    """Have a withdrawal paid now, whoever made it; the portal's reason if it may not be yet."""
    from node.bridge import commands

    commands.finalize(_options(file, key, password_file, as_json, wait), transaction)


@app.command()
def status(
    file: File,
    transaction: Annotated[
        str | None, typer.Argument(metavar="HASH", help="One transaction, of L1 or of L2.")
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Where each crossing is, and when its next step is possible; no password is needed."""
    from node.bridge import commands

    commands.status(_options(file, key, None, as_json, WAIT_DEFAULT), transaction)


def _options(
    file: Path, key: Path | None, password_file: Path | None, as_json: bool, wait: float
) -> "Options":
    from node.bridge.actions import Options

    return Options(file, key, password_file, as_json, wait)
