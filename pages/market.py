"""One market: book with our orders, trades, history, ticket.

What the engine does not receive or is unknown is said in words. Reached from Markets, Positions
and Orders.

Changes: follows it; orders; flattens; sets price alerts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import streamlit as st

from engine.domain.commands.trading import FollowMarket
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Mode
from engine.domain.listings import ListingState
from engine.domain.telemetry import BookTop
from engine.errors import BadInput
from pages import Page
from pages.frame.bar import mode_shown, modes_of
from pages.kit import charts, commands, guard, links, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns, this_minute
from pages.kit.panels import Tile
from pages.kit.tables import Col, columns_of, table
from pages.kit.words import NOTHING, SECOND_NS, age, count, money
from pages.shared import listing, order, perpetuals, pnl, price_alerts, ticket, why
from storage.decisions import decisions_until
from storage.live import books, listed
from storage.markets import market
from storage.views import ROWS_MAX, Row, shown
from storage.views import money as money_views
from storage.views.drill_down import fills_behind, orders_behind
from storage.views.frame import AccountSeen, listings_of, open_markets, snapshot

if TYPE_CHECKING:
    from storage.ticks import Candle, Tick

PAGE = Page("Market", ":material/candlestick_chart:", "Trade", 5)

REFRESH_S = 2.0
SLOW_S = 5.0
SLOT = price_alerts.FOLLOW_SLOT
MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3_600 * SECOND_NS
TRADES = columns_of(
    Col("at_ns"),
    Col("price"),
    Col("size"),
)
AHEAD = (
    "Ahead: the most that can be queued before our order at its price. An estimate: the level's "
    "size when the order was first seen resting, never more than the level since; what left the "
    "level is assumed to have been behind us."
)
TERMS, RULES, FILLS, ORACLE = "Terms", "Rules", "Orders and fills", "Oracle and basis"
EVALUATION = "Latest evaluation"
"""What stands in the place of the oracle where there is none."""
WINDOWS = {
    "1 h": ("1m", 3_600),
    "1 d": ("5m", 86_400),
    "1 w": ("1h", 604_800),
    "3 m": ("1d", 92 * 86_400),
}
"""Period → interval of its candles, and its length in seconds."""
TRADES_SHOWN = 20
TICKS_READ = 2_000
"""Latest ticks among which trades are looked for."""


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    name = st.query_params.get("instrument", "")
    seen = ask(snapshot)
    mode = mode_shown(modes_of(seen))
    if not name:
        _choose()
        return
    row = listing.asked(market, name) if config().markets_path.is_file() else None
    instrument = _instrument(name)
    title = row["question"] if row else names.titles().get(name) or names.market(name)
    panels.head(title, f"{name} · book and orders a few seconds old, listing minutes old")
    if row is None and instrument is None:
        panels.empty(
            "Unknown market.",
            "Neither the venue's listing nor the engine has it: fetch the list under Markets.",
        )
        panels.links(panels.link("Markets", "markets"))
        return
    listing.show_watch(name)
    venue = name.partition(":")[0]
    accounts = [one for one in seen.accounts if (one.mode, one.venue) == (mode, venue)]
    account = _account(accounts, mode)
    show_lifecycle(name, row, instrument, account)
    if account is not None and mode is not None:
        show_now(account, name, mode)
        left, right = st.columns([5, 7])
        with left:
            show_book(account, name, mode)
            commands.show_progress(SLOT)
        with right:
            show_history(account, name, mode)
            show_ticket(account, name, instrument, mode)
        commands.show_question()
    price_alerts.show_of_market(name, [one.account for one in accounts], instrument)
    show_about(name, row, instrument, account, mode)


def _choose() -> None:
    """Let a person choose one of the markets the engine knows; the address names it from then."""
    panels.head("Market", "One market with its book, our orders in it and a ticket")
    known = ask(open_markets, engine_id(), this_minute())
    panels.empty(
        "No market is chosen.",
        "Choose one the engine knows, or open one from Markets, Positions or Orders.",
    )
    panels.links(panels.link("Markets", "markets"), panels.link("Positions", "positions"))
    if known:
        chosen = st.selectbox("Market", known, index=None, format_func=names.market)
        if chosen:
            st.query_params["instrument"] = chosen
            st.rerun()


def _account(accounts: Sequence[AccountSeen], mode: Mode | None) -> str | None:
    """Return the account the page is of; None = none of this mode trades the market's venue."""
    if not accounts:
        shown_ = mode.upper() if mode else "registered"
        panels.note(f"No {shown_} account trades at this market's venue: no book, no ticket.")
        return None
    found = [one.account for one in accounts]
    if len(found) == 1:
        return found[0]
    return str(st.segmented_control("Account", found, default=found[0], required=True))


