"""Where equity comes from, PnL by owner and period, markouts, and where the money at risk is.

One mode and one currency per sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

import streamlit as st

from engine.domain.instruments import MANUAL, UNASSIGNED, Mode
from pages.kit import charts, commands, guard, links, names, panels
from pages.kit.data import ask, ask_seldom, engine_id
from pages.kit.home import now_ns
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.panels import Tile
from pages.kit.words import (
    NOTHING,
    SECOND_NS,
    age,
    count,
    in_column,
    micro,
    moment,
    money,
    percent,
)
from pages.shared import markouts, perpetuals
from storage import views
from storage.views import Row
from storage.views import money as money_views
from storage.views.frame import AccountSeen, snapshot
from storage.views.money import Sources, equity_check, sources

DAY_NS = 86_400 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
ROUNDED = (
    "Each owner's position is valued by itself and rounded down: together they may be some "
    "millionths below the account's figure, which is valued whole."
)
HINT = "Realised, funding and unrealised at mid, less fees; deposits are never PnL."


class Period(NamedTuple):
    """A period of PnL: its column in a table, its tile, its key in a row of `by_bot`."""

    key: str
    column: str
    tile: str
    days: int
    """Whole days before the present one; -1 = everything."""

    def since_ns(self, now: int) -> int:
        """Return when it begins: at midnight UTC, or so many days ago to the minute."""
        if self.days < 0:
            return 0
        if not self.days:
            return now // DAY_NS * DAY_NS
        return now // MINUTE_NS * MINUTE_NS - self.days * DAY_NS


PERIODS = (
    Period("today", "Today", "PnL today", 0),
    Period("week", "7 d", "PnL 7 d", 7),
    Period("month", "30 d", "PnL 30 d", 30),
    Period("total", "Total", "PnL in total", -1),
)


def by_bot(mode: Mode, now: int) -> list[Row]:
    since = {period.key: period.since_ns(now) for period in PERIODS if period.days >= 0}
    found = ask(money_views.pnl_by_bot, engine_id(), mode=mode, since=since)
    return [
        {**row, "bot": row["bot"] or links.NO_BOT}
        for row in found
        if row["bot"] or row["total"] is None or row["total"] or row["markets"]
    ]


def periods(rows: Sequence[Row], mode: Mode, currency: str, now: int, **only: str) -> list[Tile]:
    """Return a tile per period with what the rows made in it, and their fills behind it."""
    return [
        Tile(
            period.tile,
            sum_of(rows, period.key, currency),
            links.fills(mode, since_ns=period.since_ns(now), **only),
            HINT,
        )
        for period in PERIODS
    ]


def sum_of(rows: Sequence[Row], key: str, currency: str, *, signed: bool = True) -> str:
    """Return what rows sum to, in words; unknown where a part of it is."""
    amounts = [row[key] for row in rows]
    if not amounts:
        return NOTHING
    if None in amounts:
        return perpetuals.UNKNOWN
    return money(sum(amounts, Decimal(0)), currency, signed=signed)


@guard.part("Where the equity comes from")
def show(rows: Sequence[Row], mode: Mode, now: int) -> None:
    """Draw where the equity comes from, what each bot made, and what the price did afterwards."""
    for account in ask(snapshot).accounts:
        if account.mode == mode:
            show_proof(account, alive=commands.engine_runs(), now=now)
    _by_bot(rows, mode, now)
    markouts.show(mode)


@guard.part("PnL by owner")
def _by_bot(rows: Sequence[Row], mode: Mode, now: int) -> None:
    """Draw PnL by owner; each figure leads to the fills it is made of."""
    st.subheader("PnL by owner")
    if not rows:
        panels.empty(
            "No owner has traded in this mode yet.",
            "A bot, or manual, appears with its first fill; the engine adds a point every minute.",
        )
        return
    panels.note(
        f"{mode.upper()} only · realised before fees, unrealised at mid, funding by what each "
        "held, fees separate; rewards and rebates belong to the account, not to an owner's PnL · "
        "each figure links to its fills "
        f"· an owner is a bot, manual, or unassigned. {ROUNDED}"
    )
    st.html(table(rows, mode, now))


def table(rows: Sequence[Row], mode: Mode, now: int) -> str:
    """Return PnL by owner, the best first, as a table of links."""
    periods_shown = (PERIODS[-1], *PERIODS[:-1])
    labels = [period.column for period in periods_shown]
    funded = any(row["funding"] for row in rows)
    labels += ["Realised", "Unrealised", *["Funding"] * funded, "Fees", "Held at cost"]
    labels.append("Markets held")
    since = [(period.key, period.since_ns(now)) for period in periods_shown]
    best_first = sorted(rows, key=lambda row: (row["total"] is None, -(row["total"] or 0)))
    lines = [_line(row, mode, since, funded=funded) for row in best_first]
    return panels.sheet("".join(lines), labels)


def _line(row: Row, mode: Mode, since: Sequence[tuple[str, int]], *, funded: bool) -> str:
    only = {"account": row["account"], "bot": row["bot"]}
    fills, held = links.fills(mode, **only), panels.address("positions")
    bot = escape(row["bot"])
    if row["bot"] not in (links.NO_BOT, MANUAL, UNASSIGNED):
        bot = panels.link(row["bot"], "bots", bot=row["bot"])
    cells = [
        figure(row[key], links.fills(mode, since_ns=since_ns, **only)) for key, since_ns in since
    ]
    cells += [figure(row["realised"], fills), figure(row["unrealised"], held)]
    if funded:
        cells.append(figure(row["funding"], panels.address("journal", text="FundingPaid")))
    sums = (
        (in_column(row["fees"]), fills),
        (in_column(row["cost"]), held),
        (f"{row['markets']:,}", held),
    )
    cells += [f'<td class="pb-num">{panels.anchor(text, to)}</td>' for text, to in sums]
    where = f"{escape(row['account'])}, {escape(row['currency'])}"
    return f"<tr><th>{bot}<br><small>{where}</small></th>{''.join(cells)}</tr>"


def figure(value: Decimal | None, where: str) -> str:
    """Return a gain as a cell: signed, coloured, and a link to what it is made of."""
    tone = "" if not value else " pb-gain" if value > 0 else " pb-loss"
    return f'<td class="pb-num{tone}">{panels.anchor(in_column(value, signed=True), where)}</td>'


def allocation(account: AccountSeen) -> str:
    """Return the money at risk by owner and by market as bars against the account's whole."""
    name, mode = account.account, account.mode
    uses = ask(money_views.limit_use, engine_id(), account=name)
    whole = next((use["used"] for use in uses if use["name"] == "exposure_account_max"), 0)
    parts = []
    for title, limit, kind in (
        ("By owner", "exposure_bot_max", "bot"),
        ("By market", "exposure_instrument_max", "instrument"),
    ):
        mine = [use for use in uses if use["name"] == limit and use["used"] > 0]
        rows = "".join(
            _bar(use, whole, links.fills(mode, account=name, **{kind: use["subject"]}))
            for use in mine
        )
        body = (
            f'<table class="pb-facts pb-tight pb-wide">{rows}</table>' if rows else "<p>None.</p>"
        )
        parts.append(f"<h4>{title}</h4>{body}")
    total = panels.anchor(micro(whole, account.currency), panels.address("positions"))
    head = f"<h4>Money at risk, worst case: {total}</h4>"
    return f'<section class="pb-block">{head}{"".join(parts)}</section>'


