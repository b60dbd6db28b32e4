"""What a published body puts in question: a leaf to demand, or a header that counts wrongly."""

from random import Random

from attribution.openings import Case
from protocol.batch import Body, Header, Trees
from protocol.claims import Answer
from protocol.demands import OUTPUT_TREE, PROMPT_TREE, QUERY_TREE
from protocol.errors import Malformed
from protocol.merkle import (
    ANSWER,
    BODY,
    BODY_LEAF,
    CLAIM,
    ENTRY,
    INFLUENCE,
    LEAF_BYTES,
    TEXT,
    TOTAL,
    byte_root,
    depth_of,
)
from protocol.openings import NO_ANSWER, NO_CLAIM, NO_INFLUENCE
from protocol.parameters import Parameters
from protocol.refute import Chain, Invented, Refutation
from protocol.sumtree import entry_position
from roles.disclosures import LEAF_BITS

Place = tuple[int, int]  # tree, leaf


def leaf_of_body(header: Header, draw: Random) -> Place:
    """A leaf of a body that nobody gives.

    Every other time the last: there a root over another number of bytes than posted cannot open.
    """
    leaves = -(-header.data_size // BODY_LEAF)
    if not leaves:  # a body of nothing gives no batch: let it open an answer
        return ANSWER, draw.randrange(header.answer_count)
    return BODY, draw.choice([leaves - 1, draw.randrange(leaves)])


def doubtful(
    batch: int, header: Header, wire: bytes, parameters: Parameters, draw: Random
) -> Place | Refutation | None:
    """A leaf of a tree whose root the body does not give; None if it gives all of the header.

    Where the body says something, its poster must now say on chain what he posted instead.  A
    header that only counts fewer leaves than its trees have opens all of them: that is proven.
    """
    if len(wire) != header.data_size:
        return BODY, -(-header.data_size // BODY_LEAF) - 1
    try:
        body = Body.decode(wire)
        trees = body.trees()
    except Malformed:
        return anywhere(header, draw)
    case = Case(batch, body, trees, (), {}, {}, parameters)
    return _other_tree(header, trees, case, draw) or _other_text(body, draw)


def _other_tree(
    header: Header, trees: Trees, case: Case, draw: Random
) -> Place | Refutation | None:
    if found := miscounted(header, case):
        return found
    posted = {
        ANSWER: (header.answers_root, header.answer_count),
        CLAIM: (header.claims_root, header.claim_count),
        INFLUENCE: (header.influences_root, header.influence_count),
    }
    given = {ANSWER: trees.answers, CLAIM: trees.claims, INFLUENCE: trees.influences}
    for kind, (root, count) in posted.items():
        if (given[kind].root, given[kind].count) != (root, count):
            # A batch that says it has none is asked for the last answer, which counts them.
            if not count:
                return ANSWER, header.answer_count - 1
            return kind, _beyond(given[kind].count, count, draw)
    body, entries = case.body, trees.entries.root
    if entries != (header.entries_root, header.total):
        places = [entry_position(entry.contributor, number) for number, entry in body.entries]
        return ENTRY, draw.choice(places or [0])
    if trees.totals.root.hash != header.totals_root:
        return TOTAL, draw.choice([who for who, _ in body.totals] or [0])
    return None


def anywhere(header: Header, draw: Random) -> Place:
    """A leaf of any tree of a batch whose body says nothing."""
    answer = draw.randrange(header.answer_count)
    places = [(ANSWER, answer), (QUERY_TREE, answer << LEAF_BITS), (ENTRY, 0), (TOTAL, 0)]
    if header.claim_count:
        places.append((CLAIM, draw.randrange(header.claim_count)))
    if header.influence_count:
        places.append((INFLUENCE, draw.randrange(header.influence_count)))
    return draw.choice(places)


def _beyond(given: int, posted: int, draw: Random) -> int:
    """A leaf that the body lacks, or one that it has where the header has no more."""
    return draw.randrange(given, posted) if given < posted else draw.randrange(posted)


def miscounted(header: Header, case: Case) -> Refutation | None:
    """The proof that a header over the body's trees counts fewer leaves than they have.

    Every leaf of such a batch can be opened, so no demand would convict it.
    """
    answers, trees, posted = case.body.answers, case.trees, header.answer_count
    same = trees.answers.root == header.answers_root and trees.answers.depth == depth_of(posted)
    if same and 0 < posted <= len(answers):
        last = answers[posted - 1]
        ends = last.first_claim + last.claim_count, last.first_influence + last.influence_count
        if ends != (header.claim_count, header.influence_count):
            return Chain(case.batch, case.answer(posted - 1), NO_ANSWER)
    if trees.entries.root == (header.entries_root, header.total):
        for number, entry in case.body.entries:  # of an answer that is counted out
            if entry.answer >= posted:
                place = entry_position(entry.contributor, number)
                return Invented(case.batch, case.entry(place), NO_CLAIM, NO_INFLUENCE, NO_ANSWER)
    return None


def _other_text(body: Body, draw: Random) -> Place | None:
    for number, (answer, text) in enumerate(zip(body.answers, body.texts, strict=True)):
        if not text.matches(answer.receipt):
            tree, leaf = _unlike(answer, text.output, draw)
            return tree, number << LEAF_BITS | leaf
    return None


def _unlike(answer: Answer, output: bytes, draw: Random) -> Place:
    receipt = answer.receipt
    wrong = (len(output), byte_root(TEXT, output)) != (receipt.output_size, receipt.output_root)
    size = receipt.output_size if wrong else receipt.prompt_size
    leaves = -(-size // LEAF_BYTES[TEXT])
    return OUTPUT_TREE if wrong else PROMPT_TREE, draw.randrange(max(1, leaves))