def _instrument(name: str) -> Instrument | None:
    try:
        return ask(listed, engine_id(), name)
    except BadInput:
        return None  # the engine has never had to do with it


@guard.part("The market's state")
def show_lifecycle(
    name: str, row: Row | None, instrument: Instrument | None, account: str | None
) -> None:
    """Say where the market stands between active and redeemed."""
    known = ask(listings_of, engine_id(), (name,)).get(name)
    paid = account is not None and ask(
        money_views.paid_for, engine_id(), account=account, instrument=name
    )
    state = ListingState(row["state"]) if row else None
    if state is None and instrument is not None:
        over = instrument.closes_ns is not None and instrument.closes_ns <= now_ns()
        state = ListingState.ENDED if over else ListingState.ACTIVE
    if instrument is not None and not instrument.product.in_cents:
        panels.note("ACTIVE: it has no end" if state is ListingState.ACTIVE else "ENDED")
        return
    panels.note(listing.lifecycle(state, known["payout_yes_micro"] if known else None, paid=paid))


# -- The book as it stands, with our orders and the trades -----------------------------------------


@st.fragment(run_every=REFRESH_S)
@guard.part("The market's figures")
def show_now(account: str, name: str, mode: Mode) -> None:
    """Draw touch, last trade, what is held and what rests, anew every few seconds."""
    book, ours, terms = _seen(account, name, mode)
    only = {"account": account, "instrument": name}
    panels.tiles(tiles(book, ours, held(account, name, mode), terms, mode=mode, only=only))


@st.fragment(run_every=REFRESH_S)
@guard.part("The market's book")
def show_book(account: str, name: str, mode: Mode) -> None:
    """Draw ladder and trades, anew every few seconds; or why there are none."""
    now = now_ns()
    if not commands.engine_runs("no book is received"):
        return
    book, ours, terms = _seen(account, name, mode)
    if book is None and terms.get("payout_yes_micro") is not None:
        panels.empty("This market is resolved.", "It has no book any more: nothing trades in it.")
        return
    if book is None:
        panels.empty(
            f"{account} does not receive this market.",
            "No bot trades it there, nothing is held and no order rests, so the engine has no book "
            "for it. Follow it to see the book, and to place an order by hand.",
        )
        _follow(account, name, on=True, type_="primary")
        return
    proven = "never" if book.proof_ns is None else f"{age(max(0, now - book.proof_ns))} ago"
    panels.note(f"{mode.upper()} · {account} · proven by the venue {proven}")
    st.html(order.book_table(book, ours, terms))
    if ours:
        panels.note(AHEAD)
    show_trades(name, terms)
    _follow(account, name, on=not book.followed)


def _seen(account: str, name: str, mode: Mode) -> tuple[BookTop | None, list[Row], Row]:
    """Return the book an engine tells now, our orders in it, and what it counts in."""
    key = (account, name)
    only = {"account": account, "instrument": name}
    return (
        ask(books, engine_id(), (key,)).get(key) if commands.engine_runs() else None,
        ask(orders_behind, engine_id(), mode=mode, open_only=True, **only),
        ask(listings_of, engine_id(), (name,)).get(name, names.UNLISTED),
    )


def held(account: str, name: str, mode: Mode) -> Row | None:
    rows = ask(money_views.held, engine_id(), mode=mode, account=account, instrument=name)
    return next(iter(rows), None)


def tiles(
    book: BookTop | None,
    ours: Sequence[Row],
    position: Row | None,
    terms: Row,
    *,
    mode: Mode,
    only: Mapping[str, str],
) -> list[Tile]:
    """Return the touch, the last trade, what is held and what rests; what is unknown is a dash."""

    def price(raw: int | None) -> str:
        return NOTHING if raw is None else names.price_raw(raw, terms)

    bid = book.bids[0][0] if book and book.bids else None
    ask_ = book.asks[0][0] if book and book.asks else None
    spread = None if bid is None or ask_ is None else ask_ - bid
    text = "nothing" if position is None else NOTHING
    if position is not None and position["yes_settled"] is not None:
        text = pnl.held_words(position)
    gain = NOTHING
    if position is not None:
        gain = money(position["unrealised"], position["currency"], signed=True)
    return [
        Tile("Best bid", price(bid)),
        Tile("Best ask", price(ask_)),
        Tile("Spread", price(spread)),
        Tile("Last", price(book.last if book else None)),
        Tile("Held", text, links.fills(mode, **only)),
        Tile("Unrealised", gain, links.fills(mode, **only)),
        *_margin_tiles(position),
        Tile("Open orders", f"{len(ours):,}", links.orders(links.WORKING, mode, **only)),
    ]


