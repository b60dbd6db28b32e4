"""Ways to game the spans: what the attacker earns with each, and what he would earn honestly."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.gaming.market import RULES, Held, earned, library, prose, stitched
from benchmarks.gaming.outcome import Outcome
from protocol.batch import Text
from protocol.parameters import Parameters

ANSWERS = 20
OWNER = 3  # the contributor whose file is attacked, or who attacks with it
COPIER = 100  # and the next ids


@dataclass(frozen=True)
class Scene:
    """A library and the answers that a model of it gave."""

    held: tuple[Held, ...]
    sources: tuple[bytes, ...]
    seed: int

    @classmethod
    def of(cls, seed: int) -> "Scene":
        held = tuple(library(random.Random(seed)))
        return cls(held, tuple(row.text for row in held), seed)

    def answers(self, count: int = ANSWERS) -> list[Text]:
        return stitched(random.Random(self.seed + 1), self.sources, count)

    def income(self, held: Sequence[Held], who: set[int], rules: Parameters = RULES) -> int:
        total = earned(held, self.answers(), rules)
        return sum(total[one] for one in who)

    @property
    def mine(self) -> Held:
        return next(row for row in self.held if row.contributor == OWNER)


def cut(text: bytes, pieces: int) -> list[bytes]:
    """The text in so many parts, cut at spaces."""
    parts, at = [], 0
    for number in range(1, pieces + 1):
        end = len(text) if number == pieces else text.rfind(b" ", at, len(text) * number // pieces)
        parts.append(text[at:end].strip())
        at = end
    return [part for part in parts if part]


def split_documents(scene: Scene, pieces: int) -> Outcome:
    """One's own file as many documents."""
    held: list[Held] = []
    for row in scene.held:
        mine = row.contributor == OWNER
        held += [Held(OWNER, part) for part in cut(row.text, pieces)] if mine else [row]
    with_, without = scene.income(held, {OWNER}), scene.income(scene.held, {OWNER})
    return Outcome(f"one's file as {pieces} documents", with_, without, 1.0)


def split_contributors(scene: Scene, pieces: int) -> Outcome:
    """One's own file as documents of many contributors of one's own."""
    held: list[Held] = []
    for row in scene.held:
        mine = row.contributor == OWNER
        parts = cut(row.text, pieces) if mine else []
        held += [Held(COPIER + n, part) for n, part in enumerate(parts)] if mine else [row]
    ids = set(range(COPIER, COPIER + pieces))
    with_, without = scene.income(held, ids), scene.income(scene.held, {OWNER})
    return Outcome(f"one's file by {pieces} contributors of one's own", with_, without, 1.0)


def own_copies(scene: Scene, copies: int) -> Outcome:
    """One's own file again, each time with a word changed and by another id."""
    held = [*scene.held, *_copies(scene.mine.text, copies)]
    ids = {OWNER, *range(COPIER, COPIER + copies)}
    with_, without = scene.income(held, ids), scene.income(scene.held, {OWNER})
    return Outcome(f"one's file again by {copies} more ids", with_, without, 1.0)


def _copies(text: bytes, copies: int) -> list[Held]:
    return [
        Held(COPIER + n, text + b" %d" % n)  # another content root: no exact duplicate
        for n in range(copies)
    ]


def _against(scene: Scene, name: str, copies: Sequence[Held], most: float, note: str) -> Outcome:
    """What copiers of another's file earn, beside what that file earns without them."""
    ids = {row.contributor for row in copies}
    with_ = scene.income([*scene.held, *copies], ids)
    return Outcome(name, with_, scene.income(scene.held, {OWNER}), most, note)


def copy_whole(scene: Scene, copies: int) -> Outcome:
    name = f"another's file, a byte changed, by {copies} id{'s' * (copies > 1)}"
    return _against(scene, name, _copies(scene.mine.text, copies), COPY, "of the victim's income")


def copy_pieces(scene: Scene) -> Outcome:
    parts = [Held(COPIER, part) for part in cut(scene.mine.text, 8)]
    return _against(scene, "another's file in 8 pieces", parts, COPY, "of the victim's income")


def copy_shuffled(scene: Scene) -> Outcome:
    """Its sentences in another order."""
    parts = scene.mine.text.split(b". ")
    random.Random(scene.seed).shuffle(parts)
    copy = [Held(COPIER, b". ".join(parts))]
    return _against(
        scene, "another's file, sentences shuffled", copy, COPY, "of the victim's income"
    )


