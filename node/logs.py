"""Structured logs of the whole process: JSON lines under a service, colours on a terminal."""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_KEYS = re.compile(r"secret|password|private|mnemonic|authorization|jwt", re.IGNORECASE)
VALUE_CHARS_MAX = 2000
QUIET = ("httpx", "httpcore", "hypercorn.error", "hypercorn.access", "libp2p", "urllib3", "asyncio")

Event = MutableMapping[str, Any]


def configure(level: str = "info", form: str = "auto") -> None:
    """Send the logs of structlog and of every library through one renderer to stderr."""
    as_json = form == "json" or (form == "auto" and _under_a_service())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(default=repr)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler()  # stderr: stdout is for answers
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)


def hide_secrets(logger: object, method: str, event: Event) -> Event:
    """Blank what a key's name says is secret, and cut what is endless."""
    for key, value in event.items():
        if SECRET_KEYS.search(key):
            event[key] = "***"
        elif key not in ("event", "exc_info") and isinstance(value, str | bytes):
            event[key] = _shown(value)
    return event


def _shown(value: str | bytes) -> str:
    text = value if isinstance(value, str) else "0x" + value[: VALUE_CHARS_MAX // 2].hex()
    return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "..."


def _under_a_service() -> bool:
    return "JOURNAL_STREAM" in os.environ or not sys.stderr.isatty()
