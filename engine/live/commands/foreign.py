"""What others have in a live wallet: reported once; ignored, cancelled or taken in by a person.

An order of another key is never taken in: whoever placed it goes on changing it, and neither our
heartbeat nor our KILL reaches it. Tokens are: as a deposit of what they cost, from then on a
position as any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from engine.domain.commands.wallet import AdoptTokens, CancelForeign, IgnoreForeign
from engine.domain.effects import caution
from engine.domain.events import CashMoved, InstrumentListed
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Leg, Mode
from engine.domain.money import MICRO, cents_text, written
from engine.domain.products import quoted_in_cents
from engine.errors import BadInput, PitbossError
from engine.live.commands.registry import (
    Answer,
    Done,
    Failed,
    Pending,
    answered_beside,
    command,
    marked,
    part,
    runner_of,
    trading_runner_of,
)
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import CancelsForeign
from storage.commands import MarkKind, StandingMark
from storage.database import reading
from storage.views import Row
from storage.views.foreign import ForeignSeen, foreign

LOOK_NS = 60 * 1_000_000_000
"""How often it is looked whether there is something new."""

LISTED_NS_MAX = 5 * 60 * 1_000_000_000
"""What was listed longer ago says nothing about now."""

TERMS_S_MAX = 20.0
"""How long the terms and the book of a market may take that no bot here has traded."""

NAMED_MAX = 3
"""As many are named in an alert; the page lists all."""


class TokensCame(NamedTuple):
    """Tokens that a person takes in: at what cost, in micro-units, and for whom."""

    instrument: InstrumentId
    leg: Leg
    size: int
    cost_micro: int
    owner: BotId


@part
class ForeignThings:
    """What others have in the wallets of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due_ns = 0
        self._looking = False
        self._waits: dict[asyncio.Event, Callable[[], bool]] = {}
        self._reported: set[tuple[AccountId, str]] = set()
        engine.watchers.append(self.watch)

    def watch(self, now_ns: int) -> None:
        """Look where it is time: only a live wallet has others in it."""
        for received, known in self._waits.items():
            if known():
                received.set()
        if self._looking or now_ns < self._due_ns:
            return
        runners = self._engine.runners.items()
        live = [key for key, one in runners if one.core.executor.mode is Mode.LIVE]
        if live:
            self._due_ns, self._looking = now_ns + LOOK_NS, True
            self._engine.beside(self._all(live))

    async def _all(self, accounts: list[AccountId]) -> None:
        try:
            for account in accounts:
                self._report(account, await self.seen(account))
        except PitbossError as error:
            self._engine.log.warning("foreign.waits", reason=str(error))
        finally:
            self._looking = False

    def _report(self, account: AccountId, seen: ForeignSeen) -> None:
        """Raise an alert over what is new, once in an engine's life; what is ignored is known."""
        new = [
            row
            for row in (*seen.orders, *seen.tokens)
            if not row["ignored"] and (account, row["subject"]) not in self._reported
        ]
        self._reported |= {(account, row["subject"]) for row in new}
        named = ", ".join(_words(row) for row in new[:NAMED_MAX])
        more = f" and {len(new) - NAMED_MAX} more" if len(new) > NAMED_MAX else ""
        if new:
            text = (
                f"the wallet of {account} holds what was not bought or placed here: {named}{more}"
            )
            alert = caution("foreign", text, account=account)
            self._engine.alert(alert, self._engine.clock.now_ns())

    async def seen(self, account: AccountId) -> ForeignSeen:
        """Return what others have there by the latest listings. Raises StorageError."""
        return await asyncio.to_thread(self._read, account)

    def _read(self, account: AccountId) -> ForeignSeen:
        engine = self._engine
        with reading(engine.config.state_path) as connection:
            return foreign(
                connection, engine.engine_id, journal=engine.config.journal_path, account=account
            )

    async def row(self, account: AccountId, subject: str) -> Row:
        """Return what is listed now under a name. Raises BadInput where nothing is."""
        seen, now_ns = await self.seen(account), self._engine.clock.now_ns()
        for rows, at_ns in ((seen.orders, seen.orders_ns), (seen.tokens, seen.tokens_ns)):
            found = next((row for row in rows if row["subject"] == subject), None)
            if found is not None and at_ns is not None and now_ns - at_ns <= LISTED_NS_MAX:
                return found
        raise BadInput(f"the venue lists no {subject!r} of others in the wallet of {account} now")

    @command(AdoptTokens)
    def adopt(self, command: AdoptTokens, _who: str) -> Pending:
        """Take tokens in that were not bought here; answered when they are booked."""
        return answered_beside(self._engine, self.taken_in(command))

    @command(CancelForeign)
    def cancel(self, command: CancelForeign, _who: str) -> Pending:
        """Cancel an order of another key; answered by the venue's word."""
        return answered_beside(self._engine, self.cancelled(command))

    async def taken_in(self, asked: AdoptTokens) -> Answer:
        """Book tokens as a deposit of what they cost. Raises BadInput where they cannot be."""
        engine, key, leg = self._engine, asked.instrument, asked.leg
        runner = trading_runner_of(engine, asked.account)
        size = int((await self.row(asked.account, f"{key} {leg}"))["increments"])
        followed = engine.followed.setdefault(runner.account, {})
        was_followed = key in followed
        followed[key] = None
        received = asyncio.Event()
        self._waits[received] = partial(_known, runner, key, priced=asked.cost is None)
        try:
            async with asyncio.timeout(TERMS_S_MAX):
                await received.wait()
        except TimeoutError:
            listed = key in runner.core.executor.ledger.state.instruments
            raise BadInput(
                f"no {'book' if listed else 'terms'} of {key} came within {TERMS_S_MAX:g} s: "
                + ("enter what they cost" if listed else "ask again while its venue lists it")
            ) from None
        finally:
            del self._waits[received]
            if not was_followed:
                followed.pop(key, None)
        terms = runner.core.executor.ledger.state.instruments[key]
        cost = asked.cost
        if cost is None:
            cost = _worth(runner, terms, leg, size)
        if why := _refusal(runner, terms, leg, size, cost):
            raise BadInput(why)
        currency = runner.core.executor.currency
        came = TokensCame(instrument=key, leg=leg, size=size, cost_micro=cost, owner=asked.owner)
        book(runner, came, engine.clock.now_ns())
        how = "the value at mid, as the cost is not known" if asked.cost is None else "as entered"
        return Done(
            f"{terms.size_text(size)} {leg.upper()} of {key} are taken in at "
            f"{cost / MICRO:,.2f} {currency} ({how}): a deposit, and a bet of {asked.owner} from "
            "now on"
        )

    async def cancelled(self, asked: CancelForeign) -> Answer:
        """Ask the venue to cancel an order of another key, once. Raises what it refuses."""
        row = await self.row(asked.account, asked.order)
        venue: object = self._engine.venues.get(asked.account)
        if not isinstance(venue, CancelsForeign):
            raise BadInput(f"the venue of {asked.account} cancels only orders of its own key")
        refused = await venue.cancel_foreign(asked.order)
        if refused:
            return Failed(f"the venue did not cancel {_words(row)}: {refused}")
        return Done(f"{_words(row)} is cancelled: it leaves the list at the venue's next listing")


