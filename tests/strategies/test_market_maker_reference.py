"""The market maker with `fair=reference`: oracle, faster reference, strike and settlement."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import Any

import msgspec
import pytest

from engine.domain.events import BookReplaced, InstrumentListed

S = 1_000_000_000
ORACLE, FAST = "chainlink:btc/usd", "binance:btcusdt"


def referenced(make_stage: Any, **parameters: Any) -> Any:
    """Return a stage with a proven, empty book whose only reference is the oracle."""
    stage = make_stage(
        **{
            "fair": "reference", "reference": ORACLE, "twap_window_s": 0, "price_min": 0,
            "price_max": 1, "stop_before_close_s": 0, "oracle_age_ms_max": 600_000,
            "data_age_ms_max": 600_000, **parameters,
        }
    )  # fmt: skip
    stage.receive(BookReplaced(instrument=stage.instrument.id, bids=(), asks=()), 0)
    return stage


def walk(stage: Any, prices: list[float], start_s: int = 0, key: str = ORACLE) -> int:
    """Tell one price a second and return the last one's time."""
    for second, price in enumerate(prices, start=start_s):
        stage.price(key, price, second * S, second * S)
    return (start_s + len(prices) - 1) * S


def fair(evaluation: Any) -> float:
    found: float = dict(evaluation.decision.build_up)["fair"]
    return found


def test_it_listens_to_oracle_and_reference(make_stage: Any) -> None:
    assert referenced(make_stage, reference=FAST).strategy.references == (ORACLE, FAST)
    assert referenced(make_stage).strategy.references == (ORACLE,)
    assert referenced(make_stage).price(ORACLE, 100.0, S)
    assert not referenced(make_stage).price("binance:ethusdt", 100.0, S)


def test_an_unproven_strike_quotes_nothing(make_stage: Any) -> None:
    stage = referenced(make_stage)
    now_ns = walk(stage, [60_000.0, 60_001.0] * 10)
    evaluation = stage.ask(now_ns)
    assert evaluation.decision.outcome == "strike_proven"
    assert evaluation.decision.notes == ()


def test_the_proof_of_the_strike_is_in_the_record(make_stage: Any) -> None:
    stage = referenced(make_stage)
    now_ns = walk(stage, [60_000.0, 60_001.0] * 10)
    stage.strike(60_000.0, now_ns)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "quote"
    assert decision.notes == (("strike_provenance", "tick 12:00:00"),)
    assert dict(decision.inputs)["strike"] == 60_000.0


@pytest.mark.parametrize(
    ("oracle", "window_s", "outcome"),
    [("binance:btcusdt", 0, "quote"), (ORACLE, 0, "oracle_settles"),
     ("binance:btcusdt", 60, "oracle_settles"), ("binance:ethusdt", 0, "oracle_settles")],
)  # fmt: skip
def test_an_hour_is_quoted_only_by_the_oracle_it_ends_by(
    make_stage: Any, oracle: str, window_s: int, outcome: str
) -> None:
    stage = referenced(make_stage, oracle=oracle, reference=oracle, twap_window_s=window_s)
    hour = msgspec.structs.replace(
        stage.instrument, series="btc-updown-1h", strike_e8=60_000 * 10**8
    )
    stage.receive(InstrumentListed(instrument=hour), 0)
    now_ns = walk(stage, [60_000.0, 60_001.0] * 10, key=oracle)
    assert stage.ask(now_ns).decision.outcome == outcome


def test_a_listed_strike_is_proven_too(make_stage: Any) -> None:
    stage = referenced(make_stage)
    now_ns = walk(stage, [60_000.0, 60_001.0] * 10)
    listed = msgspec.structs.replace(stage.instrument, strike_e8=60_000 * 10**8)
    stage.receive(InstrumentListed(instrument=listed), now_ns)
    assert stage.ask(now_ns).decision.outcome == "quote"


def test_fair_value_is_the_probability_by_hand(make_stage: Any) -> None:
    memory = dict.fromkeys(("reference_half_life_short_s", "reference_half_life_long_s"), 86_400)
    stage = referenced(make_stage, **memory)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    decision = stage.ask(now_ns).decision
    sigma = 10.0 * sqrt(300 - 19)
    assert fair(stage.ask(now_ns)) == pytest.approx(NormalDist().cdf(10.0 / sigma), rel=1e-3)
    assert dict(decision.inputs)["to_close_s"] == pytest.approx(281.0)
    assert dict(decision.build_up)["settlement_sigma"] == pytest.approx(sigma, rel=1e-3)


def test_uncertainty_runs_from_the_prices_stamp(make_stage: Any) -> None:
    stage = referenced(make_stage)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    late = stage.ask(now_ns + 4 * S).decision
    assert dict(late.inputs)["to_close_s"] == pytest.approx(281.0)


