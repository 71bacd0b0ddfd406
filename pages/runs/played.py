"""One market of a backtest as it was played: its price, every order as a line, every fill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import streamlit as st

from engine.domain.commands import RunJob
from engine.domain.instruments import is_bid
from engine.domain.products.binary import mirrored
from pages.kit import charts, commands, guard, names, panels
from pages.kit.charts import OrderLine
from pages.kit.data import ask
from pages.kit.tables import TableRow, choice, unchoose
from pages.kit.words import SECOND_NS, moment
from pages.runs import filled
from pages.runs.filled import TRADES, fills_of, orders_of, terms_of
from pages.shared import job
from storage import playback
from storage.playback import Playback
from storage.run_orders import OrderLife
from storage.views import Row, run_equity, shown

KIND, SLOT = "playback", "run_playback"
CANDLES_DRAWN = 360
ORDERS_DRAWN = 1_000
"""Most orders that are drawn as lines: the newest of the period."""
FILLS_DRAWN = 1_000
"""Most fills that are drawn as triangles: the newest of the period."""
FILLS_LISTED = 20


class PlayedMarket(msgspec.Struct, kw_only=True):
    """What is drawn of one market of a run."""

    run: TableRow
    market: str
    candles: Playback
    orders: Sequence[OrderLife]
    fills: Sequence[Row]
    """Oldest first."""
    times: Sequence[int]
    """When each fill was, ns UTC."""
    equity: Sequence[tuple[int, Decimal]]
    terms: Row

    @property
    def key(self) -> str:
        return f"player:{self.run['id']}:{self.market}"


def candles_of(journal: Path) -> Playback | None:
    """Return the prices that are kept beside a run's journal, None where none were read.

    Raises StorageError naming a file that cannot be read.
    """
    path = journal.parent / playback.FILE
    return _candles(journal.parent, path.stat().st_mtime_ns if path.is_file() else 0)


@st.cache_resource(max_entries=2, show_spinner="Reading the prices")
def _candles(folder: Path, changed_ns: int) -> Playback | None:
    del changed_ns  # part of the key
    return Playback.load(folder)


def offer(number: int) -> None:
    """Say what is needed, and have the worker read it."""
    panels.empty(
        "The prices of this backtest have not been read yet.",
        "A backtest keeps its orders and fills, and not what the market did: its recording is read "
        "once more for that, which takes about as long as the first look at it. They are kept "
        "beside its journal.",
    )
    if commands.engine_runs():
        if st.button("Read the prices", type="primary", icon=":material/movie:"):
            commands.send(RunJob(job=KIND, arguments=json.dumps({"run": number})), SLOT)
    else:
        commands.note_no_engine()
    job.show_progress(SLOT)


def pick_market(candles: Playback, instrument: str, *, key: str) -> str:
    """Return the market that is drawn: the only one, or one a person picks; `instrument` first."""
    markets = candles.markets
    if len(markets) == 1:
        return markets[0]
    place = markets.index(instrument) if instrument in markets else 0
    return str(st.selectbox("Market", markets, index=place, format_func=names.market, key=key))


def read_market(run: TableRow, path: Path, candles: Playback, market: str) -> PlayedMarket:
    """Return all that is drawn of one market of a run; `path` = the run's journal.

    Raises StorageError, JournalCorrupt.
    """
    orders, fills = orders_of(path), fills_of(path, market)
    return PlayedMarket(
        run=run,
        market=market,
        candles=candles,
        orders=orders.of(market),
        fills=fills,
        times=[row["at_ns"] for row in fills],
        equity=ask(run_equity, run["engine_id"], run["id"]),
        terms=terms_of(orders, market),
    )


# -- The chart of the whole run, or a part of it ---------------------------------------------------


@guard.part("Where it traded")
def show_traded(run: TableRow) -> None:
    """Draw one market of a run over its whole time, or the part that is slid to."""
    path = filled.journal_of(run)
    if path is None:
        return  # the inputs say that no journal was kept
    st.subheader("Price, orders and fills")
    candles = candles_of(path)
    if candles is None:
        offer(run["id"])
        return
    market = pick_market(candles, "", key="traded_market")
    played = read_market(run, path, candles, market)
    span = candles.span(market)
    if span is not None:
        _draw(played, *_period(played, *span))


def _period(played: PlayedMarket, first_ns: int, end_ns: int) -> tuple[int, int]:
    """Return the part of a run that is drawn, ns UTC; all of it unless a person slides."""
    key = f"traded_period:{played.key}"
    since, until = st.session_state.get(key, (0.0, 100.0))
    places = [first_ns + round((end_ns - first_ns) * part / 100) for part in (since, until)]
    st.slider(
        f"{moment(places[0])} to {moment(places[1])}",
        0.0,
        100.0,
        (0.0, 100.0),
        step=0.1,
        key=key,
        format="%.1f %%",
    )
    return places[0], max(places[1], places[0] + played.candles.step_ns)


def _draw(played: PlayedMarket, since_ns: int, until_ns: int) -> None:
    step_ns, candles = played.candles.candles(played.market, since_ns, until_ns, CANDLES_DRAWN)
    candles = [one for one in candles if one.close2 is not None]
    fills = [row for row in played.fills if since_ns <= row["at_ns"] <= until_ns]
    orders = standing(played.orders, since_ns, until_ns)
    if not candles and not fills:
        panels.empty("There is no price in this period.", "Slide to a longer one.")
        return
    terms = played.terms
    in_cents = names.cents(terms)
    charts.prices(
        candles,
        fills[-FILLS_DRAWN:],
        10 ** (terms["price_decimals"] or 0),
        f"traded:{played.key}:{since_ns}:{until_ns}",
        in_cents=in_cents,
        lives=lines(orders[-ORDERS_DRAWN:], terms, since_ns, until_ns),
    )
    panels.note(
        f"{played.run['mode']} · candles of {step_ns // SECOND_NS:,} s of the mid, or the bars of "
        "its file · dotted lines are its orders while they stood"
        f"{newest(ORDERS_DRAWN, len(orders))} · triangles are its fills"
        f"{' in YES-space' * in_cents}{newest(FILLS_DRAWN, len(fills))}: up bought, down sold"
    )
    if max(len(orders) - ORDERS_DRAWN, len(fills) - FILLS_DRAWN) > 0:
        panels.note("Slide to a part of the run for the others.")
    _listed(played.run, fills)


def newest(drawn: int, there: int) -> str:
    """Return how much of what there is is drawn, as a clause; empty = all of it."""
    return f", the newest {drawn:,} of {there:,}" if there > drawn else ""


def standing(orders: Sequence[OrderLife], since_ns: int, until_ns: int) -> list[OrderLife]:
    """Return the orders that stood at any moment of a period, oldest first."""
    return [
        one
        for one in orders
        if one.placed_ns <= until_ns and (one.ended_ns is None or one.ended_ns >= since_ns)
    ]


def lines(orders: Sequence[OrderLife], terms: Row, since_ns: int, until_ns: int) -> list[OrderLine]:
    """Return orders as a chart draws them: in YES-space of a binary, within a period."""
    made = []
    for one in orders:
        price = shown(one.price, terms["price_decimals"])
        if price is None:
            continue  # an instrument that its journal does not list: no price of it is known
        ended_ns = until_ns if one.ended_ns is None else min(one.ended_ns, until_ns)
        whole = mirrored(one.leg, float(price), 1.0)
        placed_ns = max(one.placed_ns, since_ns)
        made.append(OrderLine(whole, is_bid(one.side, one.leg), placed_ns, ended_ns))
    return made


def _listed(run: TableRow, fills: Sequence[Row]) -> None:
    """Draw the fills of the period; a selected one opens its order: why it was placed."""
    if not fills:
        panels.note("Nothing was filled in this period.")
        return
    rows = [*reversed(fills[-FILLS_LISTED:])]
    more = f"the newest {len(rows):,} of {len(fills):,}" if len(fills) > len(rows) else "all"
    panels.note(f"Fills of the period, {more} · select one for why its order was placed")
    chosen = choice(rows, TRADES, key="traded_fills", ids=[row["number"] for row in rows])
    row = next((row for row in rows if row["number"] == chosen), None)
    if row is not None:
        unchoose("traded_fills")
        filled.open_order(run, row["order_id"])
