"""Lost records: what a journal lacks, by the state file and by the venues, and how it is made good.

`recover` and `restore` ask this. What `pitboss.db` and the venues know is written behind what the
journal has; order numbers go on above all of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.clock import WallClock
from engine.domain.effects import alarm
from engine.domain.events import CashMoved, FillsListed, LossAccepted, OrderFilled, OrderReported
from engine.domain.instruments import AccountId, BotId
from engine.domain.orders import Identity, Order, OrderId, OrderReport
from engine.domain.perpetual_events import FundingPaid
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings
from engine.domain.unread import refuse_unread
from engine.errors import ConfigError, PitbossError, StorageError
from engine.gateway.door import Named
from engine.live.venues import Venues
from engine.runtime.services import ClosingVenue, LearnsNames
from storage.alerts import raise_alert
from storage.backup import backup_of
from storage.commands import many
from storage.database import note, reading, transaction, writing
from storage.loss import UNSEEN_MAX, Known, Message, accept, known_of
from storage.projection import Loss, find_loss, registered, whole
from storage.settings import in_force
from storage.users import ENGINE_ID

PATIENCE_S = 30.0
"""How long one account's venue may take to answer."""


class VenueAnswer(msgspec.Struct, kw_only=True):
    """What one account's venue knows: fills, and orders of ours that no file has."""

    fills: FillsListed | None = None
    orders: list[Order] = []
    names: dict[tuple[str, int], Identity] = {}
    open: int = 0
    """How many orders it lists as open."""
    unplaced: list[str] = []
    """Fills it lists of orders it knows no more: they are in no book."""
    unlisted: list[str] = []
    """Ended orders of ours in markets that neither file knows: their fills are in no book."""
    not_asked: str = ""
    """Why it was not asked."""


class Examined(NamedTuple):
    """What a journal lacks, by both files and by the venues."""

    loss: Loss
    known: Known
    asked: dict[str, VenueAnswer]
    accounts: list[str]
    """Every account that either file names, or the settings that were in force."""
    behind: bool
    """False where nothing lacks."""

    @property
    def shown(self) -> PlainDict:
        return _shown(self.loss, self.known, self.asked)

    def require_account(self) -> None:
        """Raise ConfigError where no account can go on: nothing was ever traded from here."""
        if not self.accounts:
            raise ConfigError(
                "no account was ever opened from this home and its settings have none: no order "
                "can be lost, and none can go on. Keep what you set by `engine settings export`, "
                "move journal.db and pitboss.db away, both, and start the desk anew"
            )


def examine(journal: Path, state: Path, venues: Venues, aside: Path | None = None) -> Examined:
    """Compare a journal with its state and its venues, and change nothing.

    `aside` = a newer state that stood before a backup was put back: what can be read of it counts.
    Raises StorageError naming the venue that does not answer.
    """
    loss = find_loss(journal, state, ENGINE_ID)
    known = known_of(journal, state, ENGINE_ID)
    if aside is not None:
        with suppress(StorageError, msgspec.ValidationError, sqlite3.Error):
            known = known_of(journal, aside, ENGINE_ID)
    with reading(state) as connection:
        accounts = in_force(connection, ENGINE_ID).document.accounts
        everyone = sorted({*registered(connection, ENGINE_ID), *known.last, *accounts})
    asked = asyncio.run(_ask_all(venues, accounts, known))
    strange = any(one.orders or one.unplaced or one.unlisted for one in asked.values())
    behind = loss is not None or strange or bool(backup_of(journal))
    return Examined(loss or whole(journal, state, ENGINE_ID), known, asked, everyone, behind)


def go_on(found: Examined, journal: Path, state: Path, who: str) -> None:
    """Write everything that is known behind what the journal has, in one step.

    Set the latch before. Raises StorageError.
    """
    now_ns = WallClock().now_ns()
    loss, known, asked, everyone, _ = found
    messages = [
        *_messages(known, asked, now_ns),
        *_accepted(loss, known, asked, everyone, who=who, now_ns=now_ns),
    ]
    _audit(state, found.shown, who, now_ns)
    accept(journal, ENGINE_ID, loss, messages, fence=known.fence)


# -- the venues ------------------------------------------------------------------------------------


async def _ask_all(
    venues: Venues, accounts: dict[str, AccountSettings], known: Known
) -> dict[str, VenueAnswer]:
    """Ask every account's venue. Raises StorageError naming the one that does not answer."""
    answers: dict[str, VenueAnswer] = {}
    for name, settings in accounts.items():
        opener = venues.openers.get((settings.venue, settings.mode))
        if opener is None or opener.refusal(settings):
            answers[name] = VenueAnswer(not_asked=venues.refusal(settings))
            continue
        try:
            async with asyncio.timeout(PATIENCE_S):
                venue = await opener.venue(settings)
                if venue is None:  # it lived inside the engine: the files are all there is of it
                    answers[name] = VenueAnswer()
                    continue
                try:
                    answers[name] = await _ask(venue, AccountId(name), known)
                finally:
                    await venue.close()
        except (PitbossError, OSError) as error:
            why = str(error) or type(error).__name__
            raise StorageError(
                f"the venue of account {name} must report what it knows before a loss is accepted, "
                f"and does not: {why}. Nothing was changed"
            ) from error
    return answers


