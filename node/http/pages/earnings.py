"""The page of one contributor: all that was earned, and for each payment why."""

from collections.abc import Mapping
from typing import Any

from node.http.pages.markup import Html, el, joined
from node.http.pages.page import badge, hexadecimal, money, notes, page, top

NAMES = {
    "final": "earned, final",
    "pending": "earned, pending",
    "claimed": "claimed",
    "due": "to be claimed",
}
SAID = {
    "remainder": "what no words and no example of an answer earned",
    "unexplained": "the batch does not say for what",
    "unreadable": "the batch cannot be read here",
}

Json = Mapping[str, Any]


def earnings_page(told: Json) -> str:
    who = told["contributor"]
    name = "The treasury" if who == 0 else f"Contributor {who}"
    rows = [_payment(row) for row in told["earnings"]]
    following = None
    if told["next"] is not None:
        following = el("p", el("a", "older payments", href=f"/earnings/{who}?after={told['next']}"))
    return page(
        f"Earnings: {name}",
        top(el("a", "as JSON", href=f"/v1/contributors/{who}/earnings")),
        el("h1", name),
        el("p", hexadecimal(told["payout"]) or "no contributor has this number", class_="dim"),
        el("div", *(_total(told["totals"], key) for key in NAMES), class_="totals"),
        el("h2", f"{told['payments']} payments, the newest first"),
        rows or el("p", "Nothing yet.", class_="dim"),
        following,
        notes(told["missing"]),
    )


def _total(totals: Json, key: str) -> Html:
    return el("div", el("small", NAMES[key]), el("div", money(totals[key])), class_="card")


def _payment(row: Json) -> Html:
    head = el("div", el("div", *_reason(row)), money(row["amount"]), class_="row")
    link = None
    if row.get("receipt"):
        link = el("a", "the answer", href=f"/why/{row['receipt'][2:]}")
    foot = el("small", badge(row["status"]), f" batch {row['batch']} ", link)
    return el("div", head, foot, class_="card")


def _reason(row: Json) -> list[Html]:
    match row["kind"]:
        case "span":
            others = row["holders"] - 1
            held = f", which {others} more held later" if others else ""
            told = f"{row['owned_bytes']} of {row['length']} bytes{held}, from {_document(row)}"
            return [el("div", f"“{row['words']}”", class_="text"), el("small", told)]
        case "influence":
            told = f"example {row['example']}, about {row['sigmas']} sigmas, {_document(row)}"
            return [el("div", "influence on an answer"), el("small", told)]
        case kind:
            return [joined(SAID.get(kind, kind))]


def _document(row: Json) -> str:
    if row["document"] is None:
        return "a document that is not at hand here"
    title = f"“{row['title']}”, " if row["title"] else ""
    return f"{title}document {row['document']} of shard {row['shard']}"
