"""The command line `openledger`: reads arguments, calls one function, turns faults into exits."""

import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from node import cli_bridge, cli_keys, cli_why, exits

app = typer.Typer(
    name="openledger",
    help=f"The node of OpenLedger: people are paid for the data behind an answer.\n\n{exits.TABLE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
testnet_app = typer.Typer(
    help="A whole network on this machine, in one folder; Ctrl-C ends it, a second start goes on.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_bridge.app, name="bridge")
app.add_typer(testnet_app, name="testnet")
app.command()(cli_why.why)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The settings file (TOML).")]
Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code.  Expected errors are one sentence on stderr."""
    from config.settings import ConfigError

    try:
        result = app(arguments, prog_name="openledger", standalone_mode=False)
    except ConfigError as error:
        return _say(str(error), exits.USAGE)
    except exits.Fault as error:
        return _say(str(error), error.code)
    except typer.Abort:
        return _say("interrupted", exits.INTERRUPTED)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BaseExceptionGroup as group:
        return _group(group)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # click's own usage errors
            error.show()
            return exits.USAGE
        return _bug()
    return result if isinstance(result, int) else exits.OK


@app.command()
def init(
    file: File,
    role: Annotated[list[str], typer.Option(help="A role of this node; may be repeated.")],
    network: Annotated[str, typer.Option(help="A network by name, or a path.")] = "devnet",
    password_file: Annotated[
        Path | None, typer.Option(help="Where the password of the key is; else it is asked for.")
    ] = None,
) -> None:
    """Write a settings file and a new operator key for the chosen roles; overwrite nothing."""
    from node.init import initialise

    for line in initialise(file, tuple(role), network, password_file):
        typer.echo(line)


@app.command()
def check(
    file: File,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the chains and servers too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for what would keep this node from starting: each problem with place and remedy."""
    from node.check import problems

    told = problems(file, online=online)
    found = [fault for fault in told if fault.code != exits.OK]
    notes = [str(note) for note in told if note.code == exits.OK]
    if as_json:
        rows = [{"code": fault.code, "problem": str(fault)} for fault in found]
        typer.echo(json.dumps({"ok": not found, "problems": rows, "notes": notes}))
    else:
        for line in [*(str(fault) for fault in found), *(f"note: {note}" for note in notes)]:
            typer.echo(line, err=True)
        if not found:
            typer.echo(f"{file}: ok")
    if found:
        raise typer.Exit(found[0].code)


@app.command()
def run(file: File) -> None:
    """Run the node in the foreground until SIGTERM or Ctrl-C."""
    from config.settings import load
    from node.logs import configure

    settings = load(file)
    configure(settings.log.level, settings.log.format)
    _call("node.wiring", "run", settings)


@app.command()
def status(file: File, as_json: Json = False) -> None:
    """Ask the running node how it is, and why it does not earn."""
    from config.settings import load
    from node.status import fetch, render

    answer = fetch(load(file))
    typer.echo(json.dumps(answer) if as_json else render(answer))


@app.command()
def version() -> None:
    """Print the version of this program."""
    from importlib.metadata import version as version_of

    typer.echo(f"openledger {version_of('openledger-node')}")


DirOption = Annotated[Path, typer.Option("--dir", help="The folder that keeps the network.")]
NodesOption = Annotated[int, typer.Option(min=5, max=64, help="How many node processes.")]
SeedOption = Annotated[int, typer.Option(help="Seed of everything drawn.")]
KeepOption = Annotated[bool, typer.Option("--keep", help="Keep the folder of the network.")]
WindowOption = Annotated[float, typer.Option(min=1, help="Challenge window in seconds.")]
DIR_DEFAULT = Path("openledger-testnet")


@testnet_app.callback()
def start_testnet(
    context: typer.Context,
    folder: DirOption = DIR_DEFAULT,
    nodes: NodesOption = 5,
    window: WindowOption = 20.0,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Start a chain, deploy, fund, and run at least five node processes on this machine."""
    if context.invoked_subcommand is None:
        _call(
            "node.testnet",
            "run",
            folder=folder,
            nodes=nodes,
            window=window,
            seed=seed,
            as_json=as_json,
        )


@testnet_app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="The folder; a temporary one if not given.")
    ] = None,
    nodes: NodesOption = 5,
    model: Annotated[
        Path | None, typer.Option(help="A Hugging Face causal model on disk, instead of our own.")
    ] = None,
    window: WindowOption = 20.0,
    seed: SeedOption = 0,
    keep: KeepOption = False,
    as_json: Json = False,
) -> None:
    """Play the story: data, model, paid answer, attribution, a lie, its slash, the reward."""
    _call(
        "node.testnet",
        "demo",
        folder=folder,
        nodes=nodes,
        model=model,
        window=window,
        seed=seed,
        keep=keep,
        as_json=as_json,
    )


def _call(module: str, function: str, *arguments: Any, **options: Any) -> None:
    """Call a part that is heavy to import; an int it returns is the exit code."""
    code = getattr(import_module(module), function)(*arguments, **options)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


def _group(group: BaseExceptionGroup[BaseException]) -> int:
    """A nursery's errors: faults alone are told, anything else among them is a bug."""
    faults, rest = group.split(exits.Fault)
    if rest is not None and rest.split(KeyboardInterrupt)[1] is None:
        return exits.INTERRUPTED
    if rest is not None or faults is None:
        return _bug()
    leaves: list[BaseException] = [faults]
    while isinstance(leaves[0], BaseExceptionGroup):
        leaves = [*leaves[0].exceptions, *leaves[1:]]
    first = leaves[0]
    assert isinstance(first, exits.Fault)
    return _say(str(first), first.code)


def _say(text: str, code: int) -> int:
    for line in text.splitlines():
        typer.echo(f"openledger: {line}", err=True)
    return code


def _bug() -> int:
    import traceback

    traceback.print_exc()
    return _say("this is a bug; please report it with the lines above", exits.BUG)
