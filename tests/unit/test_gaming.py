"""What each way to game the attribution earns stays within the bounds of docs/gaming.md."""

import pytest

from benchmarks.gaming import attacks_features, attacks_spans, economics, race
from benchmarks.gaming.outcome import Outcome
from contracts.deploy import LIMITS
from protocol.parameters import BPS, OPEN, Parameters


@pytest.fixture(scope="module")
def scene() -> attacks_spans.Scene:
    return attacks_spans.Scene.of(7)


@pytest.mark.parametrize("number", range(len(attacks_spans.ATTACKS)))
def test_no_trick_with_texts_pays_more_than_its_bound(
    scene: attacks_spans.Scene, number: int
) -> None:
    found = attacks_spans.ATTACKS[number](scene)
    assert found.honest > 0
    assert found.holds, f"{found.name}: {found.ratio}, at most {found.most}"


@pytest.mark.parametrize("number", range(len(attacks_features.ATTACKS)))
def test_no_trick_with_features_pays_more_than_its_bound(number: int) -> None:
    found = attacks_features.ATTACKS[number](attacks_features.Field(7))
    assert found.honest > 0
    assert found.holds, f"{found.name}: {found.ratio}, at most {found.most}"


def test_a_race_is_won_by_the_order_of_the_shard_alone() -> None:
    refused, convicted, late, early = race.races(7)
    assert refused.attacked == convicted.attacked == late.attacked == 0
    assert early.ratio == pytest.approx(1)  # documented: who publishes first is paid


def test_no_circle_gets_back_more_than_it_pays_in() -> None:
    for found in economics.circles():
        assert found.holds, found
    usual = economics.circles()[0]
    assert usual.ratio == pytest.approx(0.7)  # the platform's tenth, the stakers' fifth are lost


def test_no_split_within_the_limits_lets_a_circle_gain() -> None:
    for rules in economics.governed():
        for staked in (0.0, 0.5, 1.0):
            back = economics.circle(rules, staked, 1.0, "")
            lost = rules.platform_bps + rules.stakers_bps * (1 - staked)
            assert back.ratio == pytest.approx(1 - lost / BPS, abs=1e-9)


def test_the_shares_are_the_whole_fee_for_any_amount() -> None:
    for amount in (0, 1, 9_999, OPEN + 7):
        for host_bps in (0, 3_333, BPS):
            shares = economics.shares_of(amount, host_bps, Parameters())
            assert min(shares.platform, shares.stakers, shares.owner, shares.host) >= 0
            total = shares.platform + shares.stakers + shares.contributors
            assert total + shares.owner + shares.host == amount


def test_the_corners_of_the_limits_are_looked_at() -> None:
    corners = list(economics.governed())
    assert any(rules.platform_bps == LIMITS["platform_bps"][1] for rules in corners)
    least = LIMITS["platform_bps"][0] + LIMITS["stakers_bps"][0]
    assert least > 0  # else a circle would be free
    assert any(rules.platform_bps + rules.stakers_bps == least for rules in corners)


def test_a_ratio_over_its_bound_does_not_hold() -> None:
    assert not Outcome("", 11, 10, 1.0).holds
    assert Outcome("", 10, 10, 1.0).holds
