"""The details of one order: its life, why it was placed, its fills, and cancelling it by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import streamlit as st
from msgspec import UNSET

from engine.domain import effects, events, words
from engine.domain.commands import MANUAL, CancelOrderByHand
from engine.domain.decisions import Planned
from engine.domain.instruments import AccountId, Mode, is_bid
from engine.domain.orders import OrderId, OrderState
from engine.domain.plain import PlainDict
from engine.domain.products.binary import mirrored
from engine.domain.telemetry import BookTop, Earnings
from pages.kit import commands, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.names import price_raw as _price
from pages.kit.names import size_raw as _size
from pages.kit.tables import table
from pages.kit.words import NOTHING, age, clock, count, micro, moment, money, utc, zone
from pages.shared import markouts, moments, refusals, why
from pages.shared.why import left_words, number_of, way
from storage import live, views
from storage.decisions import StoredDecision, decision_numbered, plans_at
from storage.views import Row, shown
from storage.views.drill_down import FOREVER_NS, fills_behind
from storage.views.journal import OrderEvent, OrderHistory, history_of

FILLS = markouts.fill_columns("way", "instrument", "bot", "order_id")
WHY, LIFE, FACTS = "Why", "Life", "Facts"


class OrderFiles(msgspec.Struct, frozen=True):
    """The files in which an order's records, and what its bot decided, are kept."""

    journal: Path
    decisions: Path

    @classmethod
    def of_engine(cls) -> OrderFiles:
        """Return those of the engine's own orders."""
        return cls(config().journal_path, config().decisions_path)


@guard.part("The order")
def show(account: str, number: int, mode: Mode, *, alive: bool) -> None:
    """Draw one order, whatever has become of it since its row was selected."""
    row = ask(views.order, engine_id(), account, number)
    if row is None:
        panels.empty(
            f"There is no order {number} at {account}.",
            "It is not in the order table; you can search the journal itself.",
        )
        panels.links(panels.link("Search the journal", "journal", text=f'"order":{number},'))
        return
    st.subheader(literal(title(row)))
    reason = refusals.in_words(row["reason"], row)
    panels.note(
        f"{row['state'].upper()}{': ' + reason if reason else ''} · bot "
        f"{row['bot']} · {account} · {mode.upper()} · from the journal and the decision log"
    )
    panels.links(panels.link("Its market", "market", instrument=row["instrument"]))
    if refusals.venue_text(row["reason"]):
        st.html(refusals.venue_details(row["reason"]))
    slot = f"cancel:{account}:{number}"
    if not OrderState(row["state"]).ended:
        if alive:
            show_earning(account, number, mode)
        _cancel(account, number, row["bot"], slot, alive=alive)
    # Also when the order has ended: that is what the answer tells of.
    commands.show_progress(slot)
    if alive:
        moments.offer(row["created_ns"], account, slot)
    moments.show_progress(slot)
    fills = ask(fills_behind, engine_id(), mode=mode, account=account, order_id=number)
    what = st.segmented_control(
        "About the order", (WHY, LIFE, FACTS), default=WHY, key="order_about", required=True
    )
    if what == WHY:
        show_why(row)
    elif what == LIFE:
        show_life(row, fills)
    else:
        _facts(row)
    _fills(fills)


# -- does it earn rewards? -------------------------------------------------------------------------


def earning(known: Earnings | None, number: int) -> str:
    """Return in a few words whether an order earns now, and at least how much a day."""
    found = None if known is None else next((o for o in known.orders if o.order == number), None)
    if known is None or found is None:
        return NOTHING
    if not found.earns:
        return f"no: {found.said}"
    return f"yes, at least {micro(found.daily_micro, known.currency)} per day: {found.said}"


def sampled(known: Earnings, number: int, mode: Mode, now: int) -> str:
    """Return what the venue itself said of an order when it was sampled last."""
    scoring = known.scoring.get(number)
    if mode is not Mode.LIVE:
        return f"{mode.upper()} is not paid: a live order would earn this"
    if scoring is None or known.scoring_ns is None:
        return "the venue has not been asked about it yet"
    word = "scores" if scoring else "does NOT score"
    return f"the venue reports that it {word}, sampled {age(max(0, now - known.scoring_ns))} ago"


