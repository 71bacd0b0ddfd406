"""Proof that nothing of ours is open: two complete listings in a row with none (law O)."""

from __future__ import annotations

import msgspec

from engine.domain.events import OrderReport
from engine.domain.instruments import AccountId, BotId
from engine.executor.records import Working

LISTINGS_NEEDED = 2
PROOFS_MAX = 1_000


class ZeroProof(msgspec.Struct, frozen=True, kw_only=True):
    """When it was proven that nothing of ours is open, and what stands there of others."""

    account: AccountId
    bot: BotId | None
    """None = of the whole account."""
    began_ns: int
    proven_ns: int
    listings: int
    foreign: tuple[OrderReport, ...]


class _Pending(msgspec.Struct, kw_only=True):
    began_ns: int
    listings: int = 0


class Proofs:
    """Proofs under way and those that succeeded, by bot; None stands for the account."""

    def __init__(self, account: AccountId) -> None:
        self._account = account
        self._pending: dict[BotId | None, _Pending] = {}
        self._proven: dict[BotId | None, ZeroProof] = {}

    @property
    def pending(self) -> bool:
        """True while a proof needs more listings."""
        return bool(self._pending)

    def begin(self, bot: BotId | None, now_ns: int) -> None:
        """Start over proving that nothing of the bot, or of the account, is open."""
        self._proven.pop(bot, None)
        if len(self._pending) >= PROOFS_MAX:
            del self._pending[next(iter(self._pending))]
        self._pending[bot] = _Pending(began_ns=now_ns)

    def proven(self, bot: BotId | None) -> ZeroProof | None:
        """Return the proof; None = not (yet) proven."""
        return self._proven.get(bot)

    def placed(self, bot: BotId) -> None:
        """Drop proofs a new order has made untrue."""
        if self._proven:
            self._proven.pop(bot, None)
            self._proven.pop(None, None)

    def listed(
        self,
        asked_ns: int,
        now_ns: int,
        ours: list[OrderReport],
        foreign: list[OrderReport],
        live: list[Working],
    ) -> None:
        """Take a complete listing and what the table still thinks may fill."""
        for bot, pending in list(self._pending.items()):
            if asked_ns < pending.began_ns:
                continue
            open_here = any(bot is None or known.order.bot == bot for known in live)
            # A listed order of ours whose bot nobody knows is in everybody's scope.
            known_of_others = {known.order.id for known in live if known.order.bot != bot}
            open_there = any(
                bot is None or report.order is None or report.order not in known_of_others
                for report in ours
            )
            pending.listings = 0 if open_here or open_there else pending.listings + 1
            if pending.listings >= LISTINGS_NEEDED:
                del self._pending[bot]
                self._proven[bot] = ZeroProof(
                    account=self._account,
                    bot=bot,
                    began_ns=pending.began_ns,
                    proven_ns=now_ns,
                    listings=pending.listings,
                    foreign=tuple(foreign),
                )
                if len(self._proven) > PROOFS_MAX:
                    del self._proven[next(iter(self._proven))]
