"""`openledger why` asks a real server and prints what it says, for people and for programs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import Http
from node.cli import main
from node.exits import OK, USAGE
from node.http import server
from node.metrics import Metrics
from tests.unit.test_why_http import JUGS, VOW, Desk

GOOD = 'network = "devnet"\ndata_dir = "data"\nroles = ["prover"]\n'


@asynccontextmanager
async def serving(routes: list[Any]) -> AsyncIterator[str]:
    settings = Http(listen="127.0.0.1:0")
    app = server.application(routes, settings, Metrics())
    async with trio.open_nursery() as nursery:
        url = await nursery.start(server.serve, app, server.listen(settings))
        yield url
        nursery.cancel_scope.cancel()


async def asked(*arguments: str) -> int:
    return await trio.to_thread.run_sync(main, ["why", *arguments])


async def test_an_answer_is_explained_on_a_terminal_and_in_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    desk = Desk()
    answer = desk.answer(JUGS + b"\x1b[31mred", 0)
    desk.post(answer, desk.answer(VOW, 1))
    digest = desk.digest(answer).hex()
    async with serving(desk.app.routes) as url:
        assert await asked(digest[:12], "--node", url) == OK
        shown = capsys.readouterr().out
        file = tmp_path / "node.toml"
        file.write_text(GOOD + f'[http]\nlisten = "{url.removeprefix("http://")}"\n')
        assert await asked(digest, str(file), "--json") == OK
        told = json.loads(capsys.readouterr().out)

    assert told["receipt"] == "0x" + digest
    for wanted in (
        "⟦Pack my box with five dozen liquor jugs⟧[1]",
        "first held by contributor 1",
        "also held by contributor 3",
        "threshold: 3.00 sigmas",
        f"{told['split']['fee']['wei']} wei",
        "pending: batch 1 pends",
        f"{url}/why/{digest}",
    ):
        assert wanted in shown, wanted
    assert "\x1b" not in shown
    assert "[31mred" in shown, "its harmless rest is shown"


async def test_a_refusal_is_one_sentence_in_the_nodes_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serving(Desk().app.routes) as url:
        assert await asked("abcdef", "--node", url) == USAGE
        assert "has not heard of a receipt abcdef" in capsys.readouterr().err
        assert await asked("a/../b", "--node", url) == USAGE
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("said", [[], {}, {"schema": 2}, {"schema": 1}, "\x1b[2J", None])
async def test_what_is_no_explanation_is_refused(
    said: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def other(request: Request) -> Response:
        return JSONResponse(said)

    async with serving([Route("/v1/receipts/{receipt}/why", other)]) as url:
        assert await asked("abcdef", "--node", url) == USAGE

    told = capsys.readouterr().err
    assert "explanation" in told or "explains" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    "arguments",
    [[], ["x.toml", "--node", "http://a"], ["--node", "nowhere"], ["--node", "ftp://a"]],
)
def test_whom_to_ask_must_be_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "abcdef", *arguments]) == USAGE
    assert capsys.readouterr().err.startswith("openledger: ")


def test_nobody_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "abcdef", "--node", "http://127.0.0.1:9"]) == USAGE
    assert "no node answers at" in capsys.readouterr().err
