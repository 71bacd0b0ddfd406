from __future__ import annotations

import statistics
from decimal import Decimal
from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Instrument, InstrumentId, Kind, Leg, Mode
from storage.live import put_instrument, put_payout
from storage.markouts import (
    AT_RESOLUTION,
    HORIZONS_MS,
    FillSeen,
    MarkoutState,
    answer,
    begin,
    dues_of,
    resolve,
    resume,
    void,
)
from storage.views.markouts import by_bot, of_fills

M1 = InstrumentId("demo:m1")
KNOWN = MarkoutState.KNOWN


def seen(fill: str = "f1", **changes: Any) -> FillSeen:
    fields: dict[str, Any] = {
        "account": "demo",
        "fill": fill,
        "mode": Mode.DEMO,
        "bot": "maker",
        "instrument": M1,
        "liquidity": "maker",
        "leg": Leg.YES,
        "sign": 1,
        "price_micro": 480_000,
        "at_ns": 1_000,
    }
    return FillSeen(**(fields | changes))


def states(connection: Connection, fill: str = "f1") -> dict[int, str]:
    found = of_fills(connection, "e1", [("demo", fill)])
    return {ms: one.state for ms, one in found["demo", fill].items()}


def test_a_fill_waits_for_five_mids_and_its_resolution(connection: Connection) -> None:
    begin(connection, "e1", seen())
    begin(connection, "e1", seen())
    assert states(connection) == dict.fromkeys((*HORIZONS_MS, AT_RESOLUTION), "due")
    assert [due.due_ns for due in dues_of(seen())] == [1_000 + ms * 10**6 for ms in HORIZONS_MS]
    assert by_bot(connection, "e1", mode=Mode.DEMO) == []


@pytest.mark.parametrize(
    ("leg", "sign", "mid", "cents"),
    [
        (Leg.YES, 1, 490_000, "1"),
        (Leg.YES, -1, 490_000, "-1"),
        (Leg.NO, 1, 515_050, "0.495"),
        (Leg.NO, -1, 530_000, "1"),
    ],
)
def test_a_markout_is_signed_from_our_side_in_cents_per_share(
    connection: Connection, leg: Leg, sign: int, mid: int, cents: str
) -> None:
    fill = seen(leg=leg, sign=sign)
    begin(connection, "e1", fill)
    due = dues_of(fill)[0]
    answer(connection, "e1", due, KNOWN, due.against(mid))
    answer(connection, "e1", due, KNOWN, 7)
    shown = of_fills(connection, "e1", [("demo", "f1")])["demo", "f1"][300]
    assert (shown.state, shown.cents) == ("known", Decimal(cents))


def test_unknown_is_counted_and_is_in_no_sum(connection: Connection) -> None:
    begin(connection, "e1", seen())
    answer(connection, "e1", dues_of(seen())[0], MarkoutState.BLIND)
    (row,) = by_bot(connection, "e1", mode=Mode.DEMO)
    assert (row.known, row.unknown, row.mean_cents, row.error_cents) == (0, 1, None, None)
    assert states(connection)[300] == "blind"


def test_maker_and_taker_fills_are_summed_apart_and_modes_never_mix(connection: Connection) -> None:
    for number, micro in enumerate((10_000, 20_000, 60_000)):
        fill = seen(f"f{number}")
        begin(connection, "e1", fill)
        answer(connection, "e1", dues_of(fill)[1], KNOWN, micro)
    taker = seen("t", liquidity="taker")
    begin(connection, "e1", taker)
    answer(connection, "e1", dues_of(taker)[1], KNOWN, -5_000)
    maker, took = by_bot(connection, "e1", mode=Mode.DEMO, bot="maker")
    assert (maker.horizon_ms, maker.known) == (1_000, 3)
    assert maker.mean_cents == pytest.approx(3)
    assert maker.error_cents == pytest.approx(statistics.stdev([1, 2, 6]) / 3**0.5)
    assert (took.known, took.error_cents) == (1, None)
    assert took.mean_cents == pytest.approx(-0.5)
    assert by_bot(connection, "e1", mode=Mode.PAPER) == []
    assert by_bot(connection, "e1", mode=Mode.DEMO, bot="other") == []


def test_resolution_answers_every_fill_of_the_market_once(connection: Connection) -> None:
    begin(connection, "e1", seen())
    begin(connection, "e1", seen("f2", leg=Leg.NO))
    begin(connection, "e1", seen("f3", instrument="demo:m2"))
    for _ in range(2):
        resolve(connection, "e1", M1, 1_000_000)
    found = of_fills(connection, "e1", [("demo", name) for name in ("f1", "f2", "f3")])
    cents = {fill: shown[AT_RESOLUTION].cents for (_, fill), shown in found.items()}
    assert cents == {"f1": Decimal(52), "f2": Decimal(-48), "f3": None}
    (row,) = by_bot(connection, "e1", mode=Mode.DEMO)
    assert row.known == 2
    assert row.mean_cents == pytest.approx(2)