@guard.part("The order's rewards")
def show_earning(account: str, number: int, mode: Mode) -> None:
    """Draw the strip: does it earn, why not, and what a day it would be."""
    earnings = ask(live.account_report, engine_id(), Earnings, account)
    if earnings is None or all(one.order != number for one in earnings.orders):
        return
    earns = any(one.order == number and one.earns for one in earnings.orders)
    tone, word = ("gain", "EARNING") if earns else ("quiet", "NOT EARNING")
    more = f" · {escape(sampled(earnings, number, mode, now_ns()))} · {EARNING}"
    if not earns and not earnings.scoring.get(number):
        more = ""
    reason = escape(earning(earnings, number).partition(" ")[2])
    st.html(f'<p class="pb-source"><b class="pb-{tone}">{word}</b> {reason}{more}</p>')


EARNING = "if book and orders stayed all day as they are now; less than 1.00 per day is not paid"


def _fills(fills: Sequence[Row]) -> None:
    if fills:
        table(markouts.beside(fills), FILLS, key="order_fills")
        panels.note(markouts.MEANING)
    else:
        panels.note("No fill yet: fills appear here as the venue reports them.")


def title(row: Row) -> str:
    price = _price(row["price_raw"], row)
    return (
        f"Order {row['id']}: {why.way(row['side'], row['leg'])} "
        f"{_size(row['size_raw'], row)} at {price}, {names.market(row['instrument'])}"
    )


# -- life ------------------------------------------------------------------------------------------


@st.cache_data(max_entries=200, show_spinner=False)
def _history_cached(
    path: Path, *, account: str, number: int, created_ns: int, last_seq: int, fills: tuple[str, ...]
) -> OrderHistory:
    """Read a life anew only when the projection saw another record of it."""
    return history_of(
        path, account=account, order=number, created_ns=created_ns, last_seq=last_seq, fills=fills
    )


@guard.part("The order's life")
def show_life(row: Row, fills: Sequence[Row], kept: OrderFiles | None = None) -> None:
    """Draw every record of an order's life. `fills` are its own. Raises StorageError.

    `kept` = the files its records lie in, where it is none of the engine's own orders.
    """
    files = kept or OrderFiles.of_engine()
    found = _history_cached(
        files.journal,
        account=row["account"],
        number=row["id"],
        created_ns=row["created_ns"],
        last_seq=max([row["seq"], *(fill.get("seq", 0) for fill in fills)]),
        fills=tuple(fill["id"] for fill in fills),
    )

    def plans(at_ns: int) -> Sequence[Planned]:
        return plans_at(files.decisions, instrument=row["instrument"], at_ns=at_ns)

    st.html(history(found.moments, row, plans))
    panels.note(
        f"{count(len(found.moments), 'record')} · times in {zone()}, exact UTC when you point at "
        "one"
    )
    if found.gone:
        panels.note(
            "Some records from its time have been pruned (PITBOSS_DISK_BUDGET). Its fills are kept "
            "forever."
        )
    if not found.whole:
        panels.note("Its history is long: only the first 400,000 records were searched.")


def _facts(row: Row) -> None:
    ends = moment(row["expires_ns"]) if row["expires_ns"] else "never"
    pairs: PlainDict = {
        "Kind": f"{row['type'].upper()}{', post-only' if row['post_only'] else ''}"
        f"{', reduce-only' if row['reduce_only'] else ''}",
        "Market": row["instrument"],
        "Identity at the venue": row["identity"] or "none yet",
        "Placed": f"{moment(row['created_ns'])} = {utc(row['created_ns'])}",
        "Last changed": f"{moment(row['updated_ns'])} = {utc(row['updated_ns'])}",
        "Expires": ends,
        "Filled": f"{_size(row['filled_raw'], row)}, of which void {_size(row['voided_raw'], row)}",
        "Fees": money(row["fee"], row["currency"] or ""),
    }
    panels.facts(pairs)
    panels.links(panels.link("Its records in the journal", "journal", text=f'"order":{row["id"]},'))


