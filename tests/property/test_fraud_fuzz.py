"""Whatever is changed in whatever leaf of a batch convicts it; an honest one is never convicted."""

from random import Random

import pytest

from protocol.refute import convicts
from tests.courtroom import header_of
from tests.fuzz import Figures, run
from tests.property.test_refute import PAID, WORLDS

CASES, MANY = 250, 10_000


def fuzz(seed: int, count: int) -> Figures:
    seen = Figures()
    for found in run(Random(seed), WORLDS, PAID, count, seen):
        header = header_of(found.case)
        assert convicts(found.refutation, header, found.world), found.refutation
    return seen


def test_every_change_is_convicted() -> None:
    seen = fuzz(1, CASES)

    assert seen.convicted == CASES


@pytest.mark.slow
def test_ten_thousand_changes_are_convicted(capsys: pytest.CaptureFixture[str]) -> None:
    seen = fuzz(2, MANY)

    assert seen.convicted == MANY
    assert min(seen.by_mutation.values()) > MANY // 100
    with capsys.disabled():
        print(f"\n{seen}")