def test_a_fill_that_comes_after_the_resolution_is_answered_at_once(connection: Connection) -> None:
    listed = Instrument(
        id=M1, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6, tick=1, lot=1
    )
    put_instrument(connection, "e1", listed, 1)
    put_payout(connection, "e1", M1, 0, 2)
    begin(connection, "e1", seen())
    assert states(connection)[AT_RESOLUTION] == "known"


def test_a_fill_told_by_a_listing_was_at_a_time_nobody_knows(connection: Connection) -> None:
    begin(connection, "e1", seen(at_ns=None))
    found = states(connection)
    assert {found[ms] for ms in HORIZONS_MS} == {"ignored"}
    assert found[AT_RESOLUTION] == "due"
    assert dues_of(seen(at_ns=None)) == []


def test_what_came_due_while_the_engine_was_down_is_unheard(connection: Connection) -> None:
    begin(connection, "e1", seen())
    begin(connection, "e1", seen("other", account="paper"))
    left = resume(connection, "e1", ["demo"], 1_000 + 5_000 * 10**6)
    assert [due.horizon_ms for due in left] == [5_000, 30_000, 300_000]
    assert left[0] == dues_of(seen())[2]
    found = states(connection)
    assert (found[300], found[1_000], found[5_000]) == ("ignored", "ignored", "due")
    assert len(by_bot(connection, "e1", mode=Mode.DEMO)) == 2


def test_a_failed_fill_leaves_every_sum(connection: Connection) -> None:
    for name in ("f1", "f2"):
        begin(connection, "e1", seen(name))
        answer(connection, "e1", dues_of(seen(name))[0], KNOWN, 10_000)
        answer(connection, "e1", dues_of(seen(name))[1], MarkoutState.BLIND)
    for _ in range(2):
        void(connection, "e1", "demo", "f1")
    first, second = by_bot(connection, "e1", mode=Mode.DEMO)
    assert (first.known, second.unknown) == (1, 1)
    assert first.mean_cents == pytest.approx(1)
    assert set(states(connection).values()) == {"void"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.integers(-1_000_000, 1_000_000), min_size=2, max_size=30))
def test_mean_and_standard_error_are_those_of_the_values(
    connection: Connection, values: list[int]
) -> None:
    connection.execute("DELETE FROM markouts")
    connection.execute("DELETE FROM markout_sums")
    for number, micro in enumerate(values):
        fill = seen(f"f{number}")
        begin(connection, "e1", fill)
        answer(connection, "e1", dues_of(fill)[0], KNOWN, micro)
    (row,) = by_bot(connection, "e1", mode=Mode.DEMO)
    cents = [value / 10_000 for value in values]
    assert row.mean_cents == pytest.approx(statistics.fmean(cents), abs=1e-6)
    error = statistics.stdev(cents) / len(cents) ** 0.5
    assert row.error_cents == pytest.approx(error, abs=1e-3)


def test_a_pairs_markouts_are_in_basis_points_apart_from_shares_and_it_has_no_end(
    connection: Connection,
) -> None:
    price = 65_000_000_000
    for name, sign, mid in (("f1", 1, 65_013_000_000), ("f2", -1, 65_026_000_000)):
        fill = seen(name, leg=Leg.BASE, sign=sign, price_micro=price, instrument="demo:BTC-pUSD")
        begin(connection, "e1", fill)
        assert set(states(connection, name)) == set(HORIZONS_MS)
        due = dues_of(fill)[0]
        answer(connection, "e1", due, KNOWN, due.against(mid))
    begin(connection, "e1", share := seen("f3"))
    answer(connection, "e1", due := dues_of(share)[0], KNOWN, due.against(490_000))
    shown = of_fills(connection, "e1", [("demo", "f1"), ("demo", "f2")])
    assert shown["demo", "f1"][300].bps == 2
    assert shown["demo", "f2"][300].bps == -4
    of_shares, of_pairs = by_bot(connection, "e1", mode=Mode.DEMO)
    assert (of_shares.in_bps, of_shares.known, of_shares.mean_cents) == (False, 1, 1)
    assert (of_pairs.in_bps, of_pairs.known, of_pairs.mean_cents) == (True, 2, -1)
    assert of_pairs.error_cents == pytest.approx(statistics.stdev([2, -4]) / 2**0.5)
    void(connection, "e1", "demo", "f2")
    assert by_bot(connection, "e1", mode=Mode.DEMO)[1].mean_cents == pytest.approx(2)
