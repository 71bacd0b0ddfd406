"""Verdicts by rule: what each row of evidence shows, and what of several rows counts."""

from __future__ import annotations

from msgspec.structs import replace

from engine.domain.evidence import Edge, EvidenceRow, halves, judged, missing, verdict_of

EARNS = EvidenceRow(
    strategy="grid", data="day", digest="d1", rules_ns=1, product="binary", per="market",
    quoted=True, latency_ms=150, currency="pUSD", capital=1_000.0, seen=400, asked=900, fills=500,
    count=250, mean=1.0, low=0.5, high=1.5, low_corrected=0.2, first=0.8, second=1.2,
    began_ns=2, ended_ns=3, proved_ns=4,
)  # fmt: skip


def verdict(**changes: object) -> Edge:
    return verdict_of(replace(EARNS, **changes))[0]


def test_a_proof_needs_every_one_of_its_demands() -> None:
    assert verdict() is Edge.PROVEN
    lacking: list[dict[str, object]] = [
        {"quoted": False}, {"count": 199}, {"latency_ms": 0}, {"second": -0.1}, {"first": None},
        {"rules_ns": 2},
    ]  # fmt: skip
    for change in lacking:
        row = replace(EARNS, **change)
        assert verdict_of(row)[0] is Edge.CANDIDATE, change
        assert len(missing(row)) == 1, change
        assert missing(row)[0] in verdict_of(row)[1]


def test_the_interval_decides_and_is_corrected_for_trials() -> None:
    assert verdict(low=-0.1, low_corrected=-0.3) is Edge.HARMLESS
    assert verdict(low_corrected=-0.1) is Edge.HARMLESS, "one of many trials"
    assert verdict(mean=-1.0, low=-2.0, high=-0.1, low_corrected=-3.0) is Edge.LOSES
    assert verdict(mean=-1.0, low=-2.0, high=0.1, low_corrected=-3.0) is Edge.HARMLESS


def test_of_what_can_be_held_a_gain_counts_above_holding_alone() -> None:
    more: dict[str, object] = {"hold": 0.2, "excess": 0.8, "excess_low": 0.3, "excess_high": 1.3}
    spot: dict[str, object] = {"product": "spot"} | more
    assert verdict(**spot, excess_low_corrected=0.1) is Edge.PROVEN
    assert verdict(**spot, excess_low_corrected=-0.1) is Edge.HARMLESS, "one of many trials"
    assert verdict(**spot) is Edge.HARMLESS
    assert "holding +0.20, over it +0.80 [+0.30, +1.30]" in verdict_of(replace(EARNS, **spot))[1]
    assert verdict(product="spot") is Edge.NO_DATA, "a row of before holding was computed"
    assert verdict(product="spot", mean=-1.0, low=-2.0, high=-0.1) is Edge.LOSES


def test_resting_is_harmless_and_too_little_is_no_data() -> None:
    resting: dict[str, object] = {"count": 0, "fills": 0, "mean": None, "low": None, "high": None}
    assert verdict(**resting) is Edge.HARMLESS
    assert verdict(**(resting | {"seen": 9})) is Edge.NO_DATA
    assert verdict(**(resting | {"asked": 0})) is Edge.NO_DATA
    assert verdict(count=9) is Edge.NO_DATA
    assert verdict(error="KeyError in wish") is Edge.NO_DATA
    assert verdict_of(replace(EARNS, count=1))[1] == "it traded in 1 market: 10 are needed"


def test_one_that_loses_anywhere_loses_and_other_code_shows_nothing() -> None:
    rests = replace(EARNS, data="night", low=-1.0, low_corrected=-1.0)
    loses = replace(EARNS, data="week", mean=-1.0, low=-2.0, high=-0.5)
    assert judged([rests, EARNS], "d1")[0] is Edge.PROVEN
    assert judged([rests, EARNS, loses], "d1") == (
        Edge.LOSES, "week: -1.00 [-2.00, -0.50] pUSD per market: below zero",
    )  # fmt: skip
    assert judged([EARNS], "d2") == (
        Edge.NO_DATA, "its code changed since it was proven: prove it again",
    )  # fmt: skip
    assert judged([], "d1")[0] is Edge.NO_DATA


def test_what_was_computed_here_goes_before_what_is_shipped() -> None:
    loses = replace(EARNS, data="week", mean=-1.0, low=-2.0, high=-0.5)
    nothing = replace(EARNS, data="hour", count=1)
    assert judged([], "d1", [EARNS, loses]) == (
        Edge.LOSES, "week: -1.00 [-2.00, -0.50] pUSD per market: below zero "
        "(as shipped with Pitboss)",
    )  # fmt: skip
    assert judged([EARNS], "d1", [loses])[0] is Edge.PROVEN
    assert judged([nothing], "d1", [loses])[0] is Edge.LOSES, "what was found here shows nothing"
    assert judged([nothing], "d1", [nothing]) == (
        Edge.NO_DATA, "hour: it traded in 1 market: 10 are needed",
    )  # fmt: skip
    assert judged([replace(loses, digest="d0")], "d1", [EARNS])[0] is Edge.PROVEN


def test_what_is_shipped_of_other_code_shows_nothing() -> None:
    assert judged([], "d2", [EARNS]) == (
        Edge.NO_DATA, "it was computed with other code (as shipped with Pitboss): prove it again",
    )  # fmt: skip
    assert judged([EARNS], "d2", [EARNS]) == (
        Edge.NO_DATA, "its code changed since it was proven: prove it again",
    )  # fmt: skip


def test_halves_are_means_in_order_of_time() -> None:
    assert halves([1.0, 3.0, 10.0, 20.0, 30.0]) == (2.0, 20.0)
    assert halves([1.0]) == (None, 1.0)
    assert halves([]) == (None, None)
