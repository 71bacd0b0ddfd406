"""What can be spent now, what is locked until when, and what the wallet has approved.

Every line leads to what it is made of, and the sums are exact: free cash is what an order may
commit, all of it together is what was deposited and earned. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

import streamlit as st

from engine.domain.instruments import Mode
from engine.domain.money import MICRO
from engine.domain.rates import DOLLAR, Rate, par
from engine.domain.telemetry import Approvals, AssetSeen, Capital, LockedMoney, MarginSeen
from pages import Page
from pages.frame.bar import mode_here
from pages.kit import commands, guard, links, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import now_ns
from pages.kit.markdown import literal
from pages.kit.panels import Tile
from pages.kit.words import NOTHING, SECOND_NS, age, count, in_column, micro, moment
from pages.shared import perpetuals
from storage.live import account_report
from storage.views import Row, margins, shown
from storage.views.frame import AccountSeen, listings_of, snapshot

PAGE = Page("Capital", ":material/account_balance_wallet:", "Trade", 4)

REFRESH_S = 2.0
DAY_NS = 86_400 * SECOND_NS


PARTS: tuple[tuple[str, Callable[[LockedMoney], int]], ...] = (
    ("Orders", lambda lock: lock.orders_micro),
    ("Margin", lambda lock: lock.margin_micro),
    ("Pending", lambda lock: lock.pending_micro),
    ("Tokens at cost", lambda lock: lock.held_micro),
    ("Redeemable", lambda lock: lock.redeemable_micro),
)
"""What money of a market is locked in: a column each, where any market has it."""


class Line(NamedTuple):
    """One line of the explainer; `behind` is the address of what it is made of."""

    label: str
    micro: int
    said: str
    behind: str = ""
    sum: bool = False


def exact(value: int, *, signed: bool = False) -> str:
    """Return an amount with all six digits the venue counts in: these lines are to be added up."""
    return f"{Decimal(value) / MICRO:{'+' if signed else ''},.6f}".replace("-", "\N{MINUS SIGN}")


def explained(seen: Capital) -> list[Line]:
    """Return the lines from the wallet to free cash, and from there to all the account has."""
    name, mode = seen.account, seen.mode
    fills, held = links.fills(mode, account=name), panels.address("positions")
    working = links.orders(links.WORKING, mode, account=name)
    redeeming = f"; {micro(seen.redeeming_micro)} of it requested" if seen.redeeming_micro else ""
    return [
        Line("Wallet", seen.settled_micro, "settled cash, from the ledger", fills),
        Line(
            "\N{MINUS SIGN} Reserved by open orders", -seen.open_micro,
            f"{count(seen.open_orders, 'order')} confirmed by the venue", working,
        ),
        Line(
            "\N{MINUS SIGN} Reserved by orders in doubt", -seen.doubtful_micro,
            f"{count(seen.doubtful_orders, 'order')} sent without an answer, held back or UNKNOWN",
            working,
        ),
        *_margin_lines(seen, "\N{MINUS SIGN}", -1, "of positions held long or short"),
        Line("= Free cash", seen.free_micro, "what new orders may use now; no rule allows more",
             sum=True),
        Line("+ Reserved", seen.reserved_micro, "as above: freed when they end", working),
        *_margin_lines(seen, "+", 1, "as above: freed when they are closed"),
        Line("+ Pending", seen.pending_micro, "sold or won, not settled: it may still be reversed",
             links.fills(mode, account=name, state="matched")),
        Line("+ Redeemable", seen.redeemable_micro, f"won, not paid out yet{redeeming}", held),
        Line(
            "+ Pairs of YES and NO", seen.pairs_micro,
            f"at cost; a merge pays {exact(seen.pairs_worth_micro)}", held,
        ),
        Line("+ Dust", seen.dust_micro, "at cost; less than the smallest order: held to the "
            "outcome", held),
        Line("+ Other tokens", seen.held_micro, "at cost", held),
        *_between_lines(seen, held),
        Line("= Total, tokens at cost", seen.whole_micro, _made(seen), fills, sum=True),
    ]  # fmt: skip


def _margin_lines(seen: Capital, sign: str, factor: int, said: str) -> list[Line]:
    """Return the line of margin, where there is any: an account without perpetuals has none."""
    if not seen.margin_micro:
        return []
    used, where = factor * seen.margin_micro, panels.address("positions")
    return [Line(f"{sign} Margin used", used, said, where)]


def _between_lines(seen: Capital, where: str) -> list[Line]:
    if not seen.between_micro:
        return []
    said = "realised by one and not by the account, which the venue nets: 0 again when all are flat"
    return [Line("+ Between owners of perpetuals", seen.between_micro, said, where)]


def _made(seen: Capital) -> str:
    """Say what the whole came from, and whether that is exact."""
    made = seen.deposits_micro + seen.realised_micro - seen.fees_micro + seen.income_micro
    away = seen.whole_micro - made
    said = (
        f"deposited {exact(seen.deposits_micro)}, realised "
        f"{exact(seen.realised_micro, signed=True)}, fees {exact(-seen.fees_micro)}"
    )
    if seen.income_micro:
        said += f", rewards, rebates and funding {exact(seen.income_micro, signed=True)}"
    return f"{said}: exact" if not away else f"{said}: DIFFERS by {exact(away, signed=True)}"


def venue_says(seen: Capital, now: int) -> str:
    """Return what the venue said it holds, beside the ledger's wallet."""
    if seen.venue_micro is None or seen.venue_ns is None:
        return "The venue has not reported its balance yet: it is asked every minute."
    received = f"received {age(max(0, now - seen.venue_ns))} ago"
    said = f"The venue reports {exact(seen.venue_micro)} {seen.currency}, {received}"
    away = seen.venue_micro - seen.settled_micro
    if not away:
        return f"{said}: the same as the wallet above."
    if seen.venue_micro == seen.free_micro:
        return f"{said}: the wallet above less what orders reserve."
    return (
        f"{said}: {exact(away, signed=True)} against the wallet above. It answers from a cache "
        "that lags settlements by seconds; a difference while nothing moves raises an alert."
    )