def _bar(use: Row, whole: int, where: str) -> str:
    share = 100 * use["used"] / whole if whole else 0
    return (
        f"<tr><th>{escape(market(use['subject']))}</th>"
        f'<td class="pb-num">{panels.anchor(micro(use["used"]), where)}</td>'
        f'<td class="pb-num">{escape(percent(use["used"], whole))}</td></tr>'
        f'<tr class="pb-barrow"><td colspan="3"><u><s style="width:{share:.0f}%"></s></u></td></tr>'
    )


# -- Where an account's equity comes from, and the last proof that it is what it says --

CHECK_AGE_NS_MAX = 180 * SECOND_NS
"""A check is made each minute; one this old says that they have stopped."""

PAID = "to the account, for no single fill or bot"


@guard.part("Where the equity comes from")
def show_proof(account: AccountSeen, *, alive: bool, now: int) -> None:
    """Draw what the equity is made of, each part a link to what is behind it, and its check."""
    made = ask(sources, engine_id(), account.account)
    name, currency = account.account, account.currency
    where = links.fills(account.mode, account=name)
    moves = panels.address("journal", text="CashMoved")
    held = panels.address("positions")
    fills = count(made.fills, "fill")
    rows = [
        (
            "Deposited minus withdrawn",
            money(made.deposited, currency),
            count(made.moves, "cash move"),
            moves,
        ),
        ("+ Realised, before fees", money(made.realised, currency, signed=True), fills, where),
        ("\N{MINUS SIGN} Fees", money(made.fees, currency), fills, where),
        ("+ Rewards", money(made.rewards, currency, signed=True), PAID, moves),
        ("+ Fee rebates", money(made.rebates, currency, signed=True), PAID, moves),
        *_funding_row(made, currency),
        ("+ Unrealised, at mid", money(made.unrealised, currency, signed=True), "positions", held),
        ("= Equity at mid", money(made.equity, currency), "", where),
    ]
    st.html(
        panels.sheet(
            "".join(_proof_row(*row) for row in rows),
            title="Where the equity comes from",
            below=_check(name, alive=alive, now=now),
        )
    )
    _alarm(name)


