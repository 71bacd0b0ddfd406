"""A backtest watched again: the market's chart, orders and fills, at a chosen speed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, TypedDict

import msgspec
import streamlit as st

from engine.domain.instruments import Side, is_bid
from engine.domain.products.binary import mirrored
from pages.kit import charts, guard, names, panels
from pages.kit.home import now_ns
from pages.kit.panels import Tile
from pages.kit.tables import Col, ColKind, TableRow, columns_of, table
from pages.kit.words import NOTHING, SECOND_NS, count, moment, money
from pages.orders.page import fitting
from pages.runs import filled
from pages.runs.played import (
    FILLS_DRAWN,
    PlayedMarket,
    candles_of,
    newest,
    offer,
    pick_market,
    read_market,
)
from storage.run_orders import OrderLife
from storage.ticks import Candle
from storage.views import Row, shown

WATCH = "watch"
SPEEDS = (1, 10, 60, 300, 1_000)
"""How many seconds of the recording pass in a second."""
REFRESH_S = 0.5
WINDOWS_S = {"5 min": 300, "1 h": 3_600, "1 d": 86_400, "1 w": 604_800, "all": None}
CANDLES_DRAWN = 240
ROWS_DRAWN = 12
ORDERS = columns_of(
    Col("id", "Order", ColKind.COUNT),
    Col("placed_ns", "Placed"),
    Col("way"),
    Col("price"),
    Col("size"),
    Col("filled", kind=ColKind.SIZE),
)


class Player(msgspec.Struct):
    """Where one browser is in a run. Times in ns UTC: of the recording, and of the wall."""

    at_ns: int
    first_ns: int
    end_ns: int
    speed: int = 60
    since_wall_ns: int | None = None
    """Since when it plays; None = it stands."""

    @property
    def plays(self) -> bool:
        return self.since_wall_ns is not None

    def follow(self, wall_ns: int) -> int:
        """Go on to where it is at a time of the wall, and stand where the run ends; give that."""
        if self.since_wall_ns is not None:
            self.at_ns += max(0, wall_ns - self.since_wall_ns) * self.speed
            self.since_wall_ns = wall_ns
            if self.at_ns >= self.end_ns:
                self.stand_at(self.end_ns)
        return self.at_ns

    def play(self, wall_ns: int) -> None:
        """Play on from here; from the end it begins anew."""
        if self.at_ns >= self.end_ns:
            self.at_ns = self.first_ns
        self.since_wall_ns = wall_ns

    def stand_at(self, at_ns: int) -> None:
        """Stop playing and go to a time within the run."""
        self.at_ns = min(max(at_ns, self.first_ns), self.end_ns)
        self.since_wall_ns = None

    def play_at(self, speed: int, wall_ns: int) -> None:
        """Go on with another speed."""
        self.follow(wall_ns)
        self.speed = speed


def link(number: int) -> str:
    """Return the link to where a backtest is watched again."""
    return panels.link("Watch it again", "runs", run=number, show=WATCH)


@guard.part("The playback")
def show(run: TableRow, instrument: str) -> None:
    """Draw the run as it was, or the button that reads the prices it needs."""
    number = run["id"]
    panels.links(
        panels.link(f"← Backtest {number}", "runs", run=number),
        panels.link("All backtests", "runs"),
    )
    panels.head(
        f"Backtest {number}, watched again",
        f"{run['mode']} · {run['strategy']} on {run['name']} · times are the recording's · no "
        "order leaves this page",
    )
    path = filled.journal_of(run)
    if path is None:
        panels.empty(
            "No journal was kept for this backtest.",
            "It ran with --journal digest, or its folder was removed: start it again to watch it.",
        )
        return
    candles = candles_of(path)
    if candles is None:
        offer(number)
        return
    watched = read_market(run, path, candles, pick_market(candles, instrument, key="watch_market"))
    player = _player(watched)
    _controls(watched, player)
    st.fragment(_draw, run_every=REFRESH_S if player.plays else None)(watched, player)


def _player(watched: PlayedMarket) -> Player:
    """Return where this browser is; a market that was not watched yet begins at its first price."""
    held = st.session_state.get(watched.key)
    if isinstance(held, Player):
        return held
    first_ns, end_ns = watched.candles.span(watched.market) or (0, 0)
    made = Player(first_ns + watched.candles.step_ns, first_ns + watched.candles.step_ns, end_ns)
    if watched.times:
        made.end_ns = max(end_ns, watched.times[-1])
    st.session_state[watched.key] = made
    return made


# -- Controls: each stands above the picture, and works by keyboard --------------------------------


def _controls(watched: PlayedMarket, player: Player) -> None:
    play, back, step, fill, pace = st.columns([3, 4, 3, 4, 7])
    with play:
        label, icon = ("Pause", "pause") if player.plays else ("Play", "play_arrow")
        st.button(
            label,
            icon=f":material/{icon}:",
            type="primary",
            key="watch_play",
            on_click=_turn,
            args=(player,),
            width="stretch",
        )
    by_ns = watched.candles.step_ns
    back.button("Step back", **_steps(player, -by_ns), icon=":material/skip_previous:")
    step.button("Step", **_steps(player, by_ns), icon=":material/skip_next:")
    fill.button(
        "Next fill",
        icon=":material/fast_forward:",
        key="watch_fill",
        on_click=_to_fill,
        args=(player, watched.times),
        disabled=not watched.times,
        width="stretch",
    )
    speed = pace.segmented_control(
        "Speed",
        SPEEDS,
        default=player.speed,
        required=True,
        format_func=lambda times: f"{times:,}\N{MULTIPLICATION SIGN}",
        key=f"watch_speed_{watched.market}",
        label_visibility="collapsed",
    )
    if speed and speed != player.speed:
        player.play_at(int(speed), now_ns())


class _Steps(TypedDict):
    """What a button takes that goes on or back."""

    key: str
    on_click: Callable[[Player, int], None]
    args: tuple[Player, int]
    width: Literal["stretch"]


def _steps(player: Player, by_ns: int) -> _Steps:
    return {
        "key": f"watch_step_{by_ns}",
        "on_click": _step,
        "args": (player, by_ns),
        "width": "stretch",
    }


def _turn(player: Player) -> None:
    player.follow(now_ns())
    if player.plays:
        player.stand_at(player.at_ns)
    else:
        player.play(now_ns())


def _step(player: Player, by_ns: int) -> None:
    player.stand_at(player.follow(now_ns()) + by_ns)


def _to_fill(player: Player, times: Sequence[int]) -> None:
    """Go to the first fill after this moment; behind the last one, to the end."""
    place = bisect_right(times, player.follow(now_ns()))
    player.stand_at(times[place] if place < len(times) else player.end_ns)


def _slide(player: Player, key: str) -> None:
    part = float(st.session_state[key]) / 100
    player.stand_at(player.first_ns + round((player.end_ns - player.first_ns) * part))


# -- The picture of one moment ---------------------------------------------------------------------


@guard.part("The moment")
def _draw(watched: PlayedMarket, player: Player) -> None:
    """Draw chart, figures, orders and fills as they were."""
    played = player.plays
    at_ns = player.follow(now_ns())
    if played and not player.plays:
        st.rerun()  # the end was reached: the buttons say so
    _slider(watched, player)
    seen = watched.fills[: bisect_right(watched.times, at_ns)]
    standing = orders_at(watched.orders, seen, at_ns, watched.terms)
    panels.tiles(tiles(watched, seen, standing, at_ns))
    span = st.segmented_control(
        "Period", list(WINDOWS_S), default="1 h", required=True, key="watch_period"
    )
    _chart(watched, seen, standing, at_ns, WINDOWS_S[str(span)])
    st.subheader(f"Open orders ({len(standing):,})")
    if standing:
        table(standing[-ROWS_DRAWN:], ORDERS, key="watch_orders")
    else:
        panels.note("No order stood at this moment.")
    st.subheader(f"Fills ({len(seen):,} of {len(watched.fills):,})")
    if seen:
        table([*reversed(seen[-ROWS_DRAWN:])], filled.TRADES, key="watch_fills")
    else:
        panels.note("Nothing was filled up to this moment.")
    journal = panels.link("Its journal: why each was sent", "journal", run=watched.run["id"])
    panels.links(journal)


def _slider(watched: PlayedMarket, player: Player) -> None:
    key = f"watch_place:{watched.key}"
    whole_ns = max(1, player.end_ns - player.first_ns)
    st.session_state[key] = round(100 * (player.at_ns - player.first_ns) / whole_ns, 1)
    st.slider(
        f"{moment(player.at_ns)} · from {moment(player.first_ns)} to {moment(player.end_ns)}",
        0.0,
        100.0,
        step=0.1,
        key=key,
        format="%.1f %%",
        on_change=_slide,
        args=(player, key),
    )


def _chart(
    watched: PlayedMarket,
    fills: Sequence[Row],
    standing: Sequence[Row],
    at_ns: int,
    width_s: int | None,
) -> None:
    """Draw what was known at the moment: candles that had ended, fills, orders that stood."""
    since_ns = 0 if width_s is None else at_ns - width_s * SECOND_NS
    span = watched.candles.span(watched.market)
    since_ns = max(since_ns, span[0] if span else 0)
    step_ns, candles = watched.candles.candles(watched.market, since_ns, at_ns, CANDLES_DRAWN)
    candles = [one for one in candles if one.close2 is not None]
    drawn = [row for row in fills if row["at_ns"] >= since_ns]
    if not candles and not drawn:
        panels.empty("There is no price in this period.", "Choose a longer one, or go on.")
        return
    decimals = watched.terms["price_decimals"] or 0
    in_cents = names.cents(watched.terms)
    charts.prices(
        candles,
        drawn[-FILLS_DRAWN:],
        10**decimals,
        f"watch:{watched.key}",
        in_cents=in_cents,
        resting=[*filter(None, map(_level, standing))],
    )
    panels.note(
        f"candles of {step_ns // SECOND_NS:,} s of the mid, or the bars of its file · triangles "
        f"are its fills{' in YES-space' * in_cents}"
        f"{newest(FILLS_DRAWN, len(drawn))}: up bought, down sold · dotted lines "
        "are orders that stood"
    )


def _level(row: Row) -> tuple[float, bool] | None:
    """Return where an order stands in the chart, and whether it buys; None = no price is known."""
    if row["price"] is None:
        return None
    return float(mirrored(row["leg"], row["price"], Decimal(1))), is_bid(row["side"], row["leg"])


def orders_at(
    orders: Sequence[OrderLife], fills: Sequence[Row], at_ns: int, terms: Row
) -> list[Row]:
    """Return the orders that stood at a moment, each with what of it was filled by then.

    `fills` are those up to the moment. One that they filled wholly stands no more.
    """
    done: dict[int, Decimal] = {}
    for row in fills:
        done[row["order_id"]] = done.get(row["order_id"], Decimal(0)) + (row["size"] or 0)
    rows = [
        _order_row(one, done.get(one.id, Decimal(0)), terms) for one in orders if one.stood(at_ns)
    ]
    return fitting([row for row in rows if row["size"] is None or row["filled"] < row["size"]], "")


def _order_row(one: OrderLife, filled: Decimal, terms: Row) -> Row:
    return {
        "id": one.id,
        "placed_ns": one.placed_ns,
        "instrument": one.instrument,
        "side": one.side.value,
        "leg": one.leg.value,
        "price": shown(one.price, terms["price_decimals"]),
        "size": shown(one.size, terms["size_decimals"]),
        "filled": filled,
        "listed_kind": terms["listed_kind"],
    }


def tiles(
    watched: PlayedMarket, fills: Sequence[Row], standing: Sequence[Row], at_ns: int
) -> list[Tile]:
    """Return the touch, what its fills net to, and the account's equity at a moment.

    Bars tell no touch.
    """
    last, terms = watched.candles.last(watched.market, at_ns), watched.terms
    place = bisect_right(watched.equity, at_ns, key=lambda point: point[0])
    worth = NOTHING
    if place:
        since_ns, value = watched.equity[place - 1]
        worth = f"{money(value, watched.run['currency'])}, {moment(since_ns)[11:19]}"

    def price(raw: int | None) -> str:
        return NOTHING if raw is None else names.price_raw(raw, terms)

    touch = []
    if last is not None and (last.bid is not None or last.ask is not None):
        touch = [Tile("Best bid", price(last.bid)), Tile("Best ask", price(last.ask))]
    return [
        *touch,
        Tile(*_level_words(last, terms)),
        Tile("Bought less sold", net(fills, watched.market)),
        Tile("Open orders", count(len(standing), "order")),
        Tile("Equity", worth, "", "The account's, at its last stored point before this moment"),
    ]


def _level_words(last: Candle | None, terms: Row) -> tuple[str, str]:
    """Return the middle of the market and what it is called; a dash where there is none."""
    if last is None or last.close2 is None:
        return "Mid", NOTHING
    value = shown(last.close2, terms["price_decimals"])
    half = None if value is None else value / 2
    return "Mid", names.price(half, in_cents=names.cents(terms))


def net(fills: Sequence[Mapping[str, object]], market: str) -> str:
    """Return what fills bought less what they sold, by leg; one that failed moved nothing."""
    sums: dict[str, Decimal] = {}
    for row in fills:
        if row["state"] == "failed" or row["size"] is None:
            continue
        size = Decimal(str(row["size"]))
        leg = names.leg(str(row["leg"]), market)
        sums[leg] = sums.get(leg, Decimal(0)) + (size if row["side"] == Side.BUY else -size)
    return ", ".join(f"{names.size(size)} {leg}" for leg, size in sums.items()) or "nothing"
