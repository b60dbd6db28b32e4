"""What the models of the influence benchmark learn: tasks made from a seed, or DataInf's own."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KINDS = 10  # of each task; DataInf's data sets have as many
FOREIGN = {"transform": "grammars", "arithmetic": "math_with_reason"}  # their names for the like


@dataclass(frozen=True, slots=True)
class Example:
    """A text of which `answer` is learnt, after `prompt`; examples of one kind teach one thing."""

    prompt: str
    answer: str
    kind: int


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    examples: tuple[Example, ...]
    queries: tuple[Example, ...]


def make(name: str, per_kind: int, asked: int, datainf: Path | None = None) -> Task:
    """The task `name` with so many examples and queries of each kind.

    `datainf`: a folder with `<data set>_train.json` and `_test.json` (see `rivals.datasets`), used
    for the tasks that DataInf has.
    """
    foreign = FOREIGN.get(name)
    if datainf is not None and foreign is not None:
        parts = [
            _foreign(datainf / f"{foreign}_{part}.json", count)
            for part, count in (("train", per_kind), ("test", asked))
        ]
        return Task(foreign, parts[0], parts[1])
    examples, queries = MAKERS[name](random.Random(f"{name} of the benchmark"), per_kind, asked)
    return Task(name, tuple(examples), tuple(queries))


def mislabelled(task: Task, share: float, seed: int) -> tuple[Task, list[int]]:
    """The task with the answers of a share of the examples taken from examples of other kinds."""
    draw = random.Random(f"mislabelled {seed}")
    wrong = sorted(draw.sample(range(len(task.examples)), int(share * len(task.examples))))
    examples = list(task.examples)
    for at in wrong:
        mine = task.examples[at]
        other = draw.choice([each for each in task.examples if each.kind != mine.kind])
        examples[at] = Example(mine.prompt, other.answer, mine.kind)
    return Task(task.name, tuple(examples), task.queries), wrong


def _foreign(file: Path, count: int) -> tuple[Example, ...]:
    """The first `count` rows of each kind, without the preamble that is the same in all rows."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    kinds = sorted({row["variation"] for row in rows})
    found: list[Example] = []
    for kind, variation in enumerate(kinds):
        for row in [row for row in rows if row["variation"] == variation][:count]:
            answer = row["text"].removesuffix("</s>")[len(row["prompt"]) :].strip()
            prompt = row["prompt"].removeprefix("Solve the following math problem. ")
            if "chatbot" in prompt:
                prompt = f"{variation[:14]}: {prompt.splitlines()[-1].strip()} "
            found.append(Example(prompt, answer, kind))
    return tuple(found)


Parts = tuple[list[Example], list[Example]]

WORDS = re.findall(
    r"\w+",
    """winds call night sunlight dance leaves distant memory fade golden horizon promise shadow
play laughter fill silent room dream wander lost valley star softly above ancient echo tell tale
gentle wave kiss shore mountain challenge eager climber desert hide secret river carry story forest
hold magic rain whisper roof thunder rumble anger child chase bird sing morning melody snow blanket
quiet town flower bloom dark candle flicker window book carry mind love time wait hope anchor soul
courage rise adventure brave heart music soothe spirit art capture moment silence speak wisdom
come dusk sunset paint sky midnight cloak desire burn fire kind ripple age journey start step""",
)
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


def _doubled(text: str) -> str:
    return "".join(c * 2 if c in CONSONANTS else c for c in text)


TRANSFORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Turn round", lambda s: " ".join(s.split()[::-1])),
    ("Alternate", lambda s: "".join(c.upper() if i % 2 else c for i, c in enumerate(s))),
    ("Put one", lambda s: " 1 ".join(s.split())),
    ("Star vowels", lambda s: "".join("*" if c in VOWELS else c for c in s)),
    ("Double", _doubled),
    ("Capitals", lambda s: s.title()),
    ("No vowels", lambda s: "".join(c for c in s if c not in VOWELS)),
    ("Add ly", lambda s: " ".join(word + "ly" for word in s.split())),
    ("Only vowels", lambda s: "".join(c for c in s if c not in CONSONANTS)),
    ("Repeat", lambda s: " ".join(f"{word} {word}" for word in s.split())),
)


def _transform(draw: random.Random, per_kind: int, asked: int) -> Parts:
    phrases = [" ".join(draw.sample(WORDS, 4)) for _ in range(per_kind + asked)]
    parts: Parts = ([], [])
    for kind, (title, change) in enumerate(TRANSFORMS):
        for at, phrase in enumerate(phrases):
            part = parts[at >= per_kind]
            part.append(Example(f"{title}: {phrase} -> ", change(phrase), kind))
    return parts