def until(lock: LockedMoney, now: int) -> tuple[str, str]:
    """Return (until when, why) money of a market is locked."""
    if lock.redeemable_micro:
        how = f"its redemption is {lock.redemption}" if lock.redemption else (
            "awaiting redemption: by the account, by hand or by the venue"
        )  # fmt: skip
        return "redeemed", f"resolved in our favour; {how}"
    if lock.resolved:
        return "settled", "resolved; its last fills or orders are not final"
    if lock.instrument is None:
        return NOTHING, "those that end after the others"
    if lock.margin_micro or lock.between_micro:
        return "no end", _margin_why(lock)
    if lock.closes_ns is None:
        return "no announced end", "until it is sold, or the market resolves"
    if lock.closes_ns <= now:
        return "the market resolves", f"trading ended {age(now - lock.closes_ns)} ago"
    why = "until it is sold, or the market ends and resolves"
    if not lock.held_micro:
        why = "until its orders end" if lock.orders_micro else "until its fills settle"
    return moment(lock.closes_ns), f"in {age(lock.closes_ns - now)}; {why}"


def _margin_why(lock: LockedMoney) -> str:
    why = "margin: until the position is closed"
    if lock.between_micro:
        why += f"; {exact(lock.between_micro, signed=True)} of the total between its owners"
    return why


def sums_by_end(locks: Sequence[LockedMoney], now: int) -> dict[str, int]:
    """Return what is locked, summed by when its markets end; together all of it."""
    found = dict.fromkeys(
        ("Ended or resolved", "Ends within 24 h", "Within 7 d", "Later", "No announced end"), 0
    )
    for lock in locks:
        left = None if lock.closes_ns is None else lock.closes_ns - now
        if lock.resolved or (left is not None and left <= 0):
            key = "Ended or resolved"
        elif lock.instrument is None:
            key = "Later"
        elif left is None:
            key = "No announced end"
        else:
            key = "Ends within 24 h" if left <= DAY_NS else "Within 7 d"
            key = "Later" if left > 7 * DAY_NS else key
        found[key] += lock.micro
    return found