def _funding_row(made: Sources, currency: str) -> list[tuple[str, str, str, str]]:
    """Return what funding made, where any was: an account without perpetuals has none."""
    if not made.fundings:
        return []
    where = panels.address("journal", text="FundingPaid")
    made_by = money(made.funding, currency, signed=True)
    return [("+ Funding", made_by, count(made.fundings, "stamp"), where)]


def _proof_row(label: str, value: str, behind_it: str, where: str) -> str:
    shown, words = (
        panels.anchor(text, where) if where and text else escape(text)
        for text in (value, behind_it)
    )
    return panels.said_line(escape(label), shown, words)


def _alarm(name: str) -> None:
    row = ask(equity_check, engine_id(), name)
    if row is not None and row["judged"] and row["text"]:
        st.error(
            f"**The equity identity is broken at {literal(name)}.** {literal(row['text'])}. "
            "Nothing was repaired: stop the bots of this account, keep the state folder, and look "
            "at its fills.",
            icon=":material/balance:",
        )


def _check(account: str, *, alive: bool, now: int) -> str:
    """Return the last check of the identity in one line of HTML."""
    row = ask(equity_check, engine_id(), account)
    if row is None:
        return escape("Not checked yet: the first check runs within a minute of a start")
    text = sentence(row, alive=alive, now=now)
    return f"{escape(text)} · {panels.link('Alerts', 'alerts')}"


LEDGER_PARTS = ("cash", "pending", "redeemable", "inventory")
"""What an account's equity is made of."""


def sentence(row: Row, *, alive: bool, now: int) -> str:
    """Return what the last check found, when, and over what."""
    when = f"{age(max(0, now - row['at_ns']))} ago, at journal record {row['seq']:,}"
    if not row["judged"]:
        return f"COULD NOT BE CHECKED: {row['text']} ({when})"
    difference = f"difference {row['difference']:.6f} {row['currency']}"
    verdict = f"BROKEN, {difference}" if row["text"] else f"Checked, {difference}"
    late = alive and now - row["at_ns"] > CHECK_AGE_NS_MAX
    parts = (f"{name} {in_column(row[name])}" for name in LEDGER_PARTS)
    text = f"{verdict}: {' + '.join(parts)} against the journal's own sum, {when}; "
    text += f"{count(row['checks'], 'check')}, {row['differed']:,} with a difference"
    return f"{'CHECKS HAVE STOPPED. The last one: ' if late else ''}{text}"


# -- An account's equity over a range that ends where the account's own time does --

POINTS_MAX = 600
"""Twice as many as a chart of this size can tell apart, extremes kept."""

QUIET_NS = 60 * MINUTE_NS
"""An account whose last point is older than this does not go by the wall clock."""