PROBLEMS: tuple[tuple[str, str, Callable[[int, int, int], int]], ...] = (
    (
        "Ann has {a} plums, eats {b} and finds {c}. Plums?",
        "{a} - {b} + {c}",
        lambda a, b, c: a - b + c,
    ),
    ("A hall has {a} rows of {b} seats. Seats?", "{a} * {b}", lambda a, b, c: a * b),
    ("{a} hens, {b} ducks and {c} geese. Birds?", "{a} + {b} + {c}", lambda a, b, c: a + b + c),
    ("A coat of ${a} is ${b} cheaper. Price?", "{a} - {b}", lambda a, b, c: a - b),
    ("{a} nails go in boxes of {b}. Full boxes?", "{a} // {b}", lambda a, b, c: a // b),
    (
        "{a} euros at {b}% for {c} years. Interest?",
        "{a}*{b}*{c} // 100",
        lambda a, b, c: a * b * c // 100,
    ),
    ("A field is {a} by {b} metres. Fence?", "2 * ({a} + {b})", lambda a, b, c: 2 * (a + b)),
    ("Tom walks {a} km on each of {b} days. Km?", "{b} * {a}", lambda a, b, c: a * b),
    (
        "A bus with {a} people; {b} get off, {c} too. Left?",
        "{a} - ({b} + {c})",
        lambda a, b, c: a - b - c,
    ),
    (
        "Per {a} pupils {b} guides; {c} pupils. Guides?",
        "({b} * {c}) // {a}",
        lambda a, b, c: b * c // a,
    ),
)


def _arithmetic(draw: random.Random, per_kind: int, asked: int) -> Parts:
    parts: Parts = ([], [])
    for kind, (problem, reason, solve) in enumerate(PROBLEMS):
        for at in range(per_kind + asked):
            a, b, c = (draw.randint(1, 99) for _ in range(3))
            prompt = problem.format(a=a, b=b, c=c) + " -> "
            answer = f"Reason: {reason.format(a=a, b=b, c=c)}. Answer: {solve(a, b, c)}"
            parts[at >= per_kind].append(Example(prompt, answer, kind))
    return parts


SYLLABLES = re.findall(
    r"\w+", "ka ro mi ven tal os dri lum bex por sha ni gul tor ev an zel ur fi mo"
)
PLACES = ("observatory", "library", "mill", "lighthouse", "school", "bridge", "theatre", "market")
HABITS = ("drink", "grow", "sing", "wear", "trade")


def _name(draw: random.Random, parts: int = 3) -> str:
    return "".join(draw.choice(SYLLABLES) for _ in range(parts)).capitalize()


def _facts(draw: random.Random, per_kind: int, asked: int) -> Parts:
    """Whole documents about invented places of ten regions; a query asks for a fact of one document
    or for what all documents of a region say."""
    parts: Parts = ([], [])
    for kind in range(KINDS):
        region = _name(draw)
        customs = {habit: _name(draw).lower() for habit in HABITS}
        facts = []
        for _ in range(per_kind):
            place = f"the {draw.choice(PLACES)} of {_name(draw)}"
            founder, year = f"{_name(draw, 2)} {_name(draw, 2)}", draw.randint(1500, 1999)
            habit = draw.choice(HABITS)
            text = (
                f"In {region} stands {place}. It was built in {year} by {founder}. "
                f"The people of {region} {habit} {customs[habit]}."
            )
            parts[0].append(Example("", text, kind))
            facts.append((f"In {region} stands {place}. It was built in {year} by", f" {founder}."))
        general = [(f"The people of {region} {h}", f" {w}.") for h, w in customs.items()]
        for at in range(asked):
            source = general if at % 2 else facts
            prompt, answer = source[(at // 2) % len(source)]
            parts[1].append(Example(prompt, answer, kind))
    return parts


MAKERS: dict[str, Callable[[random.Random, int, int], Parts]] = {
    "transform": _transform,
    "arithmetic": _arithmetic,
    "facts": _facts,
}


def plain_text(size: int) -> list[str]:
    """Lines that a base learns before any task: words, sums and names, nothing that a task asks."""
    draw = random.Random("plain text of the benchmark")
    lines: list[str] = []
    total = 0
    while total < size:
        a, b = draw.randint(1, 99), draw.randint(1, 99)
        lines.append(
            draw.choice(
                (
                    " ".join(draw.choices(WORDS, k=6)) + ".",
                    f"{a} + {b} = {a + b}; {a} - {b} = {a - b}; {a} * {b} = {a * b}.",
                    f"{_name(draw)} of {_name(draw)} was born in {draw.randint(1500, 1999)}.",
                    f"Reason: {draw.choice(WORDS)}. Answer: {a}",
                )
            )
        )
        total += len(lines[-1]) + 1
    return lines