@guard.part("The free cash")
def show_cash(seen: Capital, now: int) -> None:
    """Draw how the wallet becomes free cash, and what the rest is."""
    below = f"{escape(venue_says(seen, now))} {panels.link('Alerts', 'alerts')}"
    title = f"Cash available to orders, {seen.currency}"
    st.html(panels.sheet("".join(map(_line, explained(seen))), title=title, below=below))


def _line(line: Line) -> str:
    amount = escape(exact(line.micro))
    if line.behind:
        amount = panels.anchor(exact(line.micro), line.behind)
    bold = (f"<b>{escape(line.label)}</b>", f"<b>{amount}</b>")
    label, amount = bold if line.sum else (escape(line.label), amount)
    return panels.said_line(label, amount, escape(line.said))


def _margin_tiles(seen: Capital, held: str) -> list[Tile]:
    """Return what perpetuals take, and how far the nearest liquidation is."""
    if not seen.margins:
        return []
    rows = [margin_row(one) for one in seen.margins]
    known = [row for row in rows if row["distance_percent"] is not None]
    nearest = min(known, key=lambda row: row["distance_percent"], default=None)
    words = "no price liquidates it" if nearest is None else perpetuals.distance(nearest)
    if nearest is None and any(row["unknown"] for row in rows):
        words = perpetuals.UNKNOWN
    return [
        Tile("Margin used", micro(seen.margin_micro, seen.currency), held),
        Tile("Nearest liquidation", words, held, perpetuals.MEANING),
    ]


def margin_row(one: MarginSeen) -> Row:
    """Return a perpetual's margin as the words of `pages.shared.perpetuals` take it."""
    terms = ask(listings_of, engine_id(), (one.instrument,)).get(one.instrument, names.UNLISTED)
    figures = margins.figures(one, terms["price_decimals"])
    size = shown(one.size, terms["size_decimals"])
    side = "" if not one.size else margins.LONG if one.size > 0 else margins.SHORT
    held = None if size is None else abs(size)
    return figures | {"instrument": one.instrument, "signed": 1, "side": side, "held": held}


@guard.part("Margin")
def show_margin(seen: Capital) -> None:
    """Draw what each perpetual takes and must keep, and at which mark it is liquidated."""
    if not seen.margins:
        return
    rows = [margin_row(one) | {"account": seen.account} for one in seen.margins]
    lines = "".join(_margin_line(row, seen) for row in rows)
    heads = ("Held at the venue", "Margin used", "Must keep", "Mark", "Liquidation", "Distance")
    due = [one.due_micro for one in seen.margins]
    total = None if None in due else sum(one or 0 for one in due)
    kept = perpetuals.UNKNOWN if total is None else f"{exact(total)} {seen.currency}"
    below = escape(f"All positions together must keep {kept}. {perpetuals.MEANING}")
    st.html(panels.sheet(lines, heads, title=f"Margin, {seen.currency}", below=below))
    perpetuals.say_unknown(rows)


def _margin_line(row: Row, seen: Capital) -> str:
    where = links.fills(seen.mode, account=seen.account, instrument=row["instrument"])
    due = perpetuals.UNKNOWN if row["maintenance"] is None else in_column(row["maintenance"])
    cells = (
        perpetuals.held(row), in_column(row["margin_used"]), due, perpetuals.mark(row, now_ns()),
        perpetuals.liquidation(row), perpetuals.distance(row),
    )  # fmt: skip
    body = "".join(f'<td class="pb-num">{escape(text)}</td>' for text in cells)
    return f"<tr><th>{panels.anchor(names.market(row['instrument']), where)}</th>{body}</tr>"


@guard.part("Locked capital")
def show_calendar(seen: Capital, now: int) -> None:
    """Draw what is locked until when, market by market, those that end first."""
    locked = seen.whole_micro - seen.free_micro
    st.subheader("Locked capital by date")
    if not seen.locks:
        panels.empty("Nothing is locked.", "All of the account's money is free cash.")
        return
    panels.tiles([Tile(name, micro(one, seen.currency)) for name, one in
                  sums_by_end(seen.locks, now).items()])  # fmt: skip
    heads = ["Until", *(head for head, micro_of in PARTS if any(map(micro_of, seen.locks)))]
    heads.append("Total")
    together, free = exact(sum(lock.micro for lock in seen.locks)), exact(locked)
    below = f"Total {together} {seen.currency}: the total above less free cash ({free})."
    lines = "".join(_lock(lock, seen, now) for lock in seen.locks)
    st.html(panels.sheet(lines, heads, below=escape(below)))


