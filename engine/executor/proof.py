"""Proof that nothing of ours is open: two complete listings in a row with none (law O)."""

from __future__ import annotations

import msgspec

from engine.domain.events import OrderReport
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.orders import Order
from engine.executor.orders import LiveOrder

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

    def placed(self, bot: BotId, instrument: InstrumentId) -> None:
        """Drop proofs a new order has made untrue."""
        if self._proven:
            for scope in (bot, instrument, None):
                self._proven.pop(scope, None)

    def listed(
        self,
        asked_ns: int,
        now_ns: int,
        ours: list[OrderReport],
        foreign: list[OrderReport],
        live: list[LiveOrder],
    ) -> None:
        """Take a complete listing and what the table still thinks may fill."""
        for scope, pending in list(self._pending.items()):
            if asked_ns < pending.began_ns:
                continue
            others = {known.order.id for known in live if not within(scope, known.order)}
            open_here = len(others) < len(live)
            # A listed order of ours that nobody knows is in everybody's scope.
            open_there = any(report.order is None or report.order not in others for report in ours)
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
    """Say whether an order is in a scope."""
    return scope is None or scope in (order.bot, order.instrument)