def test_the_quotes_follow_the_fair_value(make_stage: Any) -> None:
    stage = referenced(make_stage, half_spread_ticks_min=1, width_vol_multiplier=0)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    intent = stage.ask(now_ns).intents[0]
    centre = 10_000 * NormalDist().cdf(10.0 / (10.0 * sqrt(281)))
    assert intent.bids[0][0] == (centre - 100) // 100 * 100
    assert intent.asks[0][0] == -(-(centre + 100) // 100) * 100


def test_a_stale_oracle_quotes_nothing(make_stage: Any) -> None:
    stage = referenced(make_stage, oracle_age_ms_max=10_000)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    assert stage.ask(now_ns + 10 * S).decision.outcome == "quote"
    assert stage.ask(now_ns + 11 * S).decision.outcome == "oracle_age_ms"


def test_an_oracle_never_received_or_at_zero_is_not_known(make_stage: Any) -> None:
    stage = referenced(make_stage)
    stage.strike(60_000.0, S)
    assert stage.ask(S).decision.outcome == "oracle_known"
    stage.price(ORACLE, 0.0, 2 * S)
    assert stage.ask(2 * S).decision.outcome == "oracle_known"


def test_it_waits_for_the_references_volatility(make_stage: Any) -> None:
    stage = referenced(make_stage, sigma_warm_s=30)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    assert stage.ask(now_ns).decision.outcome == "sigma_ready"


def test_a_close_nobody_announced_quotes_nothing(make_stage: Any) -> None:
    stage = referenced(make_stage)
    endless = msgspec.structs.replace(stage.instrument, closes_ns=None)
    stage.receive(InstrumentListed(instrument=endless), 0)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    assert stage.ask(now_ns).decision.outcome == "close_known"


def test_a_fair_value_far_from_the_book_is_not_believed(make_stage: Any) -> None:
    stage = referenced(make_stage, fair_gap_max=0.2, event_jump_ticks=0)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    stage.book(8900, 9100, now_ns)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "fair_gap"
    assert decision.gates[-1].limit == 0.2
    stage.book(4900, 5100, now_ns + 1)
    assert stage.ask(now_ns + 1).decision.outcome == "quote"


def test_the_price_range_stops_it_near_certainty(make_stage: Any) -> None:
    stage = referenced(make_stage, price_min=0.05, price_max=0.95)
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(59_000.0, now_ns)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "price_in_range"
    assert decision.gates[-1].limit == 0.95


def test_a_jump_of_the_reference_pulls_the_quotes(make_stage: Any) -> None:
    stage = referenced(make_stage, event_jump_bps=10, event_window_s=1, event_cooldown_s=3)
    now_ns = walk(stage, [60_000.0] * 20)
    stage.strike(60_000.0, now_ns)
    assert stage.ask(now_ns).decision.outcome == "quote"
    stage.price(ORACLE, 60_070.0, now_ns + S // 2, now_ns + S // 2)
    decision = stage.ask(now_ns + S // 2).decision
    assert decision.outcome == "event_cooldown"
    assert decision.regime == "event"


def led(make_stage: Any, basis: list[float], **parameters: Any) -> tuple[Any, int]:
    """Return a stage led by a faster reference, whose oracle is `basis` above it, 2 s late."""
    stage = referenced(
        make_stage, **{"reference": FAST, "basis_pairs_min": 10, "basis_lag_ms": 0, **parameters}
    )
    for second in range(40):
        now_ns = second * S
        stage.price(FAST, 60_000.0 + second % 2, now_ns, now_ns)
        if second >= 2:
            then = second - 2
            price = 60_000.0 + then % 2 + basis[then % len(basis)]
            stage.price(ORACLE, price, now_ns, then * S)
    stage.strike(60_050.0, 39 * S)
    return stage, 39 * S


def test_the_reference_is_mapped_by_the_basis_of_equal_stamps(make_stage: Any) -> None:
    stage, now_ns = led(make_stage, [50.0])
    decision = stage.ask(now_ns).decision
    inputs = dict(decision.inputs)
    assert inputs["basis_mean"] == pytest.approx(50.0)
    assert inputs["basis_sigma"] == pytest.approx(0.0, abs=1e-6)
    assert dict(decision.build_up)["settlement_mean"] == pytest.approx(60_051.0)


def test_what_the_reference_shows_the_oracle_shows_under_a_later_stamp(make_stage: Any) -> None:
    stage, now_ns = led(make_stage, [50.0], basis_lag_ms=2_000)
    decision = stage.ask(now_ns).decision
    assert dict(decision.inputs)["basis_sigma"] == pytest.approx(0.0, abs=1e-6)
    assert dict(decision.inputs)["to_close_s"] == pytest.approx(300 - 39 - 2)


def test_an_uncertain_basis_widens_the_quotes(make_stage: Any) -> None:
    steady, now_ns = led(make_stage, [50.0], width_basis_multiplier=1)
    unsure, _ = led(make_stage, [30.0, 70.0], width_basis_multiplier=1)
    narrow = dict(steady.ask(now_ns).decision.build_up)
    wide = dict(unsure.ask(now_ns).decision.build_up)
    assert narrow["width_basis"] == pytest.approx(0.0, abs=1e-6)
    assert wide["width_basis"] > 0.01
    added = wide["settlement_sigma"] ** 2 - narrow["settlement_sigma"] ** 2
    assert added == pytest.approx(unsure.strategy._shared.basis.variance, rel=0.05)


def test_the_reference_must_be_fresh_and_paired(make_stage: Any) -> None:
    stage, now_ns = led(make_stage, [50.0])
    stage.price(ORACLE, 60_050.0, now_ns + 4 * S, now_ns + 2 * S)
    assert stage.ask(now_ns + 4 * S).decision.outcome == "reference_age_ms"
    unpaired, now_ns = led(make_stage, [50.0])
    unpaired.strategy._shared.basis.pairs = 9
    assert unpaired.ask(now_ns).decision.outcome == "basis_ready"
    alone = referenced(make_stage, reference=FAST)
    walk(alone, [60_000.0] * 5)
    alone.strike(60_000.0, 4 * S)
    assert alone.ask(4 * S).decision.outcome == "reference_known"


def test_inside_the_window_the_realised_average_counts(make_stage: Any) -> None:
    stage = referenced(make_stage, twap_window_s=30, event_jump_bps=0)
    walk(stage, [60_000.0, 60_002.0] * 5)
    stage.strike(60_000.0, 9 * S)
    assert stage.ask(9 * S).decision.outcome == "quote"
    walk(stage, [60_000.0, 60_002.0] * 130, start_s=10)
    now_ns = walk(stage, [60_030.0] * 21, start_s=270)
    stage.price(ORACLE, 59_970.0, now_ns, now_ns + 1)
    decision = stage.ask(now_ns).decision
    inputs, parts = dict(decision.inputs), dict(decision.build_up)
    assert inputs["realised_average"] == pytest.approx(60_030.0)
    assert parts["settlement_mean"] == pytest.approx(60_030.0 * 2 / 3 + 59_970.0 / 3, rel=1e-6)
    assert parts["fair"] > 0.5
    # A third of the window is open: the settlement moves a third as much as the price.
    sigma = inputs["sigma_bps_per_sqrt_s"] / 1e4 * 59_970.0
    z = (parts["settlement_mean"] - 60_000.0) / parts["settlement_sigma"]
    slope = NormalDist().pdf(z) / parts["settlement_sigma"]
    assert parts["sigma_per_sqrt_s"] == pytest.approx(slope * sigma / 3, rel=1e-6)


def test_a_window_not_seen_whole_quotes_nothing(make_stage: Any) -> None:
    stage = referenced(make_stage, twap_window_s=30)
    walk(stage, [60_000.0, 60_002.0] * 5, start_s=280)
    stage.strike(60_000.0, 289 * S)
    decision = stage.ask(289 * S).decision
    assert decision.outcome == "twap_covered"
    assert decision.gates[-1].value < 0.9


def test_the_realised_average_survives_a_restart(make_stage: Any) -> None:
    stages = [referenced(make_stage, twap_window_s=30), referenced(make_stage, twap_window_s=30)]
    for stage in stages:
        walk(stage, [60_000.0, 60_002.0] * 5)
        stage.strike(60_000.0, 9 * S)
        stage.ask(9 * S)
        walk(stage, [60_000.0, 60_002.0] * 135, start_s=10)
    stages[0].restart()
    found = []
    for stage in stages:
        now_ns = walk(stage, [60_001.0, 60_003.0] * 4, start_s=280)
        found.append(stage.ask(now_ns))
    assert found[0] == found[1]
    assert "realised_average" in dict(found[0].decision.inputs)
    assert found[0].decision.notes


def test_the_fair_value_begins_with_the_mid(make_stage: Any) -> None:
    stage = referenced(make_stage, prior="market")
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    stage.book(4500, 4700, now_ns)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "quote"
    parts = dict(decision.build_up)
    assert parts["fair"] == parts["market_mid"] == pytest.approx(0.46)
    assert parts["model"] > 0.5
    assert (parts["lead_b_used"], parts["model_news"]) == (0.0, 0.0)


def test_what_the_model_knows_first_moves_the_fair_value_once_that_is_proven(
    make_stage: Any,
) -> None:
    stage = referenced(make_stage, prior="market", fair_gap_max=1, event_jump_bps=0)
    stage.strike(60_000.0, 0)
    model = [0.5]
    for second in range(1, 250):
        # The mid shows what the model said two seconds ago, to the tick.
        stage.price(ORACLE, 60_000.0 + (10.0, -10.0, -10.0, 10.0)[second // 3 % 4], second * S)
        mid = round(model[max(0, second - 3)] * 100) * 100
        stage.book(mid - 100, mid + 100, second * S)
        parts = dict(stage.ask(second * S).decision.build_up)
        model.append(parts.get("model", 0.5))
    assert parts["lead_b_used"] > 0.3
    assert parts["lead_b_used"] > 2 * parts["lead_b_error"]
    assert parts["fair"] == pytest.approx(
        parts["market_mid"] + parts["lead_b_used"] * parts["model_news"]
    )


def test_without_a_mid_the_market_is_no_prior(make_stage: Any) -> None:
    stage = referenced(make_stage, prior="market")
    now_ns = walk(stage, [60_000.0, 60_010.0] * 10)
    stage.strike(60_000.0, now_ns)
    assert stage.ask(now_ns).decision.outcome == "two_sided"
