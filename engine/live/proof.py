"""Proofs of a whole engine: that nothing of ours is open anywhere after a KILL or a stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.config import Config
from engine.domain.events import Event
from engine.live.kill import CancelProof, Ends, ProofRun
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import Services
from storage.live import KILL_PROOF, Receipt, keep_receipt

NOT_PROVEN_AFTER_NS = 3_000_000_000
"""After this a receipt says NOT PROVEN with what is missing, and again when that changes.

A proof that nothing hinders takes two seconds: it has to outlive what may be under way.
"""

SAID_AGAIN_MAX_NS = 300_000_000_000
"""What stays missing is said again after twice the wait before, up to this: it is still tried."""

Told = Callable[[Receipt], None]


class Ears(dict[str, Callable[[Event], None]]):
    """Who hears an account's reports, by name."""

    def __call__(self, event: Event) -> None:
        """Tell everybody."""
        for hear in tuple(self.values()):
            hear(event)


def listen(runner: AccountRunner, name: str, hear: Callable[[Event], None]) -> None:
    """Have every report of an account told under this name, until `deafen`."""
    ears = runner.watching if isinstance(runner.watching, Ears) else Ears()
    ears[name] = hear
    runner.watching = ears


def deafen(runner: AccountRunner, name: str) -> None:
    """Tell nothing more under this name."""
    if isinstance(runner.watching, Ears):
        runner.watching.pop(name, None)
        runner.watching = runner.watching or None


class ProofRuns(Services):
    """The proof under way, over all accounts, and its receipt."""

    def __init__(self, config: Config, **services: Any) -> None:
        """Take what `Services` takes."""
        super().__init__(config, **services)
        self.proving: ProofRun | None = None
        self._latest: ProofRun | None = None
        self.receipt: Receipt | None = None
        self._what = KILL_PROOF
        self.outside: Callable[[], Mapping[str, Ends]] = dict
        """Begins the proofs of accounts that do not trade here: nothing of ours may rest there."""
        self.unread: tuple[str, ...] = ()
        """What a KILL could not read: over it nothing is proven."""
        self.vain = False
        """True where the latest receipt stays NOT PROVEN until a person acts."""
        self._told: list[Told] = []
        self._said: tuple[int, tuple[str, ...]] = (0, ())
        self._again_ns = NOT_PROVEN_AFTER_NS

    def begin_proof(
        self, name: str, *, who: str, reason: str, at_ns: int, what: str = KILL_PROOF
    ) -> None:
        """Begin to prove that nothing of ours is open anywhere; a proof under way is replaced."""
        self._what = what
        endings: dict[str, Ends] = dict(self.outside())
        endings |= {str(key): self._ending(runner, at_ns) for key, runner in self.runners.items()}
        self._latest = ProofRun(
            name=name, who=who, reason=reason, latched_ns=at_ns, endings=endings
        )
        self._prove(at_ns)

    def _prove(self, now_ns: int) -> None:
        self.proving = self._latest
        self.receipt = None
        self.vain = False
        self._said = (now_ns, ())
        self._again_ns = NOT_PROVEN_AFTER_NS

    def prove_too(self, runner: AccountRunner, now_ns: int) -> None:
        """Let the latest proof cover an account opened since: until that is proven, nothing is."""
        if self._latest is None:
            return
        self._latest.endings[str(runner.account)] = self._ending(runner, now_ns)
        self._prove(now_ns)

    def _ending(self, runner: AccountRunner, at_ns: int) -> CancelProof:
        executor = runner.desk.executor
        ending = CancelProof(
            executor, runner.core, began_ns=at_ns, open_before=executor.open_and_unknown[0]
        )
        ending.unaskable = runner.unaskable
        listen(runner, "proof", ending.hear)
        return ending

    def tell_receipt(self, told: Told) -> None:
        """Call when the proof under way is done, or the latest one at once."""
        if self.proving is None and self.receipt is not None:
            told(self.receipt)
        else:
            self._told.append(told)

    def prove(self, now_ns: int) -> None:
        """Look whether the proof is done; keep the receipt when it is, and what lacks meanwhile."""
        proving = self.proving
        if proving is None:
            return
        receipt = proving.receipt(now_ns, self.unread)
        lacking = tuple(why for account in receipt.accounts for why in account.missing)
        missing = self.unread + lacking
        vain = proving.vain(receipt)
        if not receipt.proven and not self._due(missing, now_ns, at_once=vain):
            return
        self.vain = vain
        self._said = (now_ns, missing)
        self.receipt = receipt
        engine_id, what = self.engine_id, self._what
        self.state.write(lambda c: keep_receipt(c, engine_id, what, receipt))
        self.log.warning("receipt", what=what, proven=receipt.proven, text=receipt.sentence())
        if receipt.proven:
            self.proving = None
            for runner in self.runners.values():
                deafen(runner, "proof")
            told, self._told = self._told, []
            for one in told:
                one(receipt)

    def _due(self, missing: tuple[str, ...], now_ns: int, *, at_once: bool) -> bool:
        """Say whether what lacks must be told now: soon where it changed, ever later where not.

        `at_once` True = waiting changes nothing: what is new is told without delay.
        """
        at_ns, said = self._said
        same = missing == said
        if now_ns - at_ns < (self._again_ns if same else NOT_PROVEN_AFTER_NS) and (
            same or not at_once
        ):
            return False
        longer = min(2 * self._again_ns, SAID_AGAIN_MAX_NS)
        self._again_ns = longer if same else NOT_PROVEN_AFTER_NS
        return True
