"""The accounts of a past that is replayed: what the executor of each knew, start after start.

A start forgets what the life before had in mind: its engine knew a snapshot and the journal behind
it, where every order without an end is UNKNOWN. Each start is journaled (`KeepStart`), and is
replayed by the same steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from engine.domain.effects import KeepStart, PlaceOrder
from engine.domain.instruments import AccountId, BotId
from engine.domain.money import MICRO
from engine.domain.rates import counted_as
from engine.domain.settings import AccountSettings, SettingsDocument
from engine.errors import BrokenInvariant
from engine.executor.executor import ExecutorSettings
from engine.executor.ledger import Ledger
from engine.lab.explain.verify_plans import VerifyingExecutor
from engine.risk.exposure import ExposureBook, share_total
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.recovery import ENGINE_WIDE, quote_life_ms, remember
from storage.journal import Record, decode
from storage.journal_writer import EXECUTOR, JournalSnapshot

RecordsAfter = Callable[[int], Iterable[Record]]
"""Gives the records of a journal after a seq."""

SettingsHistory = Sequence[tuple[int, SettingsDocument]]
"""(applied at, document), oldest first."""


NEVER_NS = 1 << 63
"""A time that does not come."""


class JournalAccounts:
    """All accounts of one journal. `settings` say with which limits each was judged, and when.

    `snapshots` are the engine's own by name: a start from one of them is sound whatever came out
    before it. `base` is what the accounts begin with where the journal's past is gone.
    """

    def __init__(
        self,
        settings: SettingsHistory,
        journal: RecordsAfter,
        snapshots: Mapping[str, JournalSnapshot],
        base: Mapping[str, JournalSnapshot] = MappingProxyType({}),
    ) -> None:
        self.executors: dict[AccountId, VerifyingExecutor] = {}
        self.lost: set[AccountId] = set()
        """Accounts in which something came out otherwise: nothing after it proves a thing."""
        self.broken: list[tuple[AccountId, int, str]] = []
        """Where the journal's facts, replayed, are impossible: account, time, why."""
        self.starts_unkept = 0
        self._settings = settings
        self.journal = journal
        self._engines = snapshots
        self._base = {name: one.body for name, one in base.items()}
        self._due = 0
        self._gates: dict[AccountId, RiskGate] = {}
        self._accounts: dict[AccountId, AccountSettings] = {}
        self._capital: dict[tuple[AccountId, BotId], int] = {}
        self._legacy: set[AccountId] = set()
        """Accounts in a life whose start an older version did not journal."""
        self._legacy_until: dict[str, int] = {}
        """When the first start was journaled of accounts that had others before."""
        self._started: dict[AccountId, int] = {}
        """The last journaled start of each account."""
        self._fences: dict[AccountId, int] = {}
        """The start of each account's last order."""
        self._snapshots_needed = _begun_with(journal(0))
        self._snapshots: dict[tuple[AccountId, int], bytes] = {}
        """What a later start begins with, by the record it stands behind."""

    def apply_record(self, record: Record, message: object) -> None:
        """Let every account that a record concerns take it."""
        if isinstance(message, PlaceOrder):
            self._placed(AccountId(record.account), message.order.fence)
        for account, executor in self.executors.items():
            if record.account in (account, ENGINE_WIDE) and account not in self.lost:
                try:
                    executor.apply_record(message, record.at_ns)
                except BrokenInvariant as error:
                    self._mark_broken(account, record, error)
                self._note_differences(account, record)
        for account in self._snapshots_needed.get(record.seq, ()):
            if account in self.executors and account not in self.lost:
                self._snapshots[account, record.seq] = self.executors[account].snapshot()

    def _mark_broken(self, account: AccountId, record: Record, error: BrokenInvariant) -> None:
        self.lost.add(account)
        self.broken.append((account, record.at_ns, str(error)))

    def _note_differences(self, account: AccountId, record: Record) -> None:
        """Note where an engine said of an order what its journal's facts do not bear out."""
        found = self.executors[account].differs
        self.broken += [(account, record.at_ns, text) for text in found]
        found.clear()

    # -- settings ----------------------------------------------------------------------------------

    def apply_settings(self, at_ns: int) -> None:
        while self._due < len(self._settings) and (
            self._due == 0 or self._settings[self._due][0] <= at_ns
        ):
            document = self._settings[self._due][1]
            self._due += 1
            for one in document.accounts.values():
                self._account(one)
            self._capital |= {
                (AccountId(bot.account), BotId(bot.name)): round(bot.capital * MICRO)
                for bot in document.bots.values()
            }
            for account in self.executors:
                self._fund(account)

    def open_at(self, record: Record) -> None:
        """Open an account at its first record where its version is in force only after that.

        An engine opens an account and journals its cash; that its version is applied, and when, is
        what it says last.
        """
        if record.account in self.executors or record.account == ENGINE_WIDE:
            return
        for _, document in self._settings[self._due :]:
            for one in document.accounts.values():
                if one.name == record.account:
                    self._account(one)
                    return

    def _account(self, settings: AccountSettings) -> None:
        account = AccountId(settings.name)
        if account in self._gates:
            self.executors[account].apply(settings.limits)
            self.executors[account].expire_quotes(quote_life_ms(settings))
        else:
            self._open(settings)
        self._accounts[account] = settings

    def _open(self, settings: AccountSettings) -> VerifyingExecutor:
        account, currency = AccountId(settings.name), settings.currency
        breakers = Breakers(settings.limits, settings.mode)
        gate = RiskGate(limits=settings.limits, breakers=breakers, exposure=ExposureBook())
        made = self.executors[account] = VerifyingExecutor(
            account=account,
            mode=settings.mode,
            currency=currency,
            ledger=Ledger(currency=currency),
            gate=gate,
            settings=ExecutorSettings(starts_reconciled=True, gtd_ms=quote_life_ms(settings)),
        )
        self._gates[account] = gate
        if (body := self._base.pop(f"{EXECUTOR}{account}", None)) is not None:
            made.restore(body, died=False)
        self._fund(account)
        share_total(
            self._gates[name].exposure
            for name, other in self.executors.items()
            if other.mode is settings.mode and counted_as(other.currency) == counted_as(currency)
        )
        return made

    def _fund(self, account: AccountId) -> None:
        """Bind the account's bots to their capital, as who admits them does."""
        capital = self._gates[account].exposure.capital_micro
        capital |= {bot: micro for (name, bot), micro in self._capital.items() if name == account}

    # -- starts ------------------------------------------------------------------------------------

    def start(self, record: Record, message: KeepStart) -> None:
        """Let an account know what its engine knew at a start; the start itself is folded next.

        Where the engine asks everything again within one life there is nothing to forget.
        """
        account = AccountId(record.account)
        if account not in self._accounts or self._started.get(account) == message.fence:
            return
        if account in self._legacy and account not in self._started:
            self._legacy_until[account] = record.at_ns
        self._started[account] = message.fence
        body = self._start_state(account, message.snapshot)
        if body is None and message.snapshot:
            self.lost.add(account)  # it began with a snapshot that is unknown here
            return
        self.lost.discard(account)
        if not message.snapshot:
            self._legacy.discard(account)
        executor = self._open(self._accounts[account])
        try:
            if body is not None:
                executor.restore(body)
            for one in self.journal(message.snapshot):
                if one.seq >= record.seq:
                    break
                if one.account in (account, ENGINE_WIDE):
                    remember(executor, decode(one), one.at_ns)
        except BrokenInvariant as error:
            self._mark_broken(account, record, error)
        executor.resume()

    def excused(self, account: str, at_ns: int) -> bool:
        """Say whether something that came out otherwise may come of a start that was not kept.

        The first order of a life tells of its start, and comes after it.
        """
        return at_ns < self._legacy_until.get(account, NEVER_NS if account in self._legacy else 0)

    def _start_state(self, account: AccountId, seq: int) -> bytes | None:
        """Return what was known behind a record; in doubt what the engine itself kept of it."""
        known, kept = self._snapshots.get((account, seq)), self._engines.get(f"executor:{account}")
        if (known is None or account in self._legacy) and kept is not None and kept.seq == seq:
            self._legacy.discard(account)
            return kept.body
        return known

    def _placed(self, account: AccountId, fence: int) -> None:
        before = self._fences.get(account, fence)
        self._fences[account] = fence
        if fence != before and self._started.get(account) != fence:
            self.starts_unkept += 1
            self._legacy.add(account)


def _begun_with(records: Iterable[Record]) -> dict[int, set[AccountId]]:
    found: dict[int, set[AccountId]] = defaultdict(set)
    for record in records:
        if record.kind == KeepStart.__name__:
            found[decode(record).snapshot].add(AccountId(record.account))
    return found