async def _ask(venue: ClosingVenue, account: AccountId, known: Known) -> VenueAnswer:
    """Ask for open orders and fills, and for the terms of orders of ours that no file has.

    An order that a venue calls ours and cannot number is given the next number, whether it is open
    or only its fills tell of it: without it no fill of it could be booked.
    """
    _teach(venue, account, known)
    since_ns = known.since(account)
    listed = await venue.open_orders()
    refuse_unread(listed.unread, "open orders")
    found = VenueAnswer(open=len(listed.orders))
    reports: dict[OrderId, OrderReport] = {
        one.order: one for one in listed.orders if one.order is not None
    }
    nameless = [one for one in listed.orders if one.ours and one.order is None]
    above = known.last.get(account, 0)
    _number(venue, nameless, above, reports)
    if isinstance(venue, LearnsNames) and above:  # else nothing was placed here that could be lost
        ended = await venue.unnamed_orders(since_ns)
        listed_here = known.instruments.keys() | known.terms.keys()
        found.unlisted = [
            f"{one.identity} in {one.instrument}"
            for one in ended
            if one.instrument not in listed_here
        ]
        ended = [one for one in ended if one.instrument in listed_here]
        _number(venue, ended, above + len(nameless), reports)
    fills = found.fills = await venue.fills(since_ns)
    refuse_unread(fills.unread, "fills")
    numbers = {*reports, *(fill.order for fill in fills.fills)}
    for number in sorted(n for n in numbers if (account, n) not in known.have):
        report = reports[number] if number in reports else await _report(venue, number)
        if report is None:
            found.unplaced += [str(fill.fill) for fill in fills.fills if fill.order == number]
            continue
        found.names[account, number] = report.identity
        found.orders.append(
            Order(
                account=account,
                id=OrderId(number),
                bot=BotId(""),  # whose it was, no venue says
                instrument=report.instrument,
                leg=report.leg,
                side=report.side,
                price=report.price,
                size=report.size,
                created_ns=since_ns,
            )
        )
    return found


def _number(
    venue: ClosingVenue,
    nameless: Sequence[OrderReport],
    above: int,
    reports: dict[OrderId, OrderReport],
) -> None:
    """Give orders without a number of ours the next ones, and have the venue know them by these."""
    for number, one in enumerate(nameless, above + 1):
        reports[OrderId(number)] = one
        if isinstance(venue, LearnsNames):
            venue.remember([Named(order=OrderId(number), identity=one.identity)])


def _teach(venue: ClosingVenue, account: AccountId, known: Known) -> None:
    """Have a venue know the account's orders and markets, where it tells them apart by that."""
    if isinstance(venue, LearnsNames):
        for instrument in (known.terms | known.instruments).values():
            venue.know(instrument)
        names = {**known.identities, **known.names}
        venue.remember(
            [
                Named(order=OrderId(number), identity=name)
                for (whose, number), name in names.items()
                if whose == account
            ]
        )


async def _report(venue: ClosingVenue, number: OrderId) -> OrderReport | None:
    """Return the terms of an order of ours; None = the venue knows it no more."""
    answer = await venue.order(Named(order=number, identity=Identity("")))
    return answer.report if isinstance(answer, OrderReported) else None


# -- what is written -------------------------------------------------------------------------------


def _messages(known: Known, asked: dict[str, VenueAnswer], now_ns: int) -> list[Message]:
    """Return what both files and the venues know and the journal lacks, in the journal's order."""
    for one in asked.values():
        known.orders += one.orders
        known.names |= one.names
    fills: list[Message] = [
        (account, one.fills, now_ns)
        for account, one in asked.items()
        if one.fills is not None and one.fills.fills
    ]
    return [*known.messages(), *fills]


def _accepted(
    loss: Loss,
    known: Known,
    asked: dict[str, VenueAnswer],
    everyone: list[str],
    *,
    who: str,
    now_ns: int,
) -> list[Message]:
    """Return the acceptance for every account, with the number its orders go on above."""
    return [
        (
            account,
            LossAccepted(
                account=AccountId(account),
                orders_until=OrderId(_next_order_above(known, asked, account)),
                since_ns=known.since(account),
                journal_seq=loss.journal_seq,
                projected_seq=loss.projected_seq,
                projected_crc=loss.crc,
                who=who,
                recount=_recounts(known, asked, account),
            ),
            now_ns,
        )
        for account in everyone
    ]


