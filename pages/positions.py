"""Settlement, pairs to merge, holdings, PnL, bets, round trips.

Settled and pending tokens, cost, mark, and the fills behind them.

Changes: transfers, redeems, merges, adopts.
"""

from __future__ import annotations

from decimal import Decimal
from html import escape

import streamlit as st

from engine.domain.commands import AnyCommand
from engine.domain.commands.wallet import AdoptTokens, CancelForeign, IgnoreForeign, Merge, Redeem
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode
from engine.domain.money import MICRO
from engine.domain.orders import Identity
from engine.domain.telemetry import Capital
from pages import Page
from pages.frame.bar import mode_here
from pages.kit import commands, guard, links, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.names import market, size
from pages.kit.panels import Tile
from pages.kit.tables import Col, ColKind, choice, columns_of, page_behind, say_cut, table, turn
from pages.kit.words import NOTHING, SECOND_NS, age, count, micro, money
from pages.orders.page import fitting
from pages.shared import markouts, owners, perpetuals, pnl, round_trips
from storage.live import account_report
from storage.views import ROWS_MAX, Row
from storage.views import money as money_views
from storage.views.bets import BOTS, BY_HAND, bet_sums, bettors, closed_bets
from storage.views.bets import KEY as BY
from storage.views.drill_down import fills_behind
from storage.views.foreign import foreign
from storage.views.frame import AccountSeen, snapshot
from storage.views.money import DECIDED_NS, Phase, SettlementStep, pipeline

PAGE = Page("Positions", ":material/pie_chart:", "Trade", 3)

POSITIONS = columns_of(
    Col("instrument"),
    Col("pnl"),
    Col("unrealised", kind=ColKind.GAIN),
    Col("yes", "YES", ColKind.SIZE),
    Col("no", "NO", ColKind.SIZE),
    Col("held_words", "Held"),
    Col("pending", kind=ColKind.SIZE),
    Col("cost", kind=ColKind.MONEY),
    Col("value"),
    Col("mark", "YES mark", ColKind.PRICE),
    Col("mark_words", "Mark"),
    Col("dust_words", "Cannot be sold"),
    Col("held_for"),
    Col("bot"),
    Col("realised"),
    Col("fees", kind=ColKind.FEE),
    Col("account"),
)
LEGS, WORDED = ("yes", "no", "mark"), ("held_words", "mark_words")
FILLS = markouts.fill_columns("instrument", "bot", "source", "id")
KEY = "positions"
REFRESH_S = 2.0


def held(mode: Mode, now: int) -> list[Row]:
    """Return the page of positions that is shown, the largest cost first."""
    behind = page_behind(KEY, mode)
    return [
        {
            **perpetuals.in_words(row),
            **pnl.sizes(row),
            "held_words": pnl.held_words(row),
            "mark_words": pnl.mark_words(row),
            "dust_words": pnl.dust_words(row),
            "held_for": age(max(0, now - row["opened_ns"])),
        }
        for row in ask(money_views.held, engine_id(), mode=mode, before=behind)
    ]


def columns(rows: list[Row]) -> dict[str, tuple[str, str]]:
    """Return a column per leg where all rows are binaries, else what is held in words.

    Why something cannot be sold has a column where something cannot.
    """
    left_out = WORDED if all(map(names.cents, rows)) else LEGS
    sold = () if any(row["dust_words"] for row in rows) else ("dust_words",)
    return {name: one for name, one in POSITIONS.items() if name not in (*left_out, *sold)}