def _cancel(account: str, number: int, bot: str, slot: str, *, alive: bool) -> None:
    if not alive:
        commands.note_no_engine()
        return
    with st.popover("Cancel this order…", key=f"fold_cancel_{slot}"):
        st.markdown(
            f"Asks the engine to cancel order {number} at {literal(account)}, and only this one. "
            "It may still fill until the venue has answered."
            + ("" if bot == MANUAL else f" {literal(bot)} may place another one.")
        )
        if st.button("Cancel the order", type="primary", key=slot):
            command = CancelOrderByHand(account=AccountId(account), order=OrderId(number))
            commands.send(command, slot)


# -- Why one order was placed: its decision and its plan, by their exact keys, or what is mis --


@guard.part("Why the order was placed")
def show_why(row: Row, kept: OrderFiles | None = None) -> None:
    """Draw the why of an order's row. Raises StorageError, BadInput.

    `kept` = the files its records lie in, where it is none of the engine's own orders.
    """
    decisions = (kept or OrderFiles.of_engine()).decisions
    stored, plan = _stored(row, decisions), _plan(row, decisions)
    parts: list[tuple[str, str]] = []
    if stored is not None:
        decision, vocabulary = stored.decision, why.vocabulary()
        st.markdown(literal(why.because(decision, plan, row, vocabulary)))
        panels.note(decision_note(stored))
        parts += why.decided(decision, row, vocabulary)
    elif row["decision"]:
        panels.empty(
            f"Decision {why.number_of(row['decision'])} is not in the decision log.",
            "Decisions are written within a second and a half; old ones are pruned.",
        )
    else:
        panels.empty(
            "No strategy decision led to this order.",
            "It was placed by hand, by a stop that sells inventory, or before decisions were "
            "numbered.",
        )
    if plan is not None:
        parts += why.planned(plan, row, ours=row["id"])
    elif row["decision"]:
        panels.note(
            "The plan of that moment is not in the decision log."
            if kept is None
            else "The plan is not kept: a version that kept none ran this backtest. Run it again."
        )
    if parts:
        st.html(why.blocks(parts))
    if row["decision"] and kept is None:
        then = {"bot": row["bot"], "market": row["instrument"], "at": row["created_ns"]}
        panels.links(panels.link(f"What {row['bot']} evaluated around then", "bots", **then))


def decision_note(stored: StoredDecision) -> str:
    decision = stored.decision
    repeats = f", the same {count(stored.count, 'time')} in a row" if stored.count > 1 else ""
    return (
        f"Decision {why.number_of(decision.number)} of {decision.bot}, regime {decision.regime}, "
        f"outcome {why.plain(decision.outcome)}{repeats} \N{MIDDLE DOT} "
        f"{moment(decision.at_ns)} = {utc(decision.at_ns)}"
    )


def _stored(row: Row, decisions: Path) -> StoredDecision | None:
    if not row["decision"]:
        return None
    return decision_numbered(
        decisions,
        bot=row["bot"],
        instrument=row["instrument"],
        number=row["decision"],
        at_ns=row["created_ns"],
    )


def _plan(row: Row, decisions: Path) -> Planned | None:
    found = plans_at(decisions, instrument=row["instrument"], at_ns=row["created_ns"])
    return next((plan for plan in found if row["id"] in [one.order for one in plan.places]), None)


# -- The life of one order as a person reads it: each record with its time and what it says --

Words = tuple[str, str]
"""(what happened, tone)."""


