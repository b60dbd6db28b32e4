"""The measures of the influence benchmark: right where the answer is known."""

import numpy as np
import pytest
import torch

from benchmarks.attribution import tasks
from benchmarks.attribution.lds import area, halves_of, score
from benchmarks.attribution.rivals_worker import _datainf

EXAMPLES, HALVES, QUERIES = 40, 30, 5


def _world() -> tuple[np.ndarray, np.ndarray]:
    """True contributions [queries, examples] and the losses of halves that follow from them."""
    truth = np.random.default_rng(1).standard_normal((QUERIES, EXAMPLES))
    lost = np.array([-truth[:, half].sum(1) for half in halves_of(3, HALVES, EXAMPLES)])
    return truth, lost


def test_the_truth_scores_one_and_its_opposite_minus_one() -> None:
    truth, lost = _world()
    assert score(truth, lost, 3) == pytest.approx(np.ones(QUERIES))
    assert score(-truth, lost, 3) == pytest.approx(-np.ones(QUERIES))
    assert score(np.zeros_like(truth), lost, 3) == pytest.approx(np.zeros(QUERIES))


def test_scores_of_other_halves_say_nothing() -> None:
    truth, lost = _world()
    assert abs(score(truth, lost, 4).mean()) < 0.35


def test_more_halves_begin_with_the_same() -> None:
    few, many = halves_of(7, 3, EXAMPLES), halves_of(7, 9, EXAMPLES)
    for one, other in zip(few, many, strict=False):
        assert len(one) == EXAMPLES // 2
        assert (one == other).all()


def test_the_area_is_how_often_a_positive_is_above() -> None:
    positive = np.array([True, True, False, False])
    assert area(np.array([4.0, 3, 2, 1]), positive) == 1
    assert area(np.array([1.0, 2, 3, 4]), positive) == 0
    assert area(np.array([1.0, 1, 1, 1]), positive) == 0.5
    assert area(np.array([4.0, 1, 2, 3]), positive) == 0.5


def test_datainf_is_its_published_sum() -> None:
    draw = torch.Generator().manual_seed(0)
    left = {"a": torch.randn(6, 2, 3, generator=draw), "b": torch.randn(6, 4, generator=draw)}
    right = {"a": torch.randn(2, 2, 3, generator=draw), "b": torch.randn(2, 4, generator=draw)}
    expected = torch.zeros(2, 6)
    for name, part in left.items():
        g, q = part.flatten(1), right[name].flatten(1)
        damped = (g**2).mean() / 10
        for row in range(2):
            h = sum(
                (q[row] - (q[row] @ one) / (damped + one @ one) * one) / damped for one in g
            ) / len(g)
            expected[row] += g @ h
    assert torch.allclose(_datainf(left, right), expected, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(tasks.MAKERS))
def test_tasks_are_the_same_in_every_run(name: str) -> None:
    one, other = tasks.make(name, 4, 2), tasks.make(name, 4, 2)
    assert one == other
    assert len(one.examples) == 4 * tasks.KINDS
    assert len(one.queries) == 2 * tasks.KINDS
    assert all(example.answer for example in (*one.examples, *one.queries))


def test_mislabelled_answers_come_from_other_kinds() -> None:
    task = tasks.make("transform", 4, 2)
    noisy, wrong = tasks.mislabelled(task, 0.2, 0)
    assert len(wrong) == 8
    for at, (one, other) in enumerate(zip(task.examples, noisy.examples, strict=True)):
        assert (one.prompt, one.kind) == (other.prompt, other.kind)
        if at in wrong:
            assert any(each.answer == other.answer for each in task.examples)
        else:
            assert one == other