def figures(mode: Mode) -> None:
    """Draw the sums over all positions, currency by currency."""
    fills = links.fills(mode)
    for sums in ask(money_views.held_sums, engine_id(), mode=mode):
        currency = sums["currency"]
        panels.tiles(
            [
                Tile("Positions", f"{sums['positions']:,}", fills),
                Tile("Cost", money(sums["cost"], currency), fills),
                Tile("Value at mid", money(sums["value"], currency), fills),
                Tile("Unrealised", money(sums["unrealised"], currency, signed=True), fills),
            ]
        )
        if sums["signed"]:
            panels.note(
                f"{count(sums['signed'], 'position')} held long or short against margin: nothing "
                "was paid for it, so Cost and Value at mid leave it out; its gain is in Unrealised."
            )
        if sums["unmarked"]:
            panels.note(
                f"{count(sums['unmarked'], 'position')} without a two-sided book yet: no mark, "
                "counted as zero in these sums."
            )


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of positions")
def show_positions(mode: Mode) -> None:
    """Draw positions as they stand, anew every few seconds, and the selected one's fills."""
    now = now_ns()
    commands.engine_runs("positions are as of when it stopped")
    rows = held(mode, now)
    if not rows and page_behind(KEY, mode) is None:
        panels.empty(
            f"Nothing is held in {mode.upper()}.",
            "A position appears with the first fill of a bot or by hand. Bots are started under "
            "Bots.",
        )
        panels.links(panels.link("Bots", "bots"), panels.anchor("All fills", links.fills(mode)))
    else:
        show_held(rows, mode, now)
    # Below: what is held is looked at each time, how it settles now and then.
    show_settlement(mode, now)


@guard.part("The positions held")
def show_held(rows: list[Row], mode: Mode, now: int) -> None:
    """Draw the sums, the table, and the fills behind the selected position."""
    figures(mode)
    age_ns = max(0, now - max((row["updated_ns"] for row in rows), default=now))
    panels.note(
        f"{mode.upper()} · engine ledger {age(age_ns)} old · pending = matched and not yet "
        "settled: it may still be reversed · select a row for its fills"
    )
    chosen = [
        _chosen_of([row for row in rows if not row["signed"]], KEY),
        _show_signed([row for row in rows if row["signed"]]),
    ]
    turn(KEY, rows, money_views.HELD_KEY, labels=("Smaller", "Larger"))
    for row in filter(None, chosen):
        show_fills(row, mode)


def _show_signed(rows: list[Row]) -> Row | None:
    """Draw what is held long or short; give the row that is selected."""
    if not rows:
        return None
    st.markdown("**Perpetuals**, held long or short against margin", help=perpetuals.MEANING)
    chosen = _chosen_of(rows, f"{KEY}_signed", perpetuals.COLUMNS)
    perpetuals.say_unknown(rows)
    return chosen


def _chosen_of(
    rows: list[Row], key: str, shown: dict[str, tuple[str, str]] | None = None
) -> Row | None:
    if not rows:
        return None
    ids = [(row["account"], row["instrument"]) for row in rows]
    chosen = choice(rows, shown or columns(rows), key=key, ids=ids)
    return next((row for row, name in zip(rows, ids, strict=True) if name == chosen), None)


@guard.part("Settlement")
def show_settlement(mode: Mode, now: int) -> None:
    """Draw how far money is on its way to cash, account by account, and what could be merged."""
    for account in ask(snapshot).accounts:
        if account.mode == mode:
            show_pipeline(account, now)
            show_redeemable(account)
    show_merges(mode)
    show_operations(mode)


@guard.part("The list of fills")
def show_fills(row: Row, mode: Mode) -> None:
    """Draw the fills behind one position, with what is settled of them."""
    st.subheader(f"Fills of {literal(market(row['instrument']))}")
    place = {"account": row["account"], "instrument": row["instrument"]}
    fills = fitting(ask(fills_behind, engine_id(), mode=mode, **place), "")
    states: dict[str, int] = {}
    for fill in fills:
        states[fill["state"]] = states.get(fill["state"], 0) + 1
    by_state = ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))
    newest = f" of the newest {ROWS_MAX:,}" * (len(fills) >= ROWS_MAX)
    panels.note(f"Settlement{newest}: {by_state or NOTHING}")
    panels.links(
        panels.anchor("Its orders, with reasons", links.orders(links.ALL, mode, **place)),
        panels.anchor("These fills with totals", links.fills(mode, **place)),
        panels.link(f"Bot {row['bot']}", "bots", bot=row["bot"]) if row["bot"] else "no bot",
        panels.link("Its market, to trade or flatten", "market", instrument=row["instrument"]),
    )
    if fills:
        ids = [(fill["order_id"], fill["id"]) for fill in fills]
        chosen = choice(markouts.beside(fills), FILLS, key="position_fills", ids=ids)
        say_cut(fills)
        panels.note(markouts.MEANING)
        if chosen in ids:
            number = ids[ids.index(chosen)][0]
            why = panels.link(
                f"Why order {number} was placed", "orders", account=row["account"], order=number
            )
            panels.links(why)
        else:
            panels.note("Select a fill to see why its order was placed.")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Positions", "From the engine's ledger, a few seconds old; refreshed every 2 s")
    mode = mode_here("there are no positions")
    if mode is None:
        return
    show_positions(mode)
    owners.show(mode)
    commands.show_question()
    show_closed(mode)
    show_foreign(mode)


