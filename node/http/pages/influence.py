"""The part of a page that shows which examples passed the threshold, and which just did not."""

from collections.abc import Mapping
from typing import Any

from node.http.pages.markup import Html, el, joined
from node.http.pages.page import contributor, money

BELOW = "under the line"

Json = Mapping[str, Any]


def influence(why: Json) -> Html | None:
    line = why["threshold"]
    if line is None:
        return None
    over = [one for one in line["under"] if one["unpaid"] != BELOW]
    under = [one for one in line["under"] if one["unpaid"] == BELOW]
    every = [*why["influences"], *over, *under]
    scale = max([float(line["sigmas"]), *(float(one["sigmas"]) for one in every)]) * 1.05
    at = float(line["sigmas"])
    count = "" if line["examples"] is None else f"Of {line['examples']} examples, "
    told = (
        f"{count}at most {line['listed_max']} are paid, by their scores: those that stand more "
        f"than {line['sigmas']} sigmas out of the noise. They share what no words above earned."
    )
    threshold = el("div", f"{line['sigmas']} sigmas: the threshold", class_="threshold")
    return joined(
        (
            el("h2", "What the training learned it from"),
            el("p", told, class_="dim"),
            [_example(one, at, scale) for one in (*why["influences"], *over)],
            threshold,
            [_example(one, at, scale) for one in under],
            None if under else el("p", _nothing_under(line), class_="dim"),
        )
    )


def _nothing_under(line: Json) -> str:
    if line["examples"] is None:
        return "This node does not hold the features that would show who came just under it."
    return "No other example has a score above zero."


def _example(one: Json, at: float, scale: float) -> Html:
    about = "" if one["sigmas_exact"] else "about "
    paid = money(one["amount"]) if one["unpaid"] is None else el("small", one["unpaid"])
    place = ""
    if one["document"] is not None:
        place = f", document {one['document']} of shard {one['shard']}"
    who = el(
        "div",
        contributor(one["contributor"]),
        el("small", f" example {one['example']}{place}: {about}{one['sigmas']} sigmas"),
    )
    excerpt = el("div", one["text"], class_="text excerpt") if one["text"] else None
    bar = _bar(float(one["sigmas"]), at, scale, bool(one["unpaid"]))
    return el("div", el("div", who, paid, class_="row"), bar, excerpt, class_="card")


def _bar(sigmas: float, at: float, scale: float, unpaid: bool) -> Html:
    wide, mark = (f"{100 * value / scale:.2f}" for value in (sigmas, at))
    return el(
        "svg",
        el("rect", x=0, y=1, width=100, height=2, class_="track"),
        el("rect", x=0, y=0, width=wide, height=4, class_="bar none" if unpaid else "bar"),
        el("line", x1=mark, x2=mark, y1=-2, y2=6, class_="line"),
        viewBox="0 0 100 4",
        preserveAspectRatio="none",
        class_="score",
        aria_hidden="true",
    )