def _recounts(known: Known, asked: dict[str, VenueAnswer], account: str) -> bool:
    """Say whether an account's venue alone has orders of it: its first cash is counted anew."""
    answer = asked.get(account)
    return known.made_nothing(account) and answer is not None and bool(answer.orders)


def _next_order_above(known: Known, asked: dict[str, VenueAnswer], account: str) -> int:
    answer = asked.get(account)
    numbers = [order.id for order in answer.orders] if answer is not None else []
    return max([known.last.get(account, 0), *numbers]) + UNSEEN_MAX


def _audit(state: Path, shown: dict[str, object], who: str, now_ns: int) -> None:
    """Leave audit and alert, before anything is written to the journal."""
    alert = alarm("journal_loss", described(shown))
    with writing(state) as connection, transaction(connection):
        note(connection, ENGINE_ID, now_ns, who, "journal loss accepted", **shown)
        raise_alert(connection, ENGINE_ID, alert, None, now_ns)


# -- what is shown ---------------------------------------------------------------------------------


def _shown(loss: Loss, known: Known, asked: dict[str, VenueAnswer]) -> PlainDict:
    """Return the difference between journal, state and venues, by account."""
    accounts: dict[str, dict[str, int | str | None]] = {}
    alone = (a for a, _, _ in (*known.cash, *known.liquidations, *known.transfers))
    names = sorted({*known.last, *asked, *alone})
    closed = Counter(account for account, _, _ in known.liquidations)
    given = Counter(account for account, _, _ in known.transfers)
    orders = Counter(order.account for order in known.orders)
    fills = Counter(a for a, one, _ in known.fills if isinstance(one, OrderFilled))
    cash = Counter(a for a, one, _ in known.cash if isinstance(one, CashMoved | FundingPaid))
    for name in names:
        answer = asked.get(name) or VenueAnswer(not_asked="it is in no settings any more")
        listed = answer.fills.fills if answer.fills is not None else ()
        accounts[name] = {
            "orders_of_pitboss_db": orders[AccountId(name)],
            "fills_of_pitboss_db": fills[name],
            "cash_moves_of_pitboss_db": cash[name],
            "liquidations_of_pitboss_db": closed[name],
            "transfers_of_pitboss_db": given[name],
            "orders_of_the_venue_alone": len(answer.orders),
            "fills_of_the_venue_alone": sum(
                (name, fill.fill) not in known.fill_names for fill in listed
            ),
            "fills_nobody_can_place": ", ".join(answer.unplaced[:20]),
            "orders_in_unknown_markets": ", ".join(answer.unlisted[:20]),
            "open_at_the_venue": None if answer.not_asked else answer.open,
            "not_asked": answer.not_asked,
            "first_cash_counted_anew": _recounts(known, asked, name),
            "next_order_above": _next_order_above(known, asked, name),
        }
    return {
        "journal_seq": loss.journal_seq,
        "projected_seq": loss.projected_seq,
        "accounts": accounts,
    }


def described(shown: PlainDict) -> str:
    """Return a difference in words, a line per account."""
    lines = [
        f"the journal has records up to {shown['journal_seq']}, pitboss.db has read it up to "
        f"{shown['projected_seq']}. What else is known of the lost ones:"
    ]
    for name, one in shown["accounts"].items():
        alone = one["orders_of_the_venue_alone"], one["fills_of_the_venue_alone"]
        venue = (
            f"its venue is NOT ASKED ({one['not_asked']}): look there for orders and fills"
            if one["not_asked"]
            else f"the venue alone {many(alone[0], 'order')} and {many(alone[1], 'fill')}; "
            f"{one['open_at_the_venue']} open there now"
        )
        if one["fills_nobody_can_place"]:
            venue += (
                f"; the venue knows the orders of these fills no more, they are NOT BOOKED: "
                f"{one['fills_nobody_can_place']}"
            )
        if one["orders_in_unknown_markets"]:
            venue += (
                "; neither file knows the markets of these orders, their fills are NOT BOOKED: "
                f"{one['orders_in_unknown_markets']}"
            )
        if one["first_cash_counted_anew"]:
            venue += (
                "; this home is of before its first order: its first cash is counted anew at the "
                "next start, so that no fill is in it and booked as well"
            )
        closed = one["liquidations_of_pitboss_db"]
        given = one["transfers_of_pitboss_db"]
        beside = f", {many(closed, 'liquidation')}" if closed else ""
        beside += f", {many(given, 'transfer')}" if given else ""
        lines.append(
            f"{name}: pitboss.db has {many(one['orders_of_pitboss_db'], 'order')}, "
            f"{many(one['fills_of_pitboss_db'], 'fill')}{beside} and "
            f"{many(one['cash_moves_of_pitboss_db'], 'cash move')} of them, {venue}; "
            f"new orders are numbered above {one['next_order_above']}"
        )
    lines.append("Stops, pauses and scoped KILLs are as the journal has them: check each of them")
    return "\n".join(lines)