# -- The settlement pipeline, and pairs of YES and NO that a merge would turn into cash ------------

MEANS = {
    Phase.RESERVED: "working orders may still use it",
    Phase.MATCHED: "promised by the venue; it may still be reversed",
    Phase.MINED: "on its way, not final",
    Phase.RETRYING: "the venue is trying again",
    Phase.CONFIRMED: "settled in the last 24 h",
    Phase.FAILED: "void in the last 24 h, reversed once",
    Phase.REDEEMABLE: "resolved in our favour, not paid out yet: in equity, not spendable",
    Phase.PAID: "paid by redemptions so far",
    Phase.CASH: "settled cash, working orders included",
}
MERGING = (
    "A pair pays exactly 1 at resolution, whichever side wins: waiting gains nothing, a merge "
    "frees the cash now."
)
BUTTONS_MAX = 8
"""Operations offered at once, the largest first; the next ones follow."""
FILL_PHASES = frozenset({Phase.MATCHED, Phase.MINED, Phase.RETRYING, Phase.CONFIRMED, Phase.FAILED})
"""Rungs that count fills in a state of the same name."""

MINUTE_NS = 60 * SECOND_NS


@guard.part("Settlement")
def show_pipeline(account: AccountSeen, now: int) -> None:
    """Draw how far an account's money is on its way, and how long the oldest has waited."""
    steps = ask(pipeline, engine_id(), account=account.account, now_ns=now // 10**9 * 10**9)
    body = "".join(_row(step, account, now) for step in steps)
    title = f"Settlement of {account.account}, {account.mode.upper()}"
    st.html(panels.sheet(body, ("Count", "Amount", "Oldest"), title=title))


def _row(step: SettlementStep, account: AccountSeen, now: int) -> str:
    old = NOTHING if step.oldest_ns is None else age(max(0, now - step.oldest_ns))
    if step.phase in (Phase.CONFIRMED, Phase.FAILED):
        old = NOTHING  # it is over: it waits for nothing
    amount = money(step.amount, account.currency)
    if step.amount is None and step.count:
        amount = "unknown: never listed"
    counted = "" if step.phase is Phase.CASH else f"{step.count:,}"
    if step.tokens:
        counted += f", including {count(step.tokens, 'sell')}"
    name = step.phase.value.capitalize()
    where = address(step, account, now) if step.count else ""
    name, counted, amount = (
        panels.anchor(text, where) if where and text else escape(text)
        for text in (name, counted, amount)
    )
    return (
        f"<tr><th>{name}<br><small>{escape(MEANS[step.phase])}</small></th>"
        f'<td class="pb-num">{counted}</td><td class="pb-num">{amount}</td>'
        f'<td class="pb-num">{escape(old)}</td></tr>'
    )


def address(step: SettlementStep, seen: AccountSeen, now: int) -> str:
    """Return where the orders or fills of a phase are; empty = it is not made of them."""
    if step.phase is Phase.RESERVED:
        return links.orders(links.WORKING, seen.mode, account=seen.account)
    if step.phase is Phase.CASH:
        return links.fills(seen.mode, account=seen.account)
    if step.phase not in FILL_PHASES:
        return ""
    decided = step.phase in (Phase.CONFIRMED, Phase.FAILED)
    since = (now - DECIDED_NS) // MINUTE_NS * MINUTE_NS if decided else 0
    return links.fills(seen.mode, account=seen.account, state=step.phase.value, since_ns=since)


@guard.part("What could be merged")
def show_merges(mode: Mode) -> None:
    """Say which pairs could be merged into cash, and offer it; nothing is said without any."""
    found = owners.pairs(ask(money_views.held_by_owner, engine_id(), mode=mode))
    if not found:
        return
    lines = [
        f"**{literal(market(row['instrument']))}** at {literal(row['account'])}: {size(number)} "
        f"{'pair' if number == 1 else 'pairs'} of YES and NO of {literal(row['bot'])} can be "
        f"merged into **{money(number, row['currency'])}**, "
        f"{money(number - cost, row['currency'], signed=True)} against their cost"
        for row, number, cost in found
    ]
    st.info("\n\n".join([*lines, MERGING]), icon=":material/merge:")
    for row, number, _ in found[:BUTTONS_MAX]:
        command = Merge(
            account=row["account"], instrument=row["instrument"], owner=BotId(row["bot"])
        )
        _offer(command, mode, f"Merge into {money(number, row['currency'])}")


@guard.part("What could be redeemed")
def show_redeemable(account: AccountSeen) -> None:
    """Offer the redemption of each resolved market that has not paid yet."""
    seen = (
        ask(account_report, engine_id(), Capital, account.account)
        if account.redeemable_micro
        else None
    )
    locks = (
        [lock for lock in seen.locks if lock.redeemable_micro and lock.instrument] if seen else []
    )
    for lock in sorted(locks, key=lambda one: -one.redeemable_micro)[:BUTTONS_MAX]:
        assert lock.instrument is not None
        command = Redeem(account=AccountId(account.account), instrument=lock.instrument)
        worth = micro(lock.redeemable_micro, account.currency)
        _offer(command, account.mode, f"Redeem {worth}", lock.redemption)


def _offer(command: Merge | Redeem, mode: Mode, label: str, phase: str = "") -> None:
    """Draw a button that asks first."""
    whose = f", {command.owner}" if isinstance(command, Merge) else ""
    slot = f"{type(command).__name__}:{command.account}:{command.instrument}{whose}"
    name = market(command.instrument)
    if st.button(f"{label}: {literal(name + whose)}", key=f"offer:{slot}", disabled=bool(phase)):
        words = (
            f"{commands.MONEY[mode]}. {label} at **{literal(command.account)}** in "
            f"**{literal(name)}**: one wallet transaction, requested once, and "
            "booked when the venue has confirmed it."
        )
        commands.ask_first(
            commands.Confirmation(
                command=command,
                slot=slot,
                title=f"{label}?",
                words=words,
                label=f"{type(command).__name__.upper()} NOW",
            )
        )
    if phase:
        panels.note(f"{name}: its redemption is {phase}.")


def show_operations(mode: Mode) -> None:
    """Draw what became of the operations asked for here, also of what is offered no more."""
    accounts = [one.account for one in ask(snapshot).accounts if one.mode == mode]
    ours = tuple(f"{kind.__name__}:{name}:" for name in accounts for kind in (Redeem, Merge))
    for slot in commands.slots():
        if slot.startswith(ours):
            commands.show_progress(slot)


# -- What others have in the same wallets ----------------------------------------------------------

FOREIGN_ORDERS = columns_of(
    Col("instrument"),
    Col("way"),
    Col("price"),
    Col("size"),
    Col("filled", kind=ColKind.SIZE),
    Col("whose", "Status"),
    Col("identity", "Order", ColKind.ID),
    Col("account"),
)
FOREIGN_TOKENS = columns_of(
    Col("instrument"),
    Col("leg"),
    Col("size"),
    Col("whose", "Status"),
    Col("account"),
)
TAKEN_IN = (
    "From then on they are a position like any other: in equity, sold by you or redeemed. They "
    "count as a deposit of their cost, no cash moves, and no stop counts them as a gain or a loss."
)


@guard.part("Others' holdings in these wallets")
def show_foreign(mode: Mode) -> None:
    """Draw orders and tokens of live wallets that the journal does not know."""
    accounts = {one.account: one.currency for one in ask(snapshot).accounts if one.mode == mode}
    if mode is not Mode.LIVE or not config().journal_path.is_file():
        return  # no one else can have anything in a wallet of play money
    st.subheader("Not ours in these wallets")
    orders: list[Row] = []
    tokens: list[Row] = []
    for account in accounts:
        seen = ask(foreign, engine_id(), journal=config().journal_path, account=account)
        orders, tokens = orders + seen.orders, tokens + seen.tokens
        ages = [
            f"{what} listed {age(now_ns() - at_ns)} ago" if at_ns else f"{what} not listed lately"
            for what, at_ns in (("orders", seen.orders_ns), ("tokens", seen.tokens_ns))
        ]
        panels.note(f"{account}, {mode.upper()}: {', '.join(ages)} by the venue")
    if row := _chosen(orders, FOREIGN_ORDERS, "foreign_orders"):
        show_foreign_order(row)
    if row := _chosen(tokens, FOREIGN_TOKENS, "foreign_tokens"):
        show_foreign_tokens(row, accounts[row["account"]])
    if tokens:
        panels.note("They are not in any position, equity or bet here; no bot sells them.")
    if not orders and not tokens:
        panels.note("Nothing: every order and every market with tokens is in the journal.")
    elif not commands.engine_runs():
        commands.note_no_engine()


def _chosen(rows: list[Row], columns: dict[str, tuple[str, str]], key: str) -> Row | None:
    if not rows:
        return None
    ids = [(row["account"], row["subject"]) for row in rows]
    chosen = choice(rows, columns, key=key, ids=ids)
    return next((row for row, name in zip(rows, ids, strict=True) if name == chosen), None)


def show_foreign_order(row: Row) -> None:
    """Offer what can be done about an order of another key."""
    if row["ours"]:
        panels.note("It belongs to our own key: the engine cancels it, whoever placed it.")
        return
    account, name = AccountId(row["account"]), market(row["instrument"])
    _offer_foreign(
        row,
        "Cancel it",
        CancelForeign(account=account, order=Identity(row["identity"])),
        f"Cancel **{row['way']} {size(row['size'])}** in **{name}**, which another key of the "
        "wallet placed. Whoever it was may place it again; find out who has that key.",
    )
    panels.note(
        "It never becomes one of ours: whoever placed it still controls it, and no KILL of ours "
        "reaches it."
    )


def show_foreign_tokens(row: Row, currency: str) -> None:
    """Offer what can be done about tokens that were not bought here."""
    cost = st.number_input(
        f"Their total cost, {currency}",
        value=None,
        format="%g",
        help="Empty = unknown: their value at mid when they are taken in.",
        key=f"cost:{row['account']}:{row['subject']}",
    )
    made = AdoptTokens(
        account=AccountId(row["account"]),
        instrument=InstrumentId(row["instrument"]),
        leg=Leg(row["leg"].lower()),
        cost=None if cost is None else round(Decimal(str(cost)) * MICRO),
    )
    at = "their value at mid" if cost is None else f"**{money(Decimal(str(cost)), currency)}**"
    words = (
        f"Take **{size(row['size'])} {row['leg']}** of **{market(row['instrument'])}** in at {at}."
    )
    _offer_foreign(row, "Take them in", made, f"{words} {TAKEN_IN}")


def _offer_foreign(row: Row, label: str, command: AnyCommand, words: str) -> None:
    """Draw a button that asks first, and one that knows it as what it is."""
    slot = f"foreign:{row['account']}:{row['subject']}"
    ignored, runs = bool(row["ignored"]), commands.engine_runs()
    with st.container(horizontal=True):
        if st.button(label, key=f"act:{slot}", disabled=not runs):
            title = f"{label}? LIVE, {row['account']}"
            commands.ask_first(
                commands.Confirmation(
                    command=command,
                    slot=slot,
                    title=title,
                    label=f"{label.upper()} NOW",
                    words=f"{commands.MONEY[Mode.LIVE]}. {literal(words)}",
                )
            )
        known = "Stop ignoring" if ignored else "Ignore: no more alerts"
        if st.button(known, key=f"ignore:{slot}", disabled=not runs):
            ignore = IgnoreForeign(
                account=AccountId(row["account"]), subject=row["subject"], on=not ignored
            )
            commands.send(ignore, slot)
    commands.show_progress(slot)


# -- Closed bets: what each bot, or a hand, did in a market that is over for it, to its fills ------

BETS_KEY = "bets"
EVERYBODY = "everyone"
BETS = columns_of(
    Col("closed_ns"),
    Col("instrument"),
    Col("result"),
    Col("net", kind=ColKind.GAIN),
    Col("entry", kind=ColKind.PRICE),
    Col("exit", kind=ColKind.PRICE),
    Col("size"),
    Col("held", "Held for"),
    Col("fee", "Fees"),
    Col("reward", "Rewards", ColKind.GAIN),
    Col("fills"),
    Col("bot"),
    Col("account"),
)
BET_FILLS = {name: one for name, one in FILLS.items() if name not in markouts.COLUMNS}
BETS_MEANING = (
    "A bet is everything one bot, or you by hand, did in one market with one account. It is closed "
    "when all its tokens are sold or the market is resolved: won or lost by the tokens held then, "
    "even where both legs pay the same. Net = received + paid by the outcome, less spent and fees. "
    "Rewards are shown where the venue names the market and only one bet was there; others belong "
    "to the account, on Overview. Entry and exit are averages over all tokens of both legs."
)


@st.fragment(run_every=10.0)
@guard.part("What is closed")
def show_closed(mode: Mode) -> None:
    """Draw closed bets and round trips, of whom is chosen."""
    st.subheader("Closed bets and round trips")
    whose = _whose(mode)
    if not any([show_bets(mode, whose), round_trips.show(mode, whose)]):
        panels.empty(
            f"No bet is closed in {mode.upper()}, and no round trip"
            + (f" of {whose}." if whose else "."),
            "A bet closes when its last token is sold or its market is resolved, a round trip of "
            "a pair or a perpetual when its owner is flat again.",
        )


def show_bets(mode: Mode, whose: str) -> bool:
    """Draw closed bets, page by page, and the fills of the selected one; False = there is none."""
    behind = page_behind(BETS_KEY, (mode, whose))
    found = ask(closed_bets, engine_id(), mode=mode, whose=whose, before=behind)
    if not found and behind is None:
        return False
    st.markdown("**Closed bets**", help=BETS_MEANING)
    for sums in ask(bet_sums, engine_id(), mode=mode, whose=whose):
        round_trips.show_sums(sums)
    panels.note(f"{mode.upper()} · from the journal · newest first · select a row for its fills")
    rows = [{**row, "held": age(row["held_ns"])} for row in found]
    ids = [tuple(row[name] for name in BY) for row in rows]
    chosen = choice(rows, BETS, key=BETS_KEY, ids=ids)
    turn(BETS_KEY, rows, BY)
    bet = next((row for row, key in zip(rows, ids, strict=True) if key == chosen), None)
    if bet is not None:
        show_bet(bet, mode)
    return True


def _whose(mode: Mode) -> str:
    """Return whose bets are wanted; empty = everybody's."""
    offered = [EVERYBODY, BOTS, BY_HAND, *ask(bettors, engine_id(), mode)]
    left, _ = st.columns([1, 3])
    chosen = left.selectbox("Whose", offered, key=f"whose_{BETS_KEY}")
    return "" if chosen == EVERYBODY else str(chosen)


@guard.part("The fills of the bet")
def show_bet(bet: Row, mode: Mode) -> None:
    """Draw the fills a bet is made of."""
    place: dict[str, object] = {name: bet[name] for name in ("account", "instrument", "bot")}
    st.markdown(
        f"**{count(bet['fills'], 'fill')} of the bet in {literal(market(bet['instrument']))}**"
    )
    fills = fitting(ask(fills_behind, engine_id(), mode=mode, **place), "")
    table(fills, BET_FILLS, key="bet_fills")
    say_cut(fills)
    panels.links(panels.anchor("These fills with totals", links.fills(mode, **place)))
