"""The HTTP of the network's nodes, for the story: every request has a deadline and is repeated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import trio

from node.exits import Fault
from node.http.operator import operator_token
from node.testnet.folder import Folder, NodeSpec

TRY_SECONDS, PAUSE_SECONDS = 120.0, 1.0
PATIENCE_SECONDS = 240.0  # a node that was killed needs half a minute to be back


class NodeRefused(Fault):
    """A node answered with an error that trying again does not mend."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Client:
    """Requests that survive the restart of the node they go to."""

    http: httpx.AsyncClient

    async def get(self, url: str) -> Any:
        return (await self._request("GET", url, None, {}))[0]

    async def post(
        self, url: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> tuple[Any, httpx.Headers]:
        """The JSON answer and its headers.  `NodeRefused` for an answer of 4xx."""
        return await self._request("POST", url, body, dict(headers or {}))

    async def _request(
        self, method: str, url: str, body: Any, headers: dict[str, str]
    ) -> tuple[Any, httpx.Headers]:
        reason = "no answer"
        with trio.move_on_after(PATIENCE_SECONDS):
            while True:
                try:
                    with trio.fail_after(TRY_SECONDS):
                        answer = await self.http.request(method, url, json=body, headers=headers)
                    if answer.status_code < 400:
                        return answer.json(), answer.headers
                    if answer.status_code < 500:
                        raise _refused(answer)
                    reason = answer.text[:200]
                except (httpx.HTTPError, trio.TooSlowError, json.JSONDecodeError) as error:
                    reason = str(error) or type(error).__name__
                await trio.sleep(PAUSE_SECONDS)
        raise Fault(f"{method} {url}: {reason}, for {PATIENCE_SECONDS:g} s")


def _refused(answer: httpx.Response) -> NodeRefused:
    try:
        error = answer.json()["error"]
        return NodeRefused(answer.status_code, str(error["type"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return NodeRefused(answer.status_code, "http", answer.text[:200])


def as_operator(folder: Folder, node: NodeSpec) -> dict[str, str]:
    """What a node asks for before it spends its operator's money."""
    return {"Authorization": f"Bearer {operator_token(folder.home(node) / 'data')}"}


def new_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=None, trust_env=False)
