"""The engine's own ways to fail at start or to refuse a JSON-RPC call, each with its code."""

from typing import Final

from protocol.errors import NodeError, Refused

EXIT_USAGE: Final = 2
EXIT_PORT: Final = 3
EXIT_STORE: Final = 4
EXIT_LOCKED: Final = 5

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
SERVER_ERROR: Final = -32000
LIMIT_EXCEEDED: Final = -32005
REVERTED: Final = 3
UNKNOWN_PAYLOAD: Final = -38001
INVALID_FORKCHOICE: Final = -38002
INVALID_ATTRIBUTES: Final = -38003
UNSUPPORTED_FORK: Final = -38005


class CorruptStore(NodeError):
    """The database is damaged or of another chain: nothing was deleted, nothing is served."""


class StoreLocked(NodeError):
    """Another process holds the data directory."""


class Failure(Refused):
    """A JSON-RPC error answer: `code`, the message, and for a revert the returned bytes in hex."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
