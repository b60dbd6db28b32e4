"""One JSON-RPC call or GET from a command that runs no event loop."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError

from config.settings import Settings
from node.exits import ChainTrouble

ANSWER_BYTES_MAX = 1 << 20
SAID_CHARS_MAX = 200
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # as the node itself: none


class Url:
    """A URL of the settings under its `key`; each failure is `ChainTrouble` that names both."""

    def __init__(
        self, settings: Settings, key: str, url: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.key, self.url = key, url
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._seconds = settings.chain.timeout_seconds

    def call(self, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._ask(self.url, json.dumps(body).encode(), method)
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            said = str(answer["error"].get("message"))[:SAID_CHARS_MAX]
            raise self.trouble(f"refuses {method}: {said}")
        if not isinstance(answer, dict) or "result" not in answer:
            raise self.trouble(f"does not answer {method} with JSON-RPC; set another URL")
        return answer["result"]

    def number(self, method: str, *params: Any) -> int:
        """The result as a number."""
        result = self.call(method, *params)
        try:
            if isinstance(result, str) and result.startswith("0x"):
                return int(result, 16)
        except ValueError:
            pass
        raise self.trouble(f"answers {method} with {str(result)[:SAID_CHARS_MAX]!r}")

    def get(self, path: str) -> Any:
        """The JSON at `path` below the URL."""
        return self._ask(self.url.rstrip("/") + path, None, path)

    def reach(self) -> None:
        """Whether anybody speaks HTTP there, whatever he says."""
        try:
            self._open(self.url, None).close()
        except HTTPError as error:
            error.close()
        except (URLError, OSError, ValueError) as error:
            raise self._silent("", error) from None

    def trouble(self, said: str) -> ChainTrouble:
        return ChainTrouble(f"{self.key}: {self.url} {said}")

    def _ask(self, url: str, body: bytes | None, what: str) -> Any:
        try:
            with self._open(url, body) as answer:
                return json.loads(answer.read(ANSWER_BYTES_MAX))
        except HTTPError as error:
            error.close()
            raise self._silent(what, error) from None
        except (URLError, OSError, ValueError, RecursionError) as error:
            raise self._silent(what, error) from None

    def _open(self, url: str, body: bytes | None) -> Any:
        return DIRECT.open(urllib.request.Request(url, body, self._headers), timeout=self._seconds)

    def _silent(self, what: str, error: Exception) -> ChainTrouble:
        reason = getattr(error, "reason", None) or error
        return self.trouble(
            f"does not answer{f' {what}' if what else ''}: {reason}; "
            "start what should be there or set another URL"
        )