def _margin_tiles(position: Row | None) -> list[Tile]:
    """Return what a position held long or short takes, and where it ends."""
    if position is None or not position["signed"]:
        return []
    currency, positions = position["currency"], panels.address("positions")
    used = position["margin_used"]
    entry = names.price(position["entry"], in_cents=False)
    words = perpetuals.MEANING
    return [
        Tile("Entry", entry, positions),
        Tile("Mark", perpetuals.mark(position, now_ns()), positions),
        Tile("Margin", perpetuals.UNKNOWN if used is None else money(used, currency), positions),
        Tile("Liquidation", perpetuals.liquidation(position), positions, words),
        Tile("Distance", perpetuals.distance(position, in_price=False), positions, words),
        Tile("Funding", money(position["funding"], currency, signed=True), positions),
    ]


def _follow(
    account: str, name: str, *, on: bool, type_: Literal["primary", "secondary"] = "secondary"
) -> None:
    """Draw the button that has an account receive the market, or no more."""
    label = f"Follow it at {account}" if on else "Stop following"
    if st.button(label, key=f"follow_{on}", type=type_):
        made = FollowMarket(account=AccountId(account), instrument=InstrumentId(name), on=on)
        commands.send(made, SLOT)
        st.rerun()


def show_trades(name: str, terms: Row) -> None:
    """Draw the latest trades that were received."""
    rows = [
        {
            "at_ns": one.at_ns,
            "price": shown(one.last, terms["price_decimals"]),
            "size": shown(one.volume or None, terms["size_decimals"]),
            "kind": terms["listed_kind"],
        }
        for one in _trades(name, now_ns() // SECOND_NS * SECOND_NS)
    ]
    if rows:
        table(rows, TRADES, key="market_trades")
        panels.note("The latest trades received, written every ten seconds")
    else:
        panels.note("No trade was received in the last hour.")


@st.cache_data(ttl=REFRESH_S, max_entries=32, show_spinner=False)
def _trades(name: str, now: int) -> list[Tick]:
    from storage.ticks import ticks  # noqa: PLC0415 it reads Parquet: 8 MB that no other page needs

    received = ticks(config().home, name, now - HOUR_NS, now + HOUR_NS, limit=TICKS_READ)
    return [one for one in reversed(received) if one.volume is not None][:TRADES_SHOWN]


# -- The price over time, with our fills on it -----------------------------------------------------


@st.fragment(run_every=SLOW_S)
@guard.part("The price history")
def show_history(account: str, name: str, mode: Mode) -> None:
    """Draw what is stored of the price, and our fills."""
    span = st.segmented_control("Period", list(WINDOWS), default="1 h", required=True) or "1 h"
    interval, width_s = WINDOWS[span]
    since_ns = this_minute() - width_s * SECOND_NS
    stored = [one for one in _candles(name, interval, since_ns) if one.close2 is not None]
    only = {"account": account, "instrument": name, "since_ns": since_ns}
    fills = ask(fills_behind, engine_id(), mode=mode, **only)
    if not stored and not fills:
        panels.empty(
            "No price is stored for this period.",
            "Prices of every received market are stored; our fills are kept forever.",
        )
        return
    terms = ask(listings_of, engine_id(), (name,)).get(name, names.UNLISTED)
    one = 10 ** (terms["price_decimals"] or 0)
    charts.prices(stored, fills, one, f"price:{name}:{span}", in_cents=names.cents(terms))
    space = " in YES-space" if names.cents(terms) else ""
    panels.note(
        f"{interval} candles of the received mid; triangles are our fills{space}: up bought, "
        f"down sold · {'the newest ' * (len(fills) >= ROWS_MAX)}{count(len(fills), 'fill')}"
    )


@st.cache_data(ttl=4.0, max_entries=32, show_spinner=False)
def _candles(name: str, interval: str, since_ns: int) -> list[Candle]:
    from storage.ticks import candles  # noqa: PLC0415 as above

    return candles(config().home, name, interval, since_ns, now_ns() + MINUTE_NS)


# -- Ticket and flatten ----------------------------------------------------------------------------


@guard.part("The ticket")
def show_ticket(account: str, name: str, instrument: Instrument | None, mode: Mode) -> None:
    """Draw the ticket and the close of what is held, where the engine could take them."""
    st.subheader("Ticket")
    if not commands.engine_runs():
        commands.note_no_engine()
    elif instrument is None:
        panels.note("The engine has not confirmed this market's terms: follow it first.")
    elif _seen(account, name, mode)[2].get("payout_yes_micro") is not None:
        panels.note("No order can be placed: the market is resolved.")
    else:
        _form(account, name, mode)
        show_flatten(account, name, instrument, mode)
    commands.show_progress(ticket.SLOT)


@st.fragment
@guard.part("The order form")
def _form(account: str, name: str, mode: Mode) -> None:
    ticket.order_form(account, name, mode)


@st.fragment(run_every=REFRESH_S)
@guard.part("The close of the position")
def show_flatten(account: str, name: str, instrument: Instrument, mode: Mode) -> None:
    """Draw the close of what is held, as soon as something is."""
    if held(account, name, mode) is None:
        panels.note("Flatten: there is no position here to close.")
    else:
        ticket.flatten(account, instrument, mode)


# -- What is known of it besides: terms, rules, orders and fills, the oracle -----------------------


@guard.part("About the market")
def show_about(
    name: str,
    row: Row | None,
    instrument: Instrument | None,
    account: str | None,
    mode: Mode | None,
) -> None:
    """Draw what a trader must know of the market, part by part."""
    binary = instrument is None or instrument.product.in_cents
    what = st.segmented_control(
        "About the market",
        (TERMS, RULES, FILLS, ORACLE) if binary else (TERMS, FILLS, EVALUATION),
        default=TERMS,
        required=True,
        key="market_about",
    )
    if what == TERMS:
        if instrument is not None:
            st.markdown("**As the engine trades it**, confirmed by the venue")
            panels.facts(listing.confirmed_terms(instrument))
        if row is not None:
            st.markdown("**As the venue lists it**, minutes old")
            panels.facts(listing.terms(row))
    elif what == RULES:
        said = row["description"] if row else ""
        st.text(said or "The venue's listing gives no rules for this market.")
    elif what in (ORACLE, EVALUATION):
        show_oracle(name)
    elif mode is not None:
        only = {"instrument": name, "account": account or ""}
        panels.links(
            panels.anchor("All its orders", links.orders(links.ALL, mode, **only)),
            panels.anchor("Its working orders", links.orders(links.WORKING, mode, **only)),
            panels.anchor("Its fills with totals", links.fills(mode, **only)),
        )


@guard.part("The oracle of the market")
def show_oracle(name: str) -> None:
    """Draw reference, strike, distance, basis and fair value as a bot stated them last."""
    found = decisions_until(config().decisions_path, instrument=name, at_ns=now_ns())
    if not found:
        panels.empty(
            "No bot has evaluated this market.",
            "What a bot sees comes with each evaluation: without a bot there is none.",
        )
        return
    decision = found[0].decision
    values = dict(decision.inputs) | dict(decision.build_up)
    terms = ask(listings_of, engine_id(), (name,)).get(name, names.UNLISTED)
    if names.cents(terms):
        panels.tiles(oracle_tiles(values))
        if "strike" not in values:
            panels.note("This fair value uses no strike: it comes from the book itself.")
    st.html(why.blocks(why.decided(decision, terms, why.vocabulary())[:3]))
    panels.note(order.decision_note(found[0]))


def oracle_tiles(values: dict[str, float]) -> list[Tile]:
    """Return the cockpit of an up/down market; what the evaluation did not state is a dash."""

    def figure(name: str, form: str = ",.2f") -> str:
        return NOTHING if name not in values else f"{values[name]:{form}}"

    strike, oracle = values.get("strike"), values.get("oracle")
    distance = NOTHING
    if strike and oracle is not None:
        distance = f"{oracle - strike:+,.2f} ({(oracle / strike - 1) * 1e4:+.1f} bp)"
    basis = figure("basis_mean", "+,.2f")
    if "basis_sigma" in values:
        basis += f" ± {values['basis_sigma']:,.2f}"
    fair = values.get("fair")
    return [
        Tile("Oracle", figure("oracle")),
        Tile("Reference", figure("reference")),
        Tile("Basis", basis, hint="oracle minus reference, mean and standard deviation"),
        Tile("Strike", figure("strike")),
        Tile("Oracle minus strike", distance),
        Tile("Fair value", NOTHING if fair is None else names.price(fair, in_cents=True)),
        Tile(
            "Time to close",
            NOTHING if "to_close_s" not in values else age(int(values["to_close_s"] * 1e9)),
        ),
    ]
