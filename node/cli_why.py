"""`openledger why`: asks a node where the words of a paid answer come from, and who is paid."""

import json
import urllib.request
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

import typer

from node import exits

ANSWER_BYTES_MAX = 8 << 20
SECONDS_MAX = 120.0  # a node may have to fetch and decode a batch first
SAID_CHARS_MAX = 400

Receipt = Annotated[
    str, typer.Argument(metavar="RECEIPT", help="The receipt's digest in hex, or its beginning.")
]
SettingsFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="Settings of the node that is asked.")
]
NodeUrl = Annotated[
    str | None, typer.Option("--node", metavar="URL", help="The node that is asked, by its URL.")
]
Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]


def why(
    receipt: Receipt, file: SettingsFile = None, node: NodeUrl = None, as_json: Json = False
) -> None:
    """Show why an answer pays whom: its sources, the threshold, the split, the transaction."""
    url = _base(file, node)
    told = fetch(url, receipt)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=True))
        return
    from rich.console import Console

    from node.why.terminal import Terminal

    try:
        Terminal(Console(highlight=False)).why(told)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise exits.WrongSettings(
            f"{url} answers with something else than an explanation: {error!r}"
        ) from None
    typer.echo(f"\npage: {url}/why/{str(told['receipt']).removeprefix('0x')}")


def _base(file: Path | None, node: str | None) -> str:
    """The URL of the node, without a path."""
    if (file is None) == (node is None):
        raise exits.WrongSettings("why: want either a settings FILE or --node URL")
    if node is not None:
        parts = urlsplit(node)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise exits.WrongSettings(f"--node: want a URL as http://127.0.0.1:8080, got {node!r}")
        return node.rstrip("/")
    from config.settings import load
    from node.status import url_of

    assert file is not None
    return url_of(load(file))


def fetch(url: str, receipt: str) -> dict[str, Any]:
    """The explanation, its texts fit for a terminal; a `Fault` in the node's own words."""
    path = f"{url}/v1/receipts/{quote(receipt, safe='')}/why"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(path, timeout=SECONDS_MAX) as answer:
            told = _cleaned(json.loads(answer.read(ANSWER_BYTES_MAX)))
    except HTTPError as error:
        with error:
            raise exits.WrongSettings(_said(url, error)) from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise exits.WrongSettings(f"no node answers at {url}: {reason}") from None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("schema") != 1:
        raise exits.WrongSettings(f"{url} is no node that explains answers in schema 1")
    return told


def _cleaned(value: Any) -> Any:
    """Whatever the node says, nothing of it may act on this terminal."""
    from node.why.visible import visible

    match value:
        case str():
            return visible(value)
        case list():
            return [_cleaned(item) for item in value]
        case dict():
            return {visible(name): _cleaned(item) for name, item in value.items()}
        case _:
            return value


def _said(url: str, error: HTTPError) -> str:
    """Why the node does not explain: the one sentence of its answer."""
    from node.why.visible import visible

    try:
        message = json.loads(error.read(ANSWER_BYTES_MAX))["error"]["message"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        message = f"answers {error.code}; is it a prover, validator or curator?"
    return f"{url}: {visible(str(message))[:SAID_CHARS_MAX]}"
