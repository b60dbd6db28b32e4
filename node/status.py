"""Asks a running node how it is, and says it in words."""

import json
import urllib.request
from typing import Any
from urllib.error import URLError

from config import shapes
from config.settings import Settings
from node.exits import Occupied, WrongSettings

ANSWER_BYTES_MAX = 4 << 20
TIMEOUT = 5.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # our own node: no proxy


def fetch(settings: Settings) -> dict[str, Any]:
    """The node's own report, as `/status` gives it."""
    url = f"{url_of(settings)}/status"
    try:
        with DIRECT.open(url, timeout=TIMEOUT) as answer:
            report = json.loads(answer.read(ANSWER_BYTES_MAX))
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise WrongSettings(
            f"no node answers at {url}: {reason}; start it with `openledger run`, "
            "or look into its log"
        ) from None
    except ValueError:
        report = None
    if not isinstance(report, dict):
        raise Occupied(f"what answers at {url} is not an OpenLedger node; set another http.listen")
    return report


def url_of(settings: Settings) -> str:
    """Where a node with these settings is asked from its own machine."""
    host, port = shapes.split_host_port(settings.http.listen)
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def render(report: dict[str, Any]) -> str:
    """The report in lines: the node, the rollup, its duties, then why it is not earning."""
    tables = {key: value for key, value in report.items() if isinstance(value, dict)}
    lines = [
        f"{key}: {value}" for key, value in report.items() if not isinstance(value, list | dict)
    ]
    for key, value in tables.items():
        if key != "rollup":
            lines.append(f"{key}: {_pairs(value)}")
    if "rollup" in tables:
        lines += _rollup(tables["rollup"])
    for duty in report.get("duties", []):
        error = f" ({duty['error']})" if duty.get("error") else ""
        lines.append(
            f"duty {duty['name']}: {duty['condition']} for {duty['seconds']:.0f} s, "
            f"{duty['restarts']} restarts{error}"
        )
    reasons = report.get("not_earning", [])
    lines += [f"not earning: {reason}" for reason in reasons] or ["earning: nothing stands against"]
    return "\n".join(lines)


def _rollup(section: dict[str, Any]) -> list[str]:
    """Blocks with their age, L2 and L1, then figures; its problems are among the reasons."""
    l2 = [f"{name} {_block(section.get(name))}" for name in ("unsafe", "safe", "finalized")]
    l1 = section.get("l1") or {}
    lines = [
        "rollup: " + ", ".join(l2),
        f"L1: newest {_block(l1.get('latest'))}, finalized {_block(l1.get('finalized'))}, "
        f"read up to {_block(l1.get('current'))}, {l1.get('behind')} behind",
        "derivation: "
        + _pairs({k: section.get(k) for k in ("derived", "resets", "queued", "gossip_peers")}),
        f"unsafe blocks are signed by: {section.get('unsafe_block_signer') or 'not known yet'}",
    ]
    for part in ("sequencer", "batcher", "proposer"):
        if isinstance(figures := section.get(part), dict):
            lines.append(f"{part}: {_pairs(figures)}")
    return lines


def _block(block: Any) -> str:
    if not isinstance(block, dict):
        return "not known yet"
    return f"{block.get('number')} ({block.get('age')} s old)"


def _pairs(table: dict[str, Any]) -> str:
    return ", ".join(f"{name} {item}" for name, item in table.items())