def _lock(lock: LockedMoney, seen: Capital, now: int) -> str:
    when, why = until(lock, now)
    name = f"{lock.markets:,} other markets"
    if lock.instrument is not None:
        where = links.orders(links.ALL, seen.mode, account=seen.account, instrument=lock.instrument)
        name = panels.anchor(names.market(lock.instrument), where)
    parts = [micro_of(lock) for _, micro_of in PARTS if any(map(micro_of, seen.locks))]
    cells = "".join(
        f'<td class="pb-num">{escape(text)}</td>'
        for text in (when, *(micro(one) if one else NOTHING for one in (*parts, lock.micro)))
    )
    return f"<tr><th>{name}<br><small>{escape(why)}</small></th>{cells}</tr>"


@guard.part("The assets")
def show_assets(seen: Capital, now: int) -> None:
    """Draw what the account has beside its currency; without a rate its worth is unknown."""
    if not seen.assets:
        return
    st.subheader(f"Assets beside {literal(seen.currency)}")
    lines = "".join(
        f'<tr><th class="pb-at">{escape(one.asset)}</th>'
        + "".join(f'<td class="pb-num">{escape(text)}</td>' for text in asset_cells(one, seen, now))
        + "</tr>"
        for one in seen.assets
    )
    heads = ("In positions", "Beside equity", "Rate", "Worth")
    below = (
        f"{seen.mode.upper()} · beside equity: dust, less fees taken of assets other than the one "
        "traded; equity does not count it"
    )
    st.html(panels.sheet(lines, heads, below=escape(below)))


def asset_cells(one: AssetSeen, seen: Capital, now: int) -> tuple[str, str, str, str]:
    """Return what stands behind an asset's name: two amounts, its rate, and its worth."""
    rate = "unknown: no feed gives one"
    if one.rate is not None:
        rate = f"{exact(one.rate.micro)} {one.rate.currency}, {one.rate.source}"
        if one.rate.at_ns is not None:
            old = f"{age(max(0, now - one.rate.at_ns))} old"
            rate += f", STALE: {old}" if one.rate.stale(now) else f", {old}"
    worth = "unknown" if one.worth_micro is None else micro(one.worth_micro, seen.currency)
    return one.held, one.beside, rate, worth


@guard.part("The approvals")
def show_approvals(account: AccountSeen, now: int) -> None:
    """Draw which contracts of the venue may take what of the wallet."""
    st.subheader("Approvals")
    if account.mode is not Mode.LIVE:
        panels.note(
            f"{account.account} needs none: {account.mode.upper()} money is kept by this desk, and "
            "no contract moves it."
        )
        return
    found = ask(account_report, engine_id(), Approvals, account.account)
    if found is None:
        panels.empty(
            "The venue has not been asked yet.", "It is asked once the account is open and trading."
        )
        return
    if found.failed:
        st.warning(
            f"The last request got no answer: {literal(found.failed)}. Below is the state before "
            "it."
        )
    if found.told_ns is None:
        return
    missing = [one for one in found.approvals if not one.approved]
    if missing:
        st.error(
            f"{count(len(missing), 'approval')} missing. Orders that need one are refused: approve "
            "trading once at the venue with this wallet, then run the doctor under Settings."
        )
    lines = "".join(
        f'<tr title="{escape(one.address)}"><th class="pb-at">{escape(one.asset)}</th>'
        f'<td class="pb-num">{escape(one.contract)}</td>'
        f'<td class="pb-num{"" if one.approved else " pb-loss"}">'
        f"{'approved' if one.approved else 'NOT APPROVED'}</td></tr>"
        for one in found.approvals
    )
    st.html(panels.sheet(lines, ("Contract", "State")))
    received = age(max(0, now - found.told_ns))
    panels.note(f"From the venue's index, {received} old; refreshed every five minutes")


