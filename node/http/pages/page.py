"""The frame of a page, and the pieces that several pages have."""

from typing import Any

from node.http.pages.markup import Child, Html, el, joined
from node.http.pages.style import SHEET

DIGITS_SHOWN = 6  # behind the point; all of them are in the wei below


def page(title: str, *body: Child) -> str:
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        Html(f"<style>{SHEET}</style>"),
    )
    return "<!doctype html>\n" + el("html", head, el("body", el("main", *body)), lang="en")


def failed(title: str, message: str) -> str:
    """The page of an error, with the form that leads on."""
    return page(title, top(), el("h1", title), el("p", message), ask())


def top(link: Child = None) -> Html:
    return el("div", el("a", "OpenLedger", href="/why"), el("span", link), class_="top")


def ask() -> Html:
    """Where to paste a receipt, or a contributor's number."""
    return joined(
        (
            el("h2", "Why does an answer pay whom?"),
            _form("/why", "receipt", "the receipt's digest, or its beginning", "Explain"),
            el("h2", "What did a contributor earn?"),
            _form("/earnings", "contributor", "the contributor's number", "Show"),
        )
    )


def _form(action: str, name: str, hint: str, button: str) -> Html:
    field = el("input", name=name, placeholder=hint, aria_label=hint, autocomplete="off")
    return el("form", field, el("button", button), action=action, method="get")


def money(amount: Any) -> Html:
    """OPEN to read, and the exact wei."""
    whole, _, rest = str(amount["open"]).partition(".")
    short = f"{whole}.{rest[:DIGITS_SHOWN]}".rstrip("0").rstrip(".") if rest else whole
    about = "≈ " if short != amount["open"] else ""
    wei = el("span", f"{int(amount['wei']):,} wei".replace(",", "\u202f"), class_="wei")
    return el("span", f"{about}{short} OPEN", wei, class_="money")


def facts(*rows: tuple[str, Child]) -> Html:
    given = [(name, value) for name, value in rows if value is not None]
    return el("dl", *((el("dt", name), el("dd", value)) for name, value in given))


def hexadecimal(text: str | None) -> Html | None:
    return None if text is None else el("span", text, class_="hex")


def badge(status: str) -> Html:
    said = {"unattributed": "not attributed yet"}.get(status, status)
    return el("span", said, class_=f"badge {status}")


def contributor(number: int) -> Html:
    name = "the treasury" if number == 0 else f"contributor {number}"
    return el("a", name, href=f"/earnings/{number}")


def notes(told: list[str]) -> Html | None:
    if not told:
        return None
    return joined((el("h2", "Not said here"), *(el("p", text, class_="note") for text in told)))
