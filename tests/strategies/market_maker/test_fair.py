"""What the reference path believes after silence: old stamps, a broken basis, another oracle."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.events import BookReplaced, InstrumentListed
from engine.strategies.market_maker.strategy import VALUES

S = 1_000_000_000
ORACLE, FAST = "chainlink:btc/usd", "binance:btcusdt"
BASIS = 50.0


def led(make_stage: Any, **parameters: Any) -> Any:
    """Return a stage led by a faster reference, with a proven strike and an empty book."""
    stage = make_stage(
        **{
            "fair": "reference", "twap_window_s": 0, "price_min": 0, "price_max": 1,
            "stop_before_close_s": 0, "data_age_ms_max": 3_600_000, "event_jump_bps": 0,
            "basis_pairs_min": 10, "basis_lag_ms": 0, **parameters,
        }
    )  # fmt: skip
    stage.receive(BookReplaced(instrument=stage.instrument.id, bids=(), asks=()), 0)
    stage.strike(60_050.0, 0)
    return stage


def priced(stage: Any, start_s: int, count: int, *, basis: float = BASIS, late_s: int = 0) -> int:
    """Tell both prices once a second, stamped `late_s` ago; return the last one's time."""
    for second in range(start_s, start_s + count):
        now_ns, stamp_ns = second * S, (second - late_s) * S
        stage.price(FAST, 60_000.0 + second % 2, now_ns, stamp_ns)
        stage.price(ORACLE, 60_000.0 + second % 2 + basis, now_ns, stamp_ns)
    return (start_s + count - 1) * S


@pytest.mark.parametrize(("late_s", "outcome"), [(0, "quote"), (4, "reference_age_ms")])
def test_a_price_that_comes_late_is_as_old_as_its_stamp(
    make_stage: Any, late_s: int, outcome: str
) -> None:
    stage = led(make_stage)
    now_ns = priced(stage, 20, 30, late_s=late_s)
    assert stage.ask(now_ns).decision.outcome == outcome


def test_a_backlogs_old_price_is_no_oracle(make_stage: Any) -> None:
    stage = led(make_stage)
    now_ns = priced(stage, 20, 30)
    stage.price(ORACLE, 60_050.0, now_ns + 20 * S, now_ns)
    stage.price(FAST, 60_000.0, now_ns + 20 * S, now_ns + 20 * S)
    assert stage.ask(now_ns + 20 * S).decision.outcome == "oracle_age_ms"


def test_the_basis_of_before_a_silence_is_learned_anew(make_stage: Any) -> None:
    stage = led(make_stage, sigma_warm_s=0)
    now_ns = priced(stage, 0, 30)
    assert stage.ask(now_ns).decision.outcome == "quote"
    stage.restart()
    # The pair of this second is the first for two minutes and a half: one pair has no deviation.
    now_ns = priced(stage, 180, 1, basis=BASIS + 40.0)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "basis_ready"
    now_ns = priced(stage, 181, 9, basis=BASIS + 40.0)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "quote"
    assert dict(decision.inputs)["basis_mean"] == pytest.approx(BASIS + 40.0)


def test_a_basis_nobody_has_paired_for_long_is_not_believed(make_stage: Any) -> None:
    stage = led(make_stage)
    priced(stage, 0, 30)
    stage.restart()
    # Both are received again, but no reference is known of the oracle's moment: nothing is paired.
    stage.price(ORACLE, 60_090.0, 200 * S, 199 * S)
    stage.price(FAST, 60_000.0, 200 * S, 200 * S)
    assert stage.ask(200 * S).decision.outcome == "basis_ready"


def averaged(make_stage: Any) -> tuple[Any, int]:
    """Return a stage of a market that settles by its last minute, told up to second 200."""
    stage = led(make_stage, reference=ORACLE, twap_window_s=60)
    for second in range(200):
        stage.price(ORACLE, 60_050.0 + second % 2, second * S, second * S)
    return stage, 199 * S


def test_a_silence_within_the_window_is_not_covered_by_what_came_before(make_stage: Any) -> None:
    stage, now_ns = averaged(make_stage)
    stage.ask(now_ns)
    stage.restart()
    # Nothing was received between the seconds 199 and 270, and the price has moved meanwhile.
    for second in range(270, 275):
        now_ns = second * S
        stage.price(ORACLE, 60_250.0, now_ns, now_ns)
    decision = stage.ask(now_ns).decision
    assert decision.outcome == "twap_covered"
    assert decision.gates[-1].value < 0.5


def test_a_market_met_within_its_window_is_not_averaged_from_hours_ago(make_stage: Any) -> None:
    stage, now_ns = averaged(make_stage)
    stage.restart()
    stage.ask(270 * S)
    for second in range(271, 275):
        now_ns = second * S
        stage.price(ORACLE, 60_250.0, now_ns, now_ns)
    assert stage.ask(now_ns).decision.outcome == "twap_covered"


@pytest.mark.parametrize(
    ("series", "oracle", "outcome"),
    [
        ("btc-updown-5m", ORACLE, "quote"), ("btc-updown-15m", ORACLE, "quote"),
        ("btc-updown-5m", "demo-oracle:btc/usd", "quote"),
        ("btc-updown-5m", FAST, "oracle_settles"), ("btc-updown-15m", FAST, "oracle_settles"),
        ("eth-updown-5m", ORACLE, "oracle_settles"),
        ("btc-updown-5m", "coinbase:btc-usd", "oracle_settles"),
    ],
)  # fmt: skip
def test_a_window_is_quoted_only_by_the_oracle_of_its_strike(
    make_stage: Any, series: str, oracle: str, outcome: str
) -> None:
    stage = led(make_stage, oracle=oracle, reference=oracle)
    window = msgspec.structs.replace(stage.instrument, series=series, strike_e8=60_000 * 10**8)
    stage.receive(InstrumentListed(instrument=window), 0)
    for second in range(30):
        stage.price(oracle, 60_000.0 + second % 2, second * S, second * S)
    assert stage.ask(29 * S).decision.outcome == outcome


def test_every_term_of_a_fair_value_and_its_quotes_has_words(make_stage: Any) -> None:
    stage = led(make_stage, twap_window_s=60, prior="market", fair_gap_max=1)
    stage.ask(priced(stage, 0, 200))
    one, lot = stage.instrument.one, stage.instrument.lot
    for begins_s in (200, 230):
        book = BookReplaced(
            instrument=stage.instrument.id,
            bids=((one * 49 // 100, 100 * lot),),
            asks=((one * 51 // 100, 100 * lot),),
        )
        stage.receive(book, begins_s * S)
        decision = stage.ask(priced(stage, begins_s, 30)).decision
    terms = {name for name, _ in (*decision.inputs, *decision.build_up)}
    assert {"realised_average", "basis_mean", "model", "lead_b_used", "width_markout"} <= terms
    assert terms <= VALUES.keys()