@guard.part("The account")
def show_account(account: AccountSeen, now: int) -> None:
    st.subheader(
        f"Account {literal(account.account)} at {literal(account.venue)}, {account.mode.upper()}"
    )
    seen = ask(account_report, engine_id(), Capital, account.account)
    if seen is None:
        panels.empty(
            "The engine has not reported where this money is yet.", "It reports every two seconds."
        )
        return
    panels.note(f"{account.mode.upper()} · engine's ledger {age(max(0, now - seen.at_ns))} old")
    working = links.orders(links.WORKING, account.mode, account=account.account)
    coming = seen.pending_micro + seen.redeemable_micro
    held, currency = panels.address("positions"), seen.currency
    panels.tiles(
        [
            Tile("Free cash", micro(seen.free_micro, currency)),
            Tile("Reserved", micro(seen.reserved_micro, currency), working),
            *_margin_tiles(seen, held),
            Tile("Pending and redeemable", micro(coming, currency), held),
            Tile("In tokens, at cost", micro(seen.tokens_micro, currency), held),
        ]
    )
    show_margin(seen)
    show_cash(seen, now)
    show_calendar(seen, now)
    show_assets(seen, now)
    show_approvals(account, now)


def in_dollars(
    accounts: Sequence[AccountSeen], rates: Mapping[str, Rate | None], now: int
) -> tuple[int, list[str]]:
    """Return the equity of all accounts in micro-USDC, and which have none that is known, why.

    `rates` by account: what the engine's books gave.
    """
    total, unknown = 0, []
    for one in accounts:
        rate = rates[one.account]
        if one.equity_micro is None:
            unknown.append(f"{one.account}: its equity was not reported yet")
        elif rate is None:
            unknown.append(f"{one.account}: no rate of {one.currency} to {DOLLAR}")
        elif rate.stale(now):
            said = _rate_said(rate, now)
            unknown.append(f"{one.account}: the rate of {one.currency} is stale, {said}")
        else:
            total += one.equity_micro * rate.micro // MICRO
    return total, unknown


def _rate_of(account: AccountSeen) -> Rate | None:
    """Return what an account's currency is worth in USDC: by rule, or as its engine reported."""
    if (rule := par(account.currency)) is not None:
        return rule
    seen = ask(account_report, engine_id(), Capital, account.account)
    return None if seen is None else seen.rate


def _rate_said(rate: Rate, now: int) -> str:
    """Return a rate's source, and of a book's its price and age."""
    if rate.at_ns is None:
        return rate.source
    return f"{exact(rate.micro)} {DOLLAR}, {rate.source}, {age(max(0, now - rate.at_ns))} old"


@guard.part("The portfolio")
def show_portfolio(mode: Mode, accounts: Sequence[AccountSeen]) -> None:
    """Draw what all accounts of a mode are worth together, and by which rates."""
    now = now_ns()
    rates = {one.account: _rate_of(one) for one in accounts}
    total, unknown = in_dollars(accounts, rates, now)
    known = len(accounts) - len(unknown)
    name = f"Portfolio, {count(known, 'account')} of {len(accounts)}, {mode.upper()}"
    panels.tiles([Tile(name, micro(total, DOLLAR) if known else "unknown", panels.address(""))])
    rules = {
        one.currency: _rate_said(rate, now)
        for one in accounts
        if (rate := rates[one.account]) and not rate.stale(now)
    }
    said = [f"{currency}: {why}" for currency, why in sorted(rules.items())]
    panels.note(" · ".join(["Equity at exit prices, in " + DOLLAR, *said]))
    if unknown:
        panels.note("Not in the portfolio: " + "; ".join(unknown) + ".")


@st.fragment(run_every=REFRESH_S)
@guard.part("The capital of the accounts")
def show_all(mode: Mode) -> None:
    """Draw every account of one mode, anew every few seconds."""
    commands.engine_runs("figures are as of when it stopped")
    accounts = [one for one in ask(snapshot).accounts if one.mode == mode]
    show_portfolio(mode, accounts)
    for account in accounts:
        show_account(account, now_ns())


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Capital", "From the engine's ledger, a few seconds old; refreshed every 2 s")
    if (mode := mode_here("there is no money")) is not None:
        show_all(mode)
