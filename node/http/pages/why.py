"""The page of one answer: its words by source, its influences, where its fee went."""

from collections.abc import Mapping
from typing import Any

from node.http.pages.influence import influence
from node.http.pages.markup import Html, el, joined
from node.http.pages.page import badge, contributor, facts, hexadecimal, money, notes, page, top
from node.http.pages.style import QUOTED, hue

PROMPT_OPEN_CHARS = 600  # a longer one is folded
SPANS_OPEN = 12  # more of them are folded

Json = Mapping[str, Any]


def why_page(why: Json) -> str:
    name = why["adapter"]["name"] or "an adapter"
    return page(
        f"Why: an answer of {name}",
        top(el("a", "as JSON", href=f"/v1/receipts/{why['receipt'][2:]}/why")),
        el("h1", f"Who made this answer of {name}"),
        el("p", badge(why["status"]), " ", why["reason"]),
        _asked(why["prompt"]),
        _answer(why),
        _split(why["split"]),
        _spans(why),
        influence(why),
        _facts(why),
        notes(why["missing"]),
    )


def _asked(prompt: str) -> Html:
    text = el("div", prompt.strip("\n"), class_="text card")
    if len(prompt) <= PROMPT_OPEN_CHARS:
        return joined((el("h2", "Asked"), text))
    told = f"the prompt, {len(prompt)} characters"
    return joined((el("h2", "Asked"), el("details", el("summary", told), text)))


def _answer(why: Json) -> Html:
    covered, size = why["covered_bytes"], why["answer_bytes"]
    told = f"{covered} of {size} bytes stand word for word in the data it was trained on."
    pieces = [_piece(why, piece) for piece in why["pieces"]]
    if pieces and why["pieces"][0]["span"] is None:  # blank lines before the first word
        pieces[0] = joined(why["pieces"][0]["text"].lstrip("\n"))
    return joined(
        (
            el("h2", "Answered"),
            el("div", el("blockquote", *pieces, class_="text"), _legend(why), class_="card"),
            el("p", told, class_="dim"),
        )
    )


def _piece(why: Json, piece: Json) -> Html:
    place = piece["span"]
    if place is None:
        return joined(piece["text"])
    span = why["spans"][place]
    link = el("a", piece["text"], el("sup", place + 1), href=f"#s{place + 1}")
    return el("mark", link, class_=_class(why, span, "c"))


def _legend(why: Json) -> Html:
    rows = [
        el(
            "li",
            el("span", class_=f"dot k{hue(place)}"),
            contributor(row["contributor"]),
            " ",
            money(row["amount"]) if int(row["amount"]["wei"]) else el("small", "nothing"),
        )
        for place, row in enumerate(why["contributors"])
    ]
    if any(span["quoted_at"] is not None for span in why["spans"]):
        quoted = el("mark", "quoted from the prompt", class_=QUOTED)
        rows.append(el("li", quoted, ": unpaid"))
    return el("ul", *rows, class_="legend")


def _class(why: Json, span: Json, letter: str) -> str:
    """The colour of a span's first source; quoted ones have none."""
    if span["quoted_at"] is not None or not span["sources"]:
        return QUOTED
    first = span["sources"][0]["contributor"]
    order = [row["contributor"] for row in why["contributors"]]
    return f"{letter}{hue(order.index(first))}"


# ---------------------------------------------------------------- money


def _split(split: Json) -> Html:
    model, rest = split["model"], split["contributors"]
    rows = (
        ("platform", split["platform"]),
        ("model: its host", model["host"]),
        ("model: the adapter's owner", model["owner"]),
        ("stakers", split["stakers"]),
        ("contributors, for words", rest["spans"]),
        ("contributors, for influence", rest["influences"]),
        ("treasury: what nothing earned", rest["treasury"]),
    )
    fee = max(1, int(split["fee"]["wei"]))
    bars, at = list[Html](), 0.0
    for number, (_, amount) in enumerate(rows):
        share = max(0, int(amount["wei"])) * 100 / fee
        bar = el("rect", x=f"{at:.3f}", y=0, width=f"{share:.3f}", height=6, class_=f"p{number}")
        bars.append(bar)
        at += share
    svg = el("svg", *bars, viewBox="0 0 100 6", preserveAspectRatio="none", class_="split",
             aria_hidden="true")  # fmt: skip
    lines = [
        el("tr", el("td", el("span", class_=f"dot p{number}"), name), el("td", money(amount)))
        for number, (name, amount) in enumerate(rows)
    ]
    foot = el("tr", el("td", "the fee"), el("td", money(split["fee"])))
    table = el("table", el("tbody", *lines), el("tfoot", foot))
    return joined((el("h2", "Where the fee goes"), el("div", svg, table, class_="card")))


# ---------------------------------------------------------------- spans


def _spans(why: Json) -> Html:
    spans = why["spans"]
    if not spans:
        told = "No words of this answer stand in the data for as long as the threshold asks."
        return joined((el("h2", "Words from the data"), el("p", told)))
    cards = [_span(why, number, span) for number, span in enumerate(spans, 1)]
    shown, folded = cards[:SPANS_OPEN], cards[SPANS_OPEN:]
    more = el("details", el("summary", f"{len(folded)} more"), *folded) if folded else None
    return joined((el("h2", "Words from the data"), *shown, more))


def _span(why: Json, number: int, span: Json) -> Html:
    end = span["start"] + span["length"]
    head = (el("span", f"{number} ", class_="num"), f"bytes {span['start']}-{end}")
    if span["quoted_at"] is not None:
        told = f"quoted from the prompt, where it stands at byte {span['quoted_at']}: unpaid"
        amount = None
    else:
        common = ", common words" if span["common"] else ""
        told = f"{span['owned_bytes']} bytes of it paid, weight {span['weight']}{common}"
        amount = money(span["amount"])
    row = el("div", el("div", *head, el("small", f" {told}")), amount, class_="row")
    return el("div", row, *_sources(why, span), class_="card", id=f"s{number}")


def _sources(why: Json, span: Json) -> list[Html]:
    """Who held it first is paid, whoever else has it is not."""
    order = [row["contributor"] for row in why["contributors"]]
    return [
        el(
            "div",
            el("div", el("small", "also held by " if later else "first held by "),
               contributor(source["contributor"]), _place(source)),
            class_=f"source k{hue(order.index(source['contributor']))}",
        )
        for later, source in enumerate(span["sources"])
    ]  # fmt: skip


def _place(source: Json) -> Html:
    where = f"document {source['document']} of shard {source['shard']}, byte {source['position']}"
    title = f"“{source['title']}”, " if source["title"] else ""
    return el("small", f" {title}{where}")


def _facts(why: Json) -> Html:
    batch, number = why["batch"], why["answer_number"]
    place = None if batch is None else f"answer {number} of batch {batch}"
    rows = facts(
        ("receipt", hexadecimal(why["receipt"])),
        ("posted as", place),
        ("in transaction", hexadecimal(why["transaction"])),
        ("by", hexadecimal(why["poster"])),
        ("rules", f"parameters version {why['parameters_version']}"),
        ("adapter", hexadecimal(why["adapter"]["id"])),
        ("host", hexadecimal(why["host"])),
        ("payer", hexadecimal(why["payer"])),
        ("tokens", f"{why['prompt_tokens']} of the prompt, {why['output_tokens']} of the answer"),
    )
    return joined((el("h2", "What the chain holds"), el("div", rows, class_="card")))
