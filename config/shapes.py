"""The shapes of addresses in settings: each returns its value or says what it wants."""

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

PORT_MAX = 65_535
PEER_ID = re.compile(r"[1-9A-HJ-NP-Za-km-z]{20,64}")
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def multiaddr(text: str) -> str:
    want = f'want a multiaddr such as /ip4/0.0.0.0/tcp/4001, got "{text}"'
    parts = text.split("/")
    if len(parts) != 5 or parts[0] or parts[3] != "tcp" or not _is_port(parts[4]):
        raise ValueError(want)
    if not _is_host(parts[1], parts[2]):
        raise ValueError(want)
    return text


def peer_multiaddr(text: str) -> str:
    want = f'want a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/16Uiu2..., got "{text}"'
    head, mark, peer = text.rpartition("/p2p/")
    if not mark or not PEER_ID.fullmatch(peer):
        raise ValueError(want)
    try:
        multiaddr(head)
    except ValueError:
        raise ValueError(want) from None
    return text


def host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        good = _is_ip(host[1:-1], 6)
    else:
        good = _is_ip(host, 4) or HOST_NAME.fullmatch(host) is not None
    if not good or not _is_port(port):
        raise ValueError(f'want HOST:PORT such as 127.0.0.1:8080, got "{text}"')
    return text


def http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise ValueError(f'want a URL such as http://127.0.0.1:8545, got "{text}"')
    return text


def path(given: Path) -> Path:
    """The path with a leading ~ replaced."""
    if "\0" in str(given):
        raise ValueError("want a path without a zero byte")
    try:
        return given.expanduser()
    except RuntimeError:  # no such user
        raise ValueError("want a path that begins with the ~ of a known user") from None


def address(text: str) -> str:
    if not ADDRESS.fullmatch(text):
        raise ValueError(f'want an address of 0x and 40 hex digits, got "{text}"')
    return text


def split_host_port(text: str) -> tuple[str, int]:
    """("::1", 8080) of "[::1]:8080"."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def tcp_of_multiaddr(text: str) -> tuple[str, int]:
    """(host, port) of a multiaddr that `multiaddr` accepts."""
    _, _, host, _, port = text.split("/")
    return host, int(port)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= PORT_MAX


def _is_ip(text: str, version: int | None = None) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return version in (None, found.version)


def _is_host(kind: str, host: str) -> bool:
    match kind:
        case "ip4" | "ip6":
            return _is_ip(host, int(kind[2]))
        case "dns" | "dns4" | "dns6":
            return HOST_NAME.fullmatch(host) is not None
        case _:
            return False
