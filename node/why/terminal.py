"""An explanation on a terminal: sources in colours, or between marks where there are none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

COLOURS: Final = (
    "green", "cyan", "magenta", "yellow", "blue", "red", "bright_green", "bright_cyan",
)  # fmt: skip
QUOTED: Final = "dim underline"
MARKS: Final = ("⟦", "⟧")
MARKS_ASCII: Final = ("[[", "]]")
PROMPT_LINES_SHOWN: Final = 6
SPANS_SHOWN: Final = 64
INDENT: Final = 4

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Terminal:
    """Prints explanations; `names` are what the reader calls contributors, by their numbers."""

    console: Console
    names: Mapping[int, str] = field(default_factory=dict)

    def why(self, why: Json) -> None:
        self._head(why)
        self._answer(why)
        self._contributors(why)
        self._spans(why)
        self._influences(why)
        self._split(why["split"])
        for told in why["missing"]:
            self._line(Text(f"not said: {told}", style="yellow"))

    # ------------------------------------------------------------ parts

    def _head(self, why: Json) -> None:
        self._line(Text(f"receipt {why['receipt']}", style="bold"))
        self._line(f"{why['status']}: {why['reason']}")
        if why["batch"] is not None:
            posted = "" if why["transaction"] is None else f" in transaction {why['transaction']}"
            self._line(
                f"answer {why['answer_number']} of batch {why['batch']}, posted by {why['poster']}"
                f"{posted}; parameters version {why['parameters_version']}"
            )
        adapter = why["adapter"]
        self._line(f"adapter {adapter['name'] or 'without a name here'} {adapter['id']}")
        self._line(
            f"fee {_money(why['fee'])}, {why['prompt_tokens']} + {why['output_tokens']} tokens, "
            f"host {why['host']}"
        )

    def _answer(self, why: Json) -> None:
        lines = [line for line in why["prompt"].splitlines() if line.strip()]
        shown = lines[-PROMPT_LINES_SHOWN:]
        self._title("asked" if len(shown) == len(lines) else f"asked, its last {len(shown)} lines")
        self._block(Text("\n".join(shown)))
        size, covered = why["answer_bytes"], why["covered_bytes"]
        self._title(f"answered: {size} bytes, {covered} of them as they stand in the data")
        marked = self._marked(why)
        blank = len(marked.plain) - len(marked.plain.lstrip("\n"))
        self._block(marked[blank:])

    def _marked(self, why: Json) -> Text:
        """The answer, each span in the colour of its first contributor and with its number."""
        text, places = Text(), _places(why)
        opening, closing = MARKS_ASCII if self._ascii else MARKS
        for piece in why["pieces"]:
            if piece["span"] is None:
                text.append(piece["text"])
                continue
            span = why["spans"][piece["span"]]
            if self._plain:
                text.append(opening)
            text.append(piece["text"], style=_style(span, places))
            text.append(closing if self._plain else "")
            text.append(f"[{piece['span'] + 1}]", style="dim")
        return text

    def _contributors(self, why: Json) -> None:
        if not why["contributors"]:
            return
        self._title("who is paid")
        places = _places(why)
        for row in why["contributors"]:
            line = Text("# " if self._ascii else "■ ", style=_colour(places[row["contributor"]]))
            line.append(f"{self._name(row['contributor'])}: ", style="bold")
            line.append(_money(row["amount"]))
            if int(row["influences"]["wei"]):
                words, moved = row["spans"]["open"], row["influences"]["open"]
                line.append(f" ({words} for words, {moved} for influence)")
            self._line(line)
        quoted = [n for n, span in enumerate(why["spans"], 1) if span["quoted_at"] is not None]
        if quoted:
            places_told = " ".join(f"[{number}]" for number in quoted)
            self._line(Text(f"quoted from the prompt, unpaid: {places_told}", style=QUOTED))

    def _spans(self, why: Json) -> None:
        if not why["spans"]:
            self._title("no words of it stand in the data")
            return
        self._title("spans: words of the answer that stand in the data")
        for number, span in enumerate(why["spans"][:SPANS_SHOWN], 1):
            for line in self._span(number, span):
                self._line(line)
        if len(why["spans"]) > SPANS_SHOWN:
            self._line(f"and {len(why['spans']) - SPANS_SHOWN} more; --json has all")

    def _span(self, number: int, span: Json) -> Iterator[str]:
        end = span["start"] + span["length"]
        head = f"[{number}] bytes {span['start']}-{end}, {span['owned_bytes']} of them paid by it"
        if span["quoted_at"] is not None:
            yield f"{head}: quoted from the prompt (byte {span['quoted_at']}): unpaid"
        else:
            common = ", common words" if span["common"] else ""
            yield f"{head}, weight {span['weight']}{common}: {_money(span['amount'])}"
        for place, source in enumerate(span["sources"]):
            title = f" “{source['title']}”" if source["title"] else ""
            yield (
                f"    {'also held by' if place else 'first held by'} "
                f"{self._name(source['contributor'])}, document {source['document']} of shard "
                f"{source['shard']} at byte {source['position']}{title}"
            )

    def _influences(self, why: Json) -> None:
        line = why["threshold"]
        if line is None:
            return
        count = "" if line["examples"] is None else f" of {line['examples']} examples"
        self._title(f"influence{count}: what the training learned this answer from")
        for one in why["influences"]:
            self._example(one)
        over = [one for one in line["under"] if one["unpaid"] != "under the line"]
        under = [one for one in line["under"] if one["unpaid"] == "under the line"]
        for one in over:
            self._example(one)
        rule = "-" if self._ascii else "─"
        told = f"{rule * 4} threshold: {line['sigmas']} sigmas, a score of {line['score']} "
        self._line(Text(told + rule * 8, style="yellow"))
        for one in under:
            self._example(one)

    def _example(self, one: Json) -> None:
        about = "" if one["sigmas_exact"] else "about "
        what = _money(one["amount"]) if one["unpaid"] is None else f"nothing: {one['unpaid']}"
        place = (
            ""
            if one["document"] is None
            else f" (document {one['document']} of shard {one['shard']})"
        )
        self._line(
            f"{about}{one['sigmas']} sigmas, score {one['score']}: example {one['example']}{place} "
            f"of {self._name(one['contributor'])}: {what}"
        )
        if one["text"]:
            self._block(Text(one["text"], style="dim"))

    def _split(self, split: Json) -> None:
        self._title("where the fee goes, to the wei")
        model, rest = split["model"], split["contributors"]
        rows = (
            ("platform", split["platform"]),
            ("model: its host", model["host"]),
            ("model: the adapter's owner", model["owner"]),
            ("stakers", split["stakers"]),
            ("contributors, for words", rest["spans"]),
            ("contributors, for influence", rest["influences"]),
            ("treasury: what nothing earned", rest["treasury"]),
            ("the fee", split["fee"]),
        )
        wide = max(len(row[1]["wei"]) for row in rows)
        for name, amount in rows:
            style = "bold" if name == "the fee" else ""
            self._line(
                Text(f"{name:<30} {amount['wei']:>{wide}} wei  {amount['open']}", style=style)
            )

    # ------------------------------------------------------------ printing

    @property
    def _plain(self) -> bool:
        """Whether colours would not be seen."""
        return self.console.color_system is None or self.console.no_color

    @property
    def _ascii(self) -> bool:
        return not self.console.encoding.startswith("utf")

    def _title(self, text: str) -> None:
        self.console.print()
        self._line(Text(text, style="bold underline"))

    def _block(self, text: Text) -> None:
        self.console.print(Padding(text, (0, 0, 0, INDENT)))

    def _line(self, line: "str | Text") -> None:
        self.console.print(Text(line) if isinstance(line, str) else line, soft_wrap=True)

    def _name(self, contributor: int) -> str:
        name = self.names.get(contributor)
        return f"contributor {contributor}" if name is None else f"{name} ({contributor})"


def _places(why: Json) -> dict[int, int]:
    """The place of each contributor in the list, which decides his colour."""
    return {row["contributor"]: place for place, row in enumerate(why["contributors"])}


def _style(span: Json, places: Mapping[int, int]) -> str:
    if span["quoted_at"] is not None or not span["sources"]:
        return QUOTED
    return f"bold {_colour(places[span['sources'][0]['contributor']])}"


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _money(amount: Json) -> str:
    return f"{amount['open']} OPEN ({amount['wei']} wei)"