def copy_paraphrased(scene: Scene) -> Outcome:
    """Every sixth word replaced, so that few runs of 32 bytes are left."""
    draw = random.Random(scene.seed)
    words = scene.mine.text.split(b" ")
    changed = [prose(draw, len(w) or 1) if n % 6 == 0 else w for n, w in enumerate(words)]
    copy = [Held(COPIER, b" ".join(changed))]
    return _against(scene, "another's file, paraphrased", copy, COPY, "of the victim's income")


def copy_first(scene: Scene) -> Outcome:
    """The copier comes first: what a curator's inbox that others can read would be worth."""
    held = [*_copies(scene.mine.text, 1), *scene.held]
    with_, without = scene.income(held, {COPIER}), scene.income(scene.held, {OWNER})
    note = "of the victim's income: the order that the curator gives is the order of time"
    return Outcome("a copy that is published first", with_, without, 1.0, note)


COPY = 0.0  # what a later copy earns


def griefed(scene: Scene) -> Outcome:
    """What is left to the owner when so many ids copy him that his text counts as a phrase."""
    held = [*scene.held, *_copies(scene.mine.text, RULES.holders_max - 1)]
    left, whole = scene.income(held, {OWNER}), scene.income(scene.held, {OWNER})
    return Outcome("left to a victim of K - 1 copies", left, whole, 1.0, "griefing: nobody gains")


def echoed(scene: Scene) -> Outcome:
    """One's text in the prompt, so that the model says it again."""
    quoted = scene.mine.text[:400]
    return Outcome("one's text quoted in the prompt", *_asked(scene, quoted, quoted), 0.0)


def echoed_changed(scene: Scene) -> Outcome:
    """The same with a byte changed every 40, so that the prompt holds no whole span."""
    quoted = scene.mine.text[:400]
    broken = b"".join(quoted[at : at + 39] + b"~" for at in range(0, 400, 39))
    name = "one's text in the prompt, a byte in 40 changed"
    return Outcome(name, *_asked(scene, broken, quoted), 1.0, "what it costs: see the circle")


def _asked(scene: Scene, prompt: bytes, output: bytes) -> tuple[int, int]:
    """What the owner earns by answers `output` after this prompt, and without it."""
    plain = [replace(text, output=output) for text in scene.answers(5)]
    asked = [replace(text, prompt=text.prompt + b" " + prompt) for text in plain]
    return earned(scene.held, asked)[OWNER], earned(scene.held, plain)[OWNER]


def boilerplate(scene: Scene) -> Outcome:
    """A phrase that everybody has, in a file of one's own: no more than the common rate of it."""
    phrase = b"permission is hereby granted, free of charge, to any person obtaining a copy of this"
    common = [replace(row, text=phrase + b" " + row.text) for row in scene.held]
    texts = [replace(text, output=phrase) for text in scene.answers(5)]
    alone = earned([common[0]], texts)[common[0].contributor]
    with_ = earned([*common, Held(COPIER, phrase * 8)], texts)[COPIER]
    return Outcome("boilerplate that all have", with_, alone, COPY, "of what a sole owner gets")


def boilerplate_first(scene: Scene) -> Outcome:
    """The same, if the attacker's file came first: the common rate is all that it brings."""
    phrase = b"permission is hereby granted, free of charge, to any person obtaining a copy of this"
    texts = [replace(text, output=phrase) for text in scene.answers(5)]
    mine = Held(COPIER, phrase * 8)
    common = [replace(row, text=phrase + b" " + row.text) for row in scene.held]
    with_, alone = (earned(held, texts)[COPIER] for held in ([mine, *common], [mine]))
    most = RULES.common_bps / 10_000
    return Outcome("boilerplate, published first", with_, alone, most, "of what a sole owner gets")


Attack = Callable[[Scene], Outcome]

ATTACKS: tuple[Attack, ...] = (
    *(partial(split_documents, pieces=n) for n in (2, 8, 32)),
    *(partial(split_contributors, pieces=n) for n in (2, 8, 32)),
    *(partial(own_copies, copies=n) for n in (1, 3)),
    *(partial(copy_whole, copies=n) for n in (1, 3)),
    copy_pieces,
    copy_shuffled,
    copy_paraphrased,
    copy_first,
    griefed,
    echoed,
    echoed_changed,
    boilerplate,
    boilerplate_first,
)
