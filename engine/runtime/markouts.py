"""Markouts while an engine trades: which mid prevailed at each fill's horizons.

Called before the market moves and as time passes, so the book it reads is the one that stood at the
moment that came due. What it cannot know it says; it never writes a zero for it. Nothing waits
here: rows are handed to the state's thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from sqlite3 import Connection

from engine.caches.markets import MarketCache
from engine.domain.events import Event, FillAdvanced, FillsListed, FillVoided, OrderFilled
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import Instrument, InstrumentId, Side
from engine.domain.money import MICRO
from engine.executor.executor import Executor
from engine.runtime.state_writer import StateWrite
from storage.markouts import (
    FillSeen,
    MarkoutDue,
    MarkoutState,
    answer,
    begin,
    dues_of,
    resume,
    void,
)

WAITING_MAX = 50_000
"""Most mids waited for; a fill beyond it is reported as ignored at once."""

NEVER = 2**63 - 1
MS = 1_000_000


class Markouts:
    """One account's fills on their way to their horizons. Everything on the loop's thread."""

    def __init__(
        self,
        cache: MarketCache,
        executor: Executor,
        *,
        engine_id: str,
        write: Callable[[StateWrite], object],
    ) -> None:
        self.due_ns = NEVER
        """When the next mid is wanted."""
        self._cache = cache
        self._executor = executor
        self._engine_id = engine_id
        self._write = write
        self._heap: list[tuple[int, int, MarkoutDue]] = []
        self._counter = 0

    # -- a start -----------------------------------------------------------------------------------

    def resume_job(self, now_ns: int, soon: Callable[[Callable[[], None]], object]) -> StateWrite:
        """Return the state's job that begins a start; `soon` brings its answer to the loop."""
        engine_id, account = self._engine_id, self._executor.account

        def job(connection: Connection) -> None:
            left = resume(connection, engine_id, [account], now_ns)
            soon(lambda: self._wait(left))

        return job

    def _wait(self, dues: Iterable[MarkoutDue]) -> None:
        for due in dues:
            self._counter += 1
            heapq.heappush(self._heap, (due.due_ns, self._counter, due))
        self.due_ns = self._heap[0][0] if self._heap else NEVER

    # -- fills -------------------------------------------------------------------------------------

    def received(self, event: Event, now_ns: int) -> None:
        """Take a report of the venue before the executor does."""
        match event:
            case OrderFilled():
                self._filled(event, now_ns)
            case FillsListed(fills=fills):
                for fill in fills:
                    self._filled(fill, None)
            case FillVoided(fill=name) | FillAdvanced(fill=name, state=FillState.FAILED):
                self._voided(name)
            case _:
                pass

    def _filled(self, event: OrderFilled, at_ns: int | None) -> None:
        executor = self._executor
        known = executor.record(event.order)
        known_fill = event.fill in executor.ledger.state.fills.states
        if known_fill and event.state is FillState.FAILED:
            self._voided(event.fill)
        if known_fill or known is None or event.state is FillState.FAILED:
            return
        order = known.order
        terms = executor.ledger.state.instruments[order.instrument]
        full = len(self._heap) >= WAITING_MAX
        fill = FillSeen(
            account=event.account,
            fill=event.fill,
            mode=executor.mode,
            bot=order.bot,
            instrument=order.instrument,
            liquidity=event.liquidity,
            leg=order.leg,
            sign=1 if order.side is Side.BUY else -1,
            price_micro=_per_share_micro(terms, 2 * event.price),
            at_ns=None if full else at_ns,
        )
        engine_id = self._engine_id
        self._write(lambda c: begin(c, engine_id, fill))
        self._wait(dues_of(fill))

    def _voided(self, fill: FillId) -> None:
        engine_id, account = self._engine_id, self._executor.account
        self._write(lambda c: void(c, engine_id, account, fill))

    # -- time --------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Answer what came due before `now_ns`. Call it before the market of `now_ns` is taken."""
        heap, engine_id = self._heap, self._engine_id
        while heap and heap[0][0] < now_ns:
            due = heapq.heappop(heap)[2]
            state, mid = self._mid(due)
            markout = None if mid is None else due.against(mid)
            self._write(
                lambda c, due=due, state=state, markout=markout: answer(  # type: ignore[misc]
                    c, engine_id, due, state, markout
                )
            )
        self.due_ns = heap[0][0] if heap else NEVER

    def _mid(self, due: MarkoutDue) -> tuple[MarkoutState, int | None]:
        """Return the mid per share that stood when a markout came due, or why there was none."""
        view = self._cache.views.get(InstrumentId(due.instrument))
        if view is None or view.closed:
            return MarkoutState.CLOSED, None
        age_ns_max = self._executor.gate.limits.data_age_ms_max * MS
        proof_ns = view.proof_ns
        if not view.trusted or proof_ns is None or due.due_ns - proof_ns > age_ns_max:
            return MarkoutState.BLIND, None
        bid, ask = view.best_bid, view.best_ask
        if bid is None or ask is None:
            return MarkoutState.ONE_SIDED, None
        return MarkoutState.KNOWN, _per_share_micro(view.instrument, bid + ask)


def _per_share_micro(terms: Instrument, price2: int) -> int:
    """Return half of `price2` increments as micro-units per share, rounded down."""
    return price2 * MICRO // (2 * terms.price_unit)