def history(
    found: Sequence[OrderEvent], row: Row, plans: Callable[[int], Sequence[Planned]]
) -> str:
    """Return a life as a table; `plans` gives the plans of the order's market at a time."""
    where = clock()
    lines = []
    before = None
    for event in found:
        text, tone = describe(event, row, plans)
        at = _clock_of(event.at_ns, where)
        after = "" if before is None else _after(event.at_ns - before)
        before = event.at_ns
        lines.append(
            f'<tr title="{utc(event.at_ns)} · record {event.seq}">'
            f'<th class="pb-at">{escape(at)}</th><td class="pb-num pb-quiet">{after}</td>'
            f'<td class="pb-{tone}"><b>●</b></td><td>{escape(text)}</td></tr>'
        )
    return f'<table class="pb-facts pb-tight">{"".join(lines)}</table>'


def _after(ns: int) -> str:
    return f"+{ns / 1e6:,.1f} ms" if ns < 1_000_000_000 else f"+{ns / 1e9:,.1f} s"


def _clock_of(at_ns: int, where: ZoneInfo) -> str:
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).astimezone(where)
    return f"{at:%b %d %H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}"


def describe(moment: OrderEvent, row: Row, plans: Callable[[int], Sequence[Planned]]) -> Words:
    message = moment.message
    match message:
        case effects.PlaceOrder(order=order, identity=identity):
            named = f" as {identity}" if identity else ""
            return (
                f"decided: {way(order.side, order.leg)} {_size(order.size, row)} at "
                f"{_price(order.price, row)}, "
                f"{order.type.upper()}{', post-only' if order.post_only else ''}"
                f"{', reduce-only' if order.reduce_only else ''}; journaled{named} "
                "before anything is sent",
                "dim",
            )
        case events.OrderNamed():
            return f"named {message.identity}: the venue can be asked about it from now on", "dim"
        case events.OrderFilled():
            return _filled(message, row), "ok"
        case effects.CancelOrders():
            return _asked(moment, row, plans), "warn"
        case effects.CancelAll():
            return words.of_record(message, lambda _: None), "warn"
        case effects.OrderChanged():
            return _state_changed(message, row)
        case _:
            return _plain(message, row)


def _state_changed(message: effects.OrderChanged, row: Row) -> Words:
    why = refusals.in_words(message.reason, row)
    filled = f", {_size(message.filled, row)} filled" if message.filled else ""
    said = f"the engine has it as {message.state.upper()}{filled}{f': {why}' if why else ''}"
    return said, "bad" if message.state is OrderState.UNKNOWN else "dim"


def _plain(message: object, row: Row) -> Words:
    tone = TONES.get(type(message), "dim")
    if type(message) not in words.ORDER_EVENTS:
        return words.of_record(message, lambda _: None), tone
    _, said = words.ORDER_EVENTS[type(message)]
    reason, text = (str(getattr(message, name, "")) for name in ("reason", "venue_text"))
    more = [refusals.in_words(f"{reason}: {text}", row)] if reason else []
    more += [f'in the venue\'s words "{text}"'] if text else []
    return f"{said}{': ' if more else ''}{', '.join(more)}", tone


TONES: dict[type, str] = {
    events.OrderAccepted: "ok",
    events.FillSettled: "ok",
    events.OrderDelayed: "warn",
    events.CancelRefused: "warn",
    events.OrderNotFound: "warn",
    events.OrderNotSent: "bad",
    events.OrderUnanswered: "bad",
    events.OrderRejected: "bad",
    events.CancelUnanswered: "bad",
    events.FillVoided: "bad",
}


def _fee(message: events.OrderFilled) -> str:
    paid = [] if message.fee is UNSET else [message.fee.text]
    return " and ".join([micro(message.fee_micro)] * bool(message.fee_micro or not paid) + paid)


def _filled(message: events.OrderFilled, row: Row) -> str:
    return (
        f"filled {_size(message.size, row)} at {_price(message.price, row)}, {message.liquidity}, "
        f"fee {_fee(message)}, {message.state}: {message.fill}"
    )