def book(runner: AccountRunner, came: TokensCame, now_ns: int) -> None:
    """Have an account journal and book tokens that came, with what they are worth at this moment.

    Its terms may stand before this account's snapshot: a start must have them first.
    """
    executor, key, leg, size = runner.core.executor, came.instrument, came.leg, came.size
    terms = executor.ledger.state.instruments[key]
    runner.report(InstrumentListed(instrument=terms))
    runner.report(
        CashMoved(
            account=runner.account,
            currency=executor.currency,
            amount_micro=came.cost_micro,
            instrument=key,
            leg=leg,
            tokens=size,
            owner=came.owner,
            worth_micro=executor.cash.worth_micro(key, leg, size, now_ns),
        )
    )


def _words(row: Row) -> str:
    what = row.get("way") or row["leg"]
    size = "?" if row["size"] is None else written(row["size"])
    price = row.get("price")
    quoted = cents_text if quoted_in_cents(row.get("listed_kind")) else written
    at = "" if price is None else f" at {quoted(price)}"
    return f"{what} {size}{at} of {row['instrument']}"


def _known(runner: AccountRunner, key: InstrumentId, *, priced: bool) -> bool:
    view = runner.core.cache.views.get(key)
    listed = key in runner.core.executor.ledger.state.instruments
    return listed and (not priced or (view is not None and view.trusted and view.mid2 is not None))


def _worth(runner: AccountRunner, terms: Instrument, leg: Leg, size: int) -> int:
    mid2 = runner.core.cache.views[terms.id].mid2
    assert mid2 is not None
    return terms.proceeds_micro(terms.product.mid2(leg, mid2) // 2, size)


def _refusal(runner: AccountRunner, terms: Instrument, leg: Leg, size: int, cost: int) -> str:
    """Return why tokens cannot be taken in, as a sentence; empty = they can."""
    executor, most = runner.core.executor, terms.product.pair_micro(size)
    held = executor.ledger.holding(terms.id).leg(leg)
    if why := terms.not_counted_in(executor.currency):
        return why
    if executor.recovering:
        return "the account is still being reconciled with its venue: try again in a moment"
    if executor.working(terms.id):
        return f"our orders work in {terms.id}: their fills cannot be told apart; cancel them"
    if held.total or held.redeemable or held.leaving:
        return f"the account holds {leg.upper()} of {terms.id} itself: compare its fills instead"
    if cost < 0 or (most is not None and cost > most):
        pays = "" if most is None else f": these tokens pay {most / MICRO:,.2f} at most"
        return f"{cost / MICRO:,.2f} is no valid cost{pays}"
    return ""


@command(IgnoreForeign)
def ignore(engine: Engine, command: IgnoreForeign, who: str) -> Pending:
    """Note that something of others is known, or no more: no alert tells of it again."""
    runner_of(engine, command.account)
    given = StandingMark(
        account=command.account,
        kind=MarkKind.IGNORED,
        subject=command.subject,
        who=who,
        at_ns=engine.wall_ns(),
    )
    known = "ignored" if command.on else "no longer ignored"
    return marked(
        engine, given, f"{command.subject} at {command.account} is {known}", on=command.on
    )
