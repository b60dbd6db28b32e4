"""The contracts convict whatever is changed in a batch, and agree with Python on every opening."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from eth_abi.exceptions import EncodingError

from protocol.errors import Malformed
from protocol.refute import Refutation, convicts
from tests.courtroom import FUNDED, header_of
from tests.evm.courthouse import Courthouse
from tests.fuzz import Figures, run
from tests.mutated_openings import mutated

CASES, MANY = 40, 1500
TWISTED = 3  # changed openings tried of each refutation


@dataclass
class Verdicts:
    """How often both judges said the same."""

    convicted: int = 0
    unposted: int = 0  # batches that pay more than there is: the contract does not take them
    twisted: Counter[bool] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def court(_deployed: Any) -> Courthouse:
    return Courthouse(type(_deployed))


def agree(court: Courthouse, seed: int, count: int) -> tuple[Figures, Verdicts]:
    rng, seen, said = Random(seed), Figures(), Verdicts()
    for found in run(rng, court.worlds, court.paid, count, seen):
        header = header_of(found.case)
        assert convicts(found.refutation, header, found.world)
        if found.world.old_totals.sum + header.total > FUNDED:
            said.unposted += 1
            continue
        with court.anchor():
            assert court.post(found.case.body, header.as_of) == found.case.batch
            slashed = court.verdict(found.refutation)
            assert slashed is not None, found.refutation
            assert slashed.kind == found.refutation.KIND
            said.convicted += 1
            for _ in range(TWISTED):
                twisted = mutated(rng, found.refutation)
                if encodable(court, twisted):
                    expected = convicts(twisted, header, found.world)
                    assert (court.verdict(twisted) is not None) == expected, twisted
                    said.twisted[expected] += 1
    return seen, said


def encodable(court: Courthouse, refutation: Refutation) -> bool:
    try:
        court.chain.bindings.encode(refutation)
    except (Malformed, OverflowError, EncodingError):
        return False
    return True


def test_both_judges_convict_what_is_changed(court: Courthouse) -> None:
    _, said = agree(court, 1, CASES)

    assert said.convicted + said.unposted == CASES
    assert said.convicted > CASES * 3 // 4
    assert said.twisted.total() > CASES


@pytest.mark.slow
def test_both_judges_convict_many_changes(
    court: Courthouse, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, said = agree(court, 2, MANY)

    assert said.convicted + said.unposted == MANY
    with capsys.disabled():
        print(f"\n{seen}\nthe contracts: {said}")