@guard.part("The equity curve")
def show_curve(account: AccountSeen, now: int) -> None:
    key = f"range_{account.account}"
    chosen = st.segmented_control(
        "Range", list(charts.RANGES_S), default="1 d", key=key, label_visibility="collapsed"
    )
    seconds = charts.RANGES_S[chosen or "1 d"]
    # A recording has times of its own, and a desk may have stopped long ago: the range ends where
    # the account's own time does. Whole minutes, or the rows would never be found in the cache.
    end = now if account.equity_ns is None else min(now, account.equity_ns + MINUTE_NS)
    since = 0 if seconds is None else (end // MINUTE_NS - seconds // 60) * MINUTE_NS
    if now - end > QUIET_NS:
        panels.note(
            f"Ranges end at the last point, {moment(account.equity_ns)}: the time of the "
            "recording, or when the engine stopped. PnL by period counts from the wall clock; All "
            "covers everything."
        )
    points = ask_seldom(
        views.equity,
        engine_id=engine_id(),
        account=account.account,
        since_ns=since,
        points_max=POINTS_MAX,
    )
    if points:
        charts.equity(points, account.currency, f"equity_{account.account}")
    else:
        last = moment(account.equity_ns) if account.equity_ns else NOTHING
        panels.empty("No equity in this range.", f"The last point is from {last}; choose `all`.")


# -- Positions as a table of links: each figure leads to the fills it is made of --

POSITION_LABELS = ("PnL", "YES", "NO", "Pending", "Cost", "Value", "YES mark")
WORDED_LABELS = ("PnL", "Held", "Pending", "Cost", "Value", "Mark")
"""Where not all rows are binaries."""


def positions_table(rows: Sequence[Row], mode: Mode) -> str:
    legs = all(map(names.cents, rows))
    body = "".join(_position_line(row, mode, legs=legs) for row in rows)
    return panels.sheet(body, POSITION_LABELS if legs else WORDED_LABELS)


def held_words(row: Row) -> str:
    """Return what a position holds, pending included: 12 YES, 5 NO, 0.015 BTC, SHORT 0.015 BTC."""
    if row["signed"]:
        return perpetuals.held(row)
    found = sizes(row)
    if not names.cents(row):
        return f"{names.size(found['yes'])} {names.base(row['instrument'])}"
    return f"{names.size(found['yes'])} YES, {names.size(found['no'])} NO"


def dust_words(row: Row) -> str:
    """Say in a sentence why a holding cannot be sold as it is; empty = it can, or is held short.

    A pair's is below the venue's least size or value, a binary's leg below the least size. What is
    held long or short is closed by reduce-only, which has no minimum.
    """
    found, least = sizes(row), row["smallest"]
    if row["signed"] or least is None:
        return ""
    base = names.base(row["instrument"])
    if names.cents(row):
        small = [leg for leg in ("yes", "no") if 0 < (found[leg] or 0) < least]
        if not small:
            return ""
        legs = " and ".join(leg.upper() for leg in small)
        return f"{legs} below the least order of {names.size(least)}: kept until it resolves"
    if not found["yes"]:
        return ""
    if found["yes"] < least:
        least_text = f"{names.size(least)} {base}"
        return f"dust: the least order is {least_text}, it cannot be sold until it grows"
    if row["mark"] is not None and row["value"] < row["least"]:
        worth = money(row["least"], row["currency"])
        return f"dust: the least order is worth {worth}, it cannot be sold until it is worth that"
    return ""


def mark_words(row: Row) -> str:
    """Return a position's mark in its venue's style, a binary's with the leg it is of.

    A perpetual's is the venue's own, by which it is liquidated.
    """
    if row["signed"]:
        return perpetuals.mark(row, now_ns())
    text = names.price(row["mark"], in_cents=names.cents(row))
    return f"YES {text}" if names.cents(row) and row["mark"] is not None else text


def sizes(row: Row) -> Row:
    """Return what is held of each leg and how much of both is pending, in shares."""
    return {
        name: None if row[first] is None else row[first] + row[second]
        for name, first, second in (
            ("yes", "yes_settled", "yes_pending"),
            ("no", "no_settled", "no_pending"),
            ("pending", "yes_pending", "no_pending"),
        )
    }


def _position_line(row: Row, mode: Mode, *, legs: bool) -> str:
    where = links.fills(mode, account=row["account"], instrument=row["instrument"])
    found = {name: names.size(one) for name, one in sizes(row).items()}
    paid = (None, None) if row["signed"] else (row["cost"], row["value"])
    cells = [
        *((found["yes"], found["no"]) if legs else (held_words(row),)),
        NOTHING if row["signed"] else found["pending"],
        *map(in_column, paid),
        names.price(row["mark"], in_cents=True) if legs else mark_words(row),
    ]
    shown = "".join(
        f'<td class="pb-num">{escape(text) if text == NOTHING else panels.anchor(text, where)}</td>'
        for text in cells
    )
    who = f"{row['bot'] or links.NO_BOT}, {row['account']}, {row['currency']}"
    said = "<br>".join(escape(text) for text in (who, perpetuals.tells(row)) if text)
    name = panels.anchor(names.market(row["instrument"]), where)
    return f"<tr><th>{name}<br><small>{said}</small></th>{figure(row['pnl'], where)}{shown}</tr>"