def _asked(moment: OrderEvent, row: Row, plans: Callable[[int], Sequence[Planned]]) -> str:
    plan = next((one for one in plans(moment.at_ns) if row["id"] in one.cancels), None)
    if plan is None:
        return "cancel requested outside a plan: by hand or by the engine"
    instead = ", ".join(
        f"#{one.order} {way(one.side, one.leg)} {_size(one.size, row)} at {_price(one.price, row)}"
        for one in plan.places
    )
    because = f"decision {number_of(plan.decision)}" if plan.decision else "quotes no longer wanted"
    if instead:
        return f"cancel requested by the plan of {because}, which placed {instead}"
    reasons = "; ".join(sorted({left_words(one.reason) for one in plan.left}))
    return f"cancel requested by the plan of {because}" + (f" ({reasons})" if reasons else "")


# -- A book as a ladder: asks above bids, size as a bar, our own orders in it, and their touc --


def book_table(book: BookTop, ours: Sequence[Row], listed: Row) -> str:
    """Return a book as a table, with our own size at each price and the most that is before it.

    Prices are in YES-space; an order for NO at q rests in it at 1 − q, on the other side. `listed`
    says what the instrument counts in. A price of ours that the book does not show has no size.
    """
    own: dict[tuple[str, int], int] = {}
    ahead: dict[int, int] = {}
    for row in ours:
        price = in_yes(row)
        place = "BID" if is_bid(row["side"], row["leg"]) else "ASK", price
        own[place] = own.get(place, 0) + row["size_raw"] - row["filled_raw"]
        if row.get("id") in book.ahead:
            ahead[price] = min(book.ahead[row["id"]], ahead.get(price, FOREVER_NS))
    levels = {("ASK", price): size for price, size in book.asks}
    levels |= {("BID", price): size for price, size in book.bids}
    largest = max(levels.values(), default=1)
    places = sorted({*levels, *own}, key=lambda one: (one[0] == "BID", -one[1]))
    rows = [
        _level(place, (levels.get(place), own.get(place), ahead.get(place[1])), largest, listed)
        for place in places
    ]
    names_ = ("Price", "Size", "Ours", "Ahead")
    labels = "".join(f"<th class='pb-num'>{label}</th>" for label in names_)
    head = f"<tr><th>Side</th>{labels}</tr>"
    torn = "" if book.trusted else "<p class='pb-source'>This book is NOT trusted now.</p>"
    return f"<table class='pb-facts pb-tight pb-ladder'>{head}{''.join(rows)}</table>{torn}"


def in_yes(order: Row) -> int:
    """Return an order's price in YES-space, in increments."""
    one = 10 ** (order["price_decimals"] or 0)
    raw: int = order["price_raw"]
    return mirrored(order["leg"], raw, one)


def away(book: BookTop | None, order: Row) -> Decimal | None:
    """Return how far an order stands behind the best price of its side of the book.

    In the price's own unit: 0 = at the touch, below 0 = in front of it. None = the book is not
    shown or not trusted, its side is empty, or the instrument is not listed.
    """
    if book is None or not book.trusted:
        return None
    price = in_yes(order)
    if is_bid(order["side"], order["leg"]):
        return shown(book.bids[0][0] - price, order["price_decimals"]) if book.bids else None
    return shown(price - book.asks[0][0], order["price_decimals"]) if book.asks else None


def _level(
    place: tuple[str, int],
    sizes: tuple[int | None, int | None, int | None],
    largest: int,
    listed: Row,
) -> str:
    side, price = place
    size, own, before = sizes
    tone = "bad" if side == "ASK" else "ok"
    colour = f"var(--pb-{tone}-soft)"
    share = 100 * (size or 0) // largest
    bar = f"style='background:linear-gradient(to left,{colour} {share}%,transparent 0)'"
    all_, mine, ahead = (
        "" if one is None else escape(_size(one, listed)) for one in (size, own, before)
    )
    return (
        f"<tr class='pb-{tone}{' pb-own' if own else ''}'><th><b>{side}</b></th>"
        f"<td class='pb-num'>{escape(_price(price, listed))}</td>"
        f"<td class='pb-num' {bar}>{all_ or NOTHING}</td>"
        f"<td class='pb-num'><b>{mine}</b></td><td class='pb-num'>{ahead}</td></tr>"
    )
