"""Questions to the venue, and the proof that nothing of ours is open."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from engine.domain.effects import PlaceOrder
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.orders import Order, OrderReport
from engine.executor.orders import LiveOrder
from engine.executor.settings import MS, NEVER, ExecutorSettings

# -- Proof: two complete listings in a row with nothing of ours (law O) ----------------------------

LISTINGS_NEEDED = 2
Scope = BotId | InstrumentId | None
"""Whose orders a proof is about; None = all of the account. A bot's name has no colon, the id of an
instrument has one: they cannot be taken for each other."""

PROOFS_MAX = 1_000


class ZeroProof(msgspec.Struct, frozen=True, kw_only=True):
    """When it was proven that nothing of ours is open, and what stands there of others."""

    account: AccountId
    scope: Scope
    began_ns: int
    proven_ns: int
    listings: int
    foreign: tuple[OrderReport, ...]


class _Pending(msgspec.Struct, kw_only=True):
    began_ns: int
    listings: int = 0


class ZeroProofs:
    """Proofs under way and those that succeeded, by scope."""

    def __init__(self, account: AccountId) -> None:
        self._account = account
        self._pending: dict[Scope, _Pending] = {}
        self._proven: dict[Scope, ZeroProof] = {}

    @property
    def pending(self) -> bool:
        """True while a proof needs more listings."""
        return bool(self._pending)

    def begin(self, scope: Scope, now_ns: int) -> None:
        """Start over proving that nothing in the scope is open."""
        self._proven.pop(scope, None)
        if len(self._pending) >= PROOFS_MAX:
            del self._pending[next(iter(self._pending))]
        self._pending[scope] = _Pending(began_ns=now_ns)

    def proven(self, scope: Scope) -> ZeroProof | None:
        """Return the proof; None = not (yet) proven."""
        return self._proven.get(scope)

    def placed(self, places: Iterable[PlaceOrder]) -> None:
        """Drop proofs that new orders have made untrue."""
        if self._proven:
            for order in (place.order for place in places):
                for scope in (order.bot, order.instrument, None):
                    self._proven.pop(scope, None)

    def listed(
        self,
        asked_ns: int,
        now_ns: int,
        ours: list[OrderReport],
        foreign: list[OrderReport],
        live: list[LiveOrder],
        *,
        unread: bool = False,
    ) -> None:
        """Take a complete listing and what the table still thinks may fill.

        `unread` = a row that may be ours cannot be read: it is an open order for all we know.
        """
        for scope, pending in list(self._pending.items()):
            if asked_ns < pending.began_ns:
                continue
            others = {known.order.id for known in live if not within(scope, known.order)}
            open_here = len(others) < len(live)
            # A listed order of ours that is unknown here is in every scope.
            open_there = unread or any(
                report.order is None or report.order not in others for report in ours
            )
            pending.listings = 0 if open_here or open_there else pending.listings + 1
            if pending.listings >= LISTINGS_NEEDED:
                del self._pending[scope]
                self._proven[scope] = ZeroProof(
                    account=self._account,
                    scope=scope,
                    began_ns=pending.began_ns,
                    proven_ns=now_ns,
                    listings=pending.listings,
                    foreign=tuple(foreign),
                )
                if len(self._proven) > PROOFS_MAX:
                    del self._proven[next(iter(self._proven))]


def within(scope: Scope, order: Order) -> bool:
    return scope is None or scope in (order.bot, order.instrument)


# -- Questions: which is due, which is under way, and when each is asked again ---------------------
# At most one of a kind is waited for, by its number; one that stays out is given up and asked
# again. The answer that comes late after all carries the older number: it is nobody's any more.


class AccountQuestion(StrEnum):
    """What is asked of the whole account."""

    LISTING = "QueryOpenOrders"
    FILLS = "QueryFills"
    BALANCES = "QueryBalances"
    REDEMPTIONS = "QueryRedemptions"
    """Asked where something is redeemable or may have been redeemed, and only then."""


class Questions:
    """The agenda of questions. `due_ns` is when `take` or an order's question is next due."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self._delays_ns = tuple(delay * MS for delay in settings.ask_delays_ms)
        self._delay_ns_max = settings.ask_delay_ms_max * MS
        self._confirm_ns = settings.listing_confirm_ms * MS
        self._answer_ns_max = settings.answer_ms_max * MS
        self._every_ns = {
            AccountQuestion.LISTING: settings.listing_interval_ms * MS,
            AccountQuestion.FILLS: settings.fills_interval_ms * MS,
            AccountQuestion.BALANCES: settings.balances_interval_ms * MS,
            AccountQuestion.REDEMPTIONS: NEVER,
        }
        self._asked: dict[AccountQuestion, tuple[int, int]] = {}
        """What is waited for: (when it was asked, its number)."""
        self._asked_last: dict[AccountQuestion, tuple[int, int]] = {}
        self.number = 0
        """The number of the question asked last."""
        self.silent: list[AccountQuestion] = []
        """Questions whose answer stayed out, since they were looked at last."""
        self._next: dict[AccountQuestion, int] = dict.fromkeys(AccountQuestion, NEVER)
        self.due_ns = NEVER
        self.fills_ok_ns = -1
        """When the last listing of fills that came back had been asked for; -1 = never."""
        self.fills_reach_ns = -1
        """When fills had last been listed before this start; -1 = never."""
        self.fills_since_ns = 0
        """How far back the last listing of fills was asked to reach."""

    def pause_ns(self, asks: int) -> int:
        """Return the pause before the next question about an order that was asked `asks` times."""
        delays = self._delays_ns
        if asks < len(delays):
            return delays[asks]
        doubled = delays[-1] << min(asks - len(delays) + 1, 30)
        return min(doubled, max(self._delay_ns_max, delays[-1]))

    def start(self, now_ns: int) -> None:
        """Ask everything now."""
        self._asked.clear()
        self.fills_reach_ns = max(self.fills_ok_ns, self.fills_reach_ns)
        self.fills_ok_ns = -1
        self._next = dict.fromkeys(AccountQuestion, now_ns)
        self._next[AccountQuestion.REDEMPTIONS] = NEVER
        self.due_ns = now_ns

    def soon(self, at_ns: int) -> None:
        """See that something is looked at no later than this."""
        self.due_ns = min(self.due_ns, at_ns)

    def request(self, question: AccountQuestion, now_ns: int) -> None:
        """Ask as soon as possible, once, unless it is under way."""
        if question not in self._asked:
            self._next[question] = min(self._next[question], now_ns)
            self.soon(now_ns)

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def take(self, now_ns: int) -> list[AccountQuestion]:
        """Return what is due and note it as under way; what stays out too long is due again."""
        due: list[AccountQuestion] = []
        for question in AccountQuestion:
            asked = self._asked.get(question)
            if asked is not None:
                if now_ns - asked[0] < self._answer_ns_max:
                    continue
                del self._asked[question]
                self.silent.append(question)
            elif self._next[question] > now_ns:
                continue
            self.note(question, now_ns, self.next_number())
            self._next[question] = min(NEVER, now_ns + self._every_ns[question])
            due.append(question)
        return due

    def note(self, question: AccountQuestion, now_ns: int, number: int) -> None:
        self.number = number
        self._asked[question] = self._asked_last[question] = (now_ns, number)

    def number_of(self, question: AccountQuestion) -> int:
        """Return the number under which a question was asked the last time; 0 = never."""
        return self._asked_last.get(question, (0, 0))[1]

    def asked_last_ns(self, question: AccountQuestion, number: int) -> int | None:
        """Return when a question was asked the last time; None = it was not under this number."""
        asked = self._asked_last.get(question)
        return None if asked is None or asked[1] != number else asked[0]

    def answered(self, question: AccountQuestion, number: int) -> int | None:
        """Note an answer to the question with this number; return when it was asked.

        None = no question waits for it: it may be the late answer to an older question.
        """
        asked = self._asked.get(question)
        if asked is None or asked[1] != number:
            return None
        del self._asked[question]
        return asked[0]

    def repeat(self, question: AccountQuestion, now_ns: int, *, urgent: bool) -> None:
        """Ask again after the usual interval, or soon where something needs confirming."""
        pause = self._confirm_ns if urgent else self._every_ns[question]
        self._next[question] = now_ns + pause
        self.soon(now_ns + pause)

    def failed(self, name: str, number: int, now_ns: int) -> None:
        """Note that a question got no usable answer: ask again soon."""
        for question in AccountQuestion:
            if question == name and self.answered(question, number) is not None:
                self.repeat(question, now_ns, urgent=True)

    def settle(self, order_ns: int | None) -> None:
        """Work out when something is due next; `order_ns` is the next question about an order."""
        due = NEVER if order_ns is None else order_ns
        for question in AccountQuestion:
            asked = self._asked.get(question)
            if asked is not None:
                due = min(due, asked[0] + self._answer_ns_max)
            else:
                due = min(due, self._next[question])
        self.due_ns = due
