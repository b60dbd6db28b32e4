"""Every way to lie about influences, each told by an otherwise careful liar."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from attribution.claims import Answered, build_body
from attribution.influence.scores import Scored
from protocol.batch import Body
from protocol.features import DIMENSION, dot
from protocol.influences import Influence, query_hash
from tests.courtroom import World

Draw = st.DrawFn
Change = Callable[[Answered, list[Scored]], list[Scored]]
LONG = 64  # influences that a liar may list: nothing cuts his lists


# ---------------------------------------------------------------- lies about lists: all sums agree


def _relist(draw: Draw, world: World, told: list[Answered], change: Change) -> Body:
    """The list of one answer replaced by what `change` makes of it."""
    assume(world.examples is not None)
    answer = draw(st.integers(0, len(told) - 1))
    item = told[answer]
    listed = change(item, list(item.influences))
    told[answer] = replace(item, influences=tuple(listed))
    return _built(world, told)


def _built(world: World, told: list[Answered]) -> Body:
    rules = replace(world.parameters, influences_max=LONG)
    digests = [item.receipt.digest(world.escrow) for item in told]
    return build_body(told, digests, world.before, rules)


def example_left_out(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(item: Answered, listed: list[Scored]) -> list[Scored]:
        assume(listed)
        listed.pop(draw(st.integers(0, len(listed) - 1)))
        return listed

    return _relist(draw, world, told, change)


def example_added(draw: Draw, world: World, told: list[Answered]) -> Body:
    """A duplicate, one under the threshold, or one too many; or one that there is not."""

    def change(item: Answered, listed: list[Scored]) -> list[Scored]:
        assert world.examples is not None
        known = {one.example for one in listed}
        example = draw(st.integers(0, len(world.rows)).filter(lambda n: n not in known))
        if example == len(world.rows):
            return [*listed, Scored(example, 1, draw(st.integers(1, 2**20)))]
        row = world.rows[example]
        score = dot(row.phi, item.query)
        assume(score > 0)
        return _ordered([*listed, Scored(example, row.contributor, score)])

    return _relist(draw, world, told, change)


def example_swapped(draw: Draw, world: World, told: list[Answered]) -> Body:
    """One is given the place and the score of another."""

    def change(item: Answered, listed: list[Scored]) -> list[Scored]:
        assume(listed)
        at = draw(st.integers(0, len(listed) - 1))
        example = draw(st.integers(0, len(world.rows) - 1))
        listed[at] = replace(listed[at], example=example)
        return _ordered(listed)

    return _relist(draw, world, told, change)


def score_changed(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(item: Answered, listed: list[Scored]) -> list[Scored]:
        assume(listed)
        at = draw(st.integers(0, len(listed) - 1))
        more = draw(st.integers(-3, 3) | st.sampled_from([1024, 2**32, 2**63 - 2**33]))
        listed[at] = replace(listed[at], score=max(0, listed[at].score + more))
        return _ordered(listed)

    return _relist(draw, world, told, change)


def score_of_another_contributor(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(item: Answered, listed: list[Scored]) -> list[Scored]:
        assume(listed)
        at = draw(st.integers(0, len(listed) - 1))
        listed[at] = replace(listed[at], contributor=draw(st.integers(0, 9)))
        return listed

    return _relist(draw, world, told, change)


def list_disordered(draw: Draw, world: World, told: list[Answered]) -> Body:
    return _relist(draw, world, told, lambda _, listed: listed[::-1])


def example_twice(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(item: Answered, listed: list[Scored]) -> list[Scored]:
        assume(listed)
        at = draw(st.integers(0, len(listed) - 1))
        return [*listed[:at], listed[at], *listed[at:]]

    return _relist(draw, world, told, change)


def _ordered(listed: list[Scored]) -> list[Scored]:
    return sorted(listed, key=lambda one: (-one.score, one.example))


def query_left_out(draw: Draw, world: World, told: list[Answered]) -> Body:
    """Nobody is paid for what no span covers."""
    assume(world.examples is not None)
    answer = draw(st.integers(0, len(told) - 1))
    told[answer] = replace(told[answer], query=b"", influences=())
    return world.body(told)


def query_invented(draw: Draw, world: World, told: list[Answered]) -> Body:
    """A feature where no set is in force, or one that is no feature."""
    answer = draw(st.integers(0, len(told) - 1))
    size = draw(st.sampled_from([1, DIMENSION - 1, DIMENSION]))
    loud = bytes([draw(st.sampled_from([1, 31, 33, 127, 128]))]) * size
    query = bytes([32]) * DIMENSION if world.examples is None else loud
    told[answer] = replace(told[answer], query=query, influences=())
    return world.body(told)


# ---------------------------------------------------------------- lies about numbers


def any_number_of_an_influence(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    assume(body.influences)
    number = draw(st.integers(0, len(body.influences) - 1))
    name = draw(st.sampled_from(Influence.__slots__))
    old, wide = getattr(body.influences[number], name), 2**64 if "score" in name else 2**32
    near = st.integers(-3, 3).map(lambda n: max(0, old + n))
    influences = list(body.influences)
    new = draw(near | st.integers(0, wide - 1))
    influences[number] = replace(influences[number], **{name: new})
    return replace(body, influences=tuple(influences))


def influences_swapped(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    assume(len(body.influences) > 1)
    at = draw(st.integers(0, len(body.influences) - 2))
    rows = list(body.influences)
    rows[at : at + 2] = rows[at + 1], rows[at]
    return replace(body, influences=tuple(rows))


def influence_moved(draw: Draw, world: World, told: list[Answered]) -> Body:
    """The list of one answer given to another: counts and prefix sums agree."""
    assume(world.examples is not None and len(told) > 1)
    one, other = draw(st.permutations(range(len(told))))[:2]
    lists = told[one].influences, told[other].influences
    told[one] = replace(told[one], influences=lists[1])
    told[other] = replace(told[other], influences=lists[0])
    return _built(world, told)


def paid_twice(draw: Draw, world: World, told: list[Answered]) -> Body:
    """Influences of an answer that spans cover wholly, or more of it than is left."""
    body = world.body(told)
    number = draw(st.integers(0, len(body.answers) - 1))
    answers = list(body.answers)
    row = answers[number]
    covered = draw(st.sampled_from([0, row.covered - 1, row.covered + 1, row.receipt.output_size]))
    answers[number] = replace(row, covered=max(0, covered))
    return replace(body, answers=tuple(answers))


def another_query(draw: Draw, world: World, told: list[Answered]) -> Body:
    """The list is that of one query, the answer names another."""
    assume(world.examples is not None)
    body = world.body(told)
    number = draw(st.integers(0, len(body.answers) - 1))
    answers, queries = list(body.answers), list(body.queries)
    query = draw(st.sampled_from([row.phi for row in world.rows]))
    # Where nothing is left to pay no list follows from a query, and any will do.
    assume(query != queries[number] and answers[number].influence_count)
    queries[number] = query
    answers[number] = replace(answers[number], query=query_hash(query))
    return replace(body, answers=tuple(answers), queries=tuple(queries))


LISTS = (
    *(example_left_out, score_changed, score_of_another_contributor),
    *(list_disordered, example_twice, query_left_out, query_invented),
)
INFLUENCES = (
    *(*LISTS, example_added, example_swapped, any_number_of_an_influence, influences_swapped),
    *(influence_moved, paid_twice, another_query),
)
