"""Proofs that nothing of ours is open: of one account, of a part of it, of all of them together.

What a KILL and a stop end with, whoever begins them: the engine, a command, KILL from beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from engine.domain.events import CancelRefused, Event, OrderCancelled
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.orders import OrderState
from engine.executor.executor import Executor
from engine.executor.fills import Holding
from engine.executor.proof import LISTINGS_NEEDED, Scope, within
from engine.gateway.core import GatewayCore
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import Services
from storage.commands import KILL_PROOF, AccountProof, Receipt, keep_receipt, many

NOT_PROVEN_AFTER_NS = 3_000_000_000
"""After this a receipt says NOT PROVEN with what is missing, and again when that changes.

A proof that nothing hinders takes two seconds: it has to outlive what may be under way.
"""

REPEAT_NS_MAX = 300_000_000_000
"""What stays missing is said again after twice the wait before, up to this: it is still tried."""

MS = 1_000_000
REFUSED_MAX = 1_000
ON_THEIR_WAY = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.DELAYED})

ReceiptReported = Callable[[Receipt], None]
Inventory = tuple[tuple[str, int, int], ...]


def unaskable_text(why: str) -> str:
    """Return what is missing of an account whose venue cannot be asked."""
    return f"the venue cannot be asked: {why}; orders of an earlier run may rest there"


def inventory(held: Iterable[tuple[InstrumentId, Holding]]) -> Inventory:
    return tuple(
        (key, one.yes_settled + one.yes_pending, one.no_settled + one.no_pending)
        for key, one in held
    )


class Provable(Protocol):
    """An account on its way to a proof that nothing of it is open."""

    @property
    def unaskable(self) -> Callable[[], str]:
        """Says why nothing can be asked at its venue before a person acts; empty = it can."""
        ...

    def proof(self, now_ns: int) -> AccountProof: ...


class CancelProof:
    """An account, or a bot's or instrument's part of it, on its way to a proof.

    What was cancelled, what was refused, what is missing. `unaskable` says why nothing can be asked
    at the venue before a person acts.
    """

    def __init__(
        self,
        executor: Executor,
        core: GatewayCore,
        *,
        began_ns: int,
        scope: Scope = None,
        unaskable: Callable[[], str] = str,
    ) -> None:
        self._executor = executor
        self._core = core
        self._scope = scope
        self.unaskable = unaskable
        self._began_ns = began_ns
        self._open = self._open_and_unknown()[0]
        self._cancelled = 0
        self._refused: dict[int, str] = {}
        self._landed_ns = 0 if self._on_their_way() else began_ns

    def _on_their_way(self) -> int:
        if self._scope is None:
            return self._core.places_in_flight
        return sum(known.state in ON_THEIR_WAY for known in self._executor.live_in(self._scope))

    def _open_and_unknown(self) -> tuple[int, int]:
        if self._scope is None:
            return self._executor.open_and_unknown
        live = self._executor.live_in(self._scope)
        return len(live), sum(known.state is OrderState.UNKNOWN for known in live)

    def _holdings(self) -> Iterable[tuple[InstrumentId, Holding]]:
        executor, scope = self._executor, self._scope
        for key, one in executor.ledger.held.items():
            if scope in (None, key):
                yield key, one
            elif not (own := executor.ledger.owned(key, BotId(str(scope)))).flat:
                yield key, own

    def receive(self, event: Event) -> None:
        """Take what the venue said to our cancels; in a part, to those of that part."""
        if not isinstance(event, OrderCancelled | CancelRefused):
            return
        if self._scope is not None:
            order = self._executor.order(event.order)
            if order is None or not within(self._scope, order):
                return
        if isinstance(event, OrderCancelled):
            self._cancelled += 1
            self._refused.pop(event.order, None)
        elif len(self._refused) < REFUSED_MAX:
            self._refused[event.order] = event.venue_text

    def proof(self, now_ns: int) -> AccountProof:
        executor = self._executor
        if not self._landed_ns and not self._on_their_way():
            self._landed_ns = now_ns
        live, unknown = self._open_and_unknown()
        proven = executor.proven(self._scope)
        listings = 0 if proven is None else proven.listings
        missing = []
        closed = self.unaskable()
        if closed and listings < LISTINGS_NEEDED:
            missing.append(unaskable_text(closed))
        if not self._landed_ns:
            missing.append(f"{many(self._on_their_way(), 'place')} in flight without an answer")
        if listings < LISTINGS_NEEDED:
            missing.append("no two complete listings of open orders in a row without one of ours")
        if unknown:
            missing.append(
                f"{many(unknown, 'order')} UNKNOWN: the venue has not reported whether any is open"
            )
        if live > unknown:
            missing.append(f"{many(live - unknown, 'order')} may still fill")
        return AccountProof(
            account=executor.account,
            mode=executor.mode,
            open_at_latch=self._open,
            cancelled=self._cancelled,
            not_cancelled=tuple(self._refused.items()),
            in_flight_waited_ms=((self._landed_ns or now_ns) - self._began_ns) / MS,
            listings=listings,
            unknown=unknown,
            live=live,
            inventory=inventory(self._holdings()),
            foreign=proven.foreign if proven is not None else (),
            missing=tuple(missing),
        )


class ProofRun:
    """A KILL or a stop on its way to its receipt, over all accounts it is about.

    `part` is what of them; `title` names that for people. `proofs` are accounts that do not trade
    here; those that do are added with `cover`. `unread` could not be read, or may rest where nobody
    looks: over it nothing is proven. The receipts of `before`, which this run replaces, are given
    by this one.
    """

    def __init__(
        self,
        *,
        name: str,
        who: str,
        reason: str,
        latched_ns: int,
        proofs: Mapping[str, Provable],
        part: Scope = None,
        title: str = "",
        what: str = KILL_PROOF,
        unread: tuple[str, ...] = (),
        before: ProofRun | None = None,
    ) -> None:
        self.proofs: dict[str, Provable] = dict(proofs)
        self.runners: list[AccountRunner] = []
        self.unread = unread
        self.waiting: list[ReceiptReported] = before.waiting if before else []
        """Who wants the receipt when it is PROVEN."""
        self.first_cancel_ns: int | None = None
        """When the first cancel was handed to its connection."""
        self._part = part
        self._title = title
        self._what = what
        self._head = (name, who, reason, latched_ns)
        self.restart_patience(latched_ns)

    def restart_patience(self, now_ns: int) -> None:
        """Begin the patience anew: nothing was said yet."""
        self._reported: tuple[int, tuple[str, ...]] = (now_ns, ())
        self._repeat_ns = NOT_PROVEN_AFTER_NS

    def cancels_sent(self, now_ns: int) -> None:
        """Note when the first cancels were handed to their connections."""
        self.first_cancel_ns = now_ns

    def cover(self, runner: AccountRunner, now_ns: int) -> None:
        """Prove an account that trades here, too."""
        proof = CancelProof(
            runner.core.executor,
            runner.gateway,
            began_ns=now_ns,
            scope=self._part,
            unaskable=runner.unaskable,
        )
        self.proofs[str(runner.account)] = proof
        self.runners.append(runner)
        runner.on_report[self._subscription] = proof.receive

    @property
    def _subscription(self) -> str:
        return f"proof of {self._title}"

    def needs_operator(self, receipt: Receipt) -> bool:
        """Say whether a receipt stays unproven until a person acts: no venue can be asked."""
        lacking = [one.account for one in receipt.accounts if one.missing]
        waits = bool(lacking or receipt.missing)
        unproven = [self.proofs[name] for name in lacking if name in self.proofs]
        return waits and all(one.unaskable() for one in unproven)

    def receipt(self, now_ns: int) -> Receipt:
        name, who, reason, latched_ns = self._head
        accounts = tuple(one.proof(now_ns) for one in self.proofs.values())
        return Receipt(
            id=name,
            who=who,
            reason=reason,
            latched_ns=latched_ns,
            first_cancel_ns=self.first_cancel_ns,
            reported_ns=now_ns,
            proven=not self.unread and not any(account.missing for account in accounts),
            accounts=accounts,
            missing=self.unread,
            scope=self._title,
        )

    def due(self, now_ns: int) -> Receipt | None:
        """Return the receipt if it is proven, or must be given now.

        Soon where it has changed what lacks, at once where waiting changes nothing, and ever later
        where all is as it was said.
        """
        receipt = self.receipt(now_ns)
        if not receipt.proven:
            at_ns, reported = self._reported
            lacking = self.unread + tuple(why for one in receipt.accounts for why in one.missing)
            same = lacking == reported
            wait_ns = self._repeat_ns if same else NOT_PROVEN_AFTER_NS
            if now_ns - at_ns < wait_ns and (same or not self.needs_operator(receipt)):
                return None
            longer = min(2 * self._repeat_ns, REPEAT_NS_MAX)
            self._repeat_ns = longer if same else NOT_PROVEN_AFTER_NS
            self._reported = (now_ns, lacking)
        return receipt

    def report(self, services: Services, receipt: Receipt) -> None:
        """Keep a receipt; one that is PROVEN ends the run and goes to whoever waits."""
        what, text = self._what, receipt.sentence()
        services.state.write_row(keep_receipt, what, receipt, awaited=True)
        services.log.warning("receipt", what=what, proven=receipt.proven, text=text)
        if receipt.proven:
            for runner in self.runners:
                runner.on_report.pop(self._subscription, None)
            waiting, self.waiting = self.waiting, []
            for answer in waiting:
                answer(receipt)
