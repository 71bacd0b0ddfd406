"""Start is recovery (law N): journal snapshot and tail → executor → the venue is asked → trade.

There is no other way to start. What was found is reported, and stored for the dashboard.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from engine import log
from engine.domain import effects as fx
from engine.domain.events import AnyEvent, CashMoved, LossAccepted
from engine.domain.inputs import FORMAT, EngineStarted, SnapshotAtStart
from engine.domain.instruments import AccountId
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings
from engine.domain.words import many
from engine.errors import BadInput, StorageError
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.first_cash import due
from engine.executor.ledger import Ledger
from engine.executor.orders import LiveOrder
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.bot_runner import BotSnapshot, apply_record
from storage.journal import Record, Snapshots, decode, latest_snapshots, load

BOTS = "bots"
"""Name of the bots' snapshot; an executor's is `executor:<account>`."""

ENGINE_WIDE = ""
"""The account of records that concern every account: listings, the latch, commands."""

STOPPED = "STOPPED"
"""The state an engine that stopped in order tells last."""

DECIDING = ("bars", "bots", "caches", "domain", "executor", "indicators", "risk", "strategies")
"""Rooms whose code makes decisions, plans and effects."""

_EVENTS = frozenset(AnyEvent.__args__)
_bots_decoder = msgspec.msgpack.Decoder(dict[str, BotSnapshot])


class Recovered(msgspec.Struct, kw_only=True):
    """What the journal gave."""

    seq: int = 0
    records: int = 0
    snapshots: dict[str, int] = {}
    """Name → the record it stands after."""
    orders_adopted: int = 0
    accounts: set[str] = set()
    """Accounts that what was read is of."""
    funded: set[str] = set()
    """Accounts whose first cash stands in the journal."""
    bots: dict[str, BotSnapshot] = {}
    told: list[str] = []

    def shown(self, executors: Mapping[AccountId, Executor]) -> PlainDict:
        """Return it for the dashboard, with what each account must now ask about."""
        live: Counter[str] = Counter()
        for account, executor in executors.items():
            live[account] = executor.open_and_unknown[0]
        return {
            "seq": self.seq,
            "records": self.records,
            "snapshots": self.snapshots,
            "orders_adopted": self.orders_adopted,
            "orders_without_end": dict(live),
            "bots": {name: str(one.state) for name, one in self.bots.items()},
            "told": self.told[:100],
        }


def executor_of(settings: AccountSettings, fence: int) -> tuple[Executor, RiskGate]:
    account = AccountId(settings.name)
    breakers = Breakers(settings.limits, settings.mode)
    gate = RiskGate(limits=settings.limits, breakers=breakers, exposure=ExposureBook())
    executor = Executor(
        account=account,
        mode=settings.mode,
        currency=settings.currency,
        ledger=Ledger(currency=settings.currency),
        gate=gate,
        settings=ExecutorSettings(
            fence=fence,
            gtd_ms=quote_life_ms(settings),
            redeem_above_micro=automation(settings)[0],
            merge_above_micro=automation(settings)[1],
        ),
    )
    return executor, gate


def quote_life_ms(settings: AccountSettings) -> int | None:
    """Return after how long an account's quotes end by themselves; None = they do not."""
    return None if settings.quote_life_s is None else 1_000 * settings.quote_life_s


def automation(settings: AccountSettings) -> tuple[int | None, int | None]:
    """Return from which amounts on an account redeems and merges by itself; None = it does not."""
    least = settings.merge_above
    merge = None if least is None else max(1, round(least * MICRO))
    return round(settings.redeem_above * MICRO) if settings.redeems else None, merge


def live_orders(executor: Executor) -> list[LiveOrder]:
    """Return every order that may still fill (read only)."""
    return [
        known
        for instrument in executor.ledger.state.instruments
        for known in executor.working(instrument)
    ]


def recover(journal: Path, executors: Mapping[AccountId, Executor]) -> Recovered:
    """Fill fresh executors with what the journal holds. Raises JournalCorrupt, StorageError.

    Afterwards call each executor's `recover`: the venue has the last word.
    """
    if not journal.exists():
        return Recovered()
    return rebuild(
        latest_snapshots(journal),
        lambda after_seq: load(journal, after_seq=after_seq, thinned=True),
        executors,
    )


def rebuild(
    snapshots: Snapshots,
    tail: Callable[[int], Iterable[Record]],
    executors: Mapping[AccountId, Executor],
) -> Recovered:
    """Fill fresh executors from snapshots and from the records after a seq, wherever they lie."""
    found = Recovered()
    found.told += snapshots.problems
    after = _restore(snapshots, executors, found)
    missing = [account for account in executors if account not in after]
    # An account without a snapshot was never in one: its whole past is the journal.
    start = 0 if missing or BOTS not in snapshots.by_name else snapshots.seq
    bots_after = snapshots.by_name[BOTS].seq if BOTS in snapshots.by_name else 0
    for record in tail(start):
        found.records += 1
        found.seq = record.seq
        found.accounts.add(record.account)
        message = decode(record)
        if record.seq > bots_after:
            apply_record(found.bots, message)
        if type(message) is CashMoved:
            found.funded.add(message.account)
        elif type(message) is LossAccepted and message.recount:
            found.funded.discard(message.account)
        for account, executor in executors.items():
            if record.account not in (account, ENGINE_WIDE) or record.seq <= after.get(account, 0):
                continue
            remember(executor, message, record.at_ns)
            found.orders_adopted += type(message) is fx.PlaceOrder
    return found


def check_accounts(found: Recovered, known: AbstractSet[str]) -> None:
    """Refuse a journal with accounts that the state has never heard of.

    No one would ask what they left at their venues, and a KILL would call that proven. `known` are
    the state's accounts, removed ones among them. Raises StorageError.
    """
    if unknown := sorted(found.accounts - known - {ENGINE_WIDE}):
        raise StorageError(
            f"journal.db has records of {', '.join(map(repr, unknown))}, and pitboss.db knows no "
            "such account: it is older than the journal, or another's. Put the right one back, or "
            "restore both from one backup as README's Recovery says; until then look at that "
            "account's venue for open orders"
        )


def remember(executor: Executor, message: Any, at_ns: int) -> None:
    """Give an executor a journaled record of an earlier life, in the order of the journal."""
    if type(message) is fx.PlaceOrder:
        executor.adopt(message.order, at_ns, message.identity)
    elif type(message) is fx.OrderChanged:
        executor.restore_change(message)
    elif type(message) is fx.CancelOrders:
        executor.restore_cancels(message)
    elif type(message) is fx.KeepBudget:
        executor.restore_budget(message.breakers)
    elif type(message) is fx.KeepDifferences:
        executor.restore_differences(message)
    elif type(message) in _EVENTS:
        executor.receive(message, at_ns)
    elif isinstance(message, fx.WalletEffect | fx.QueryOperation):
        executor.restore_wallet(message, at_ns)


def _restore(
    snapshots: Snapshots, executors: Mapping[AccountId, Executor], found: Recovered
) -> dict[AccountId, int]:
    """Give every executor its snapshot; return after which record each stands."""
    after: dict[AccountId, int] = {}
    for name, snapshot in snapshots.by_name.items():
        found.snapshots[name] = snapshot.seq
        try:
            if name == BOTS:
                found.bots = _bots_decoder.decode(snapshot.body)
                continue
            account = AccountId(name.removeprefix("executor:"))
            found.accounts.add(account)
            if account in executors:
                executors[account].restore(snapshot.body, snapshot.seq)
                after[account] = snapshot.seq
                if not due(executors[account]):  # else it was stopped before its venue had answered
                    found.funded.add(account)
        except (BadInput, msgspec.DecodeError) as error:
            raise StorageError(
                f"the snapshot {name!r} at record {snapshot.seq} cannot be read: {error}; "
                "start the version that wrote it"
            ) from error
    return after


def unstopped(
    last: tuple[str, int] | None, found: Recovered, live: int, ended: str = ""
) -> fx.RaiseAlert | None:
    """Return what a person should receive where the engine before this one was not stopped.

    `last` is the state it reported last and when, in ns UTC; `live` counts orders without an end;
    `ended` is how it ended in supervisor's words, empty where none says.
    """
    if last is None or last[0] == STOPPED:
        return None
    how = f" ({ended})" if ended else ""
    text = (
        f"the previous engine ended without a stop{how}: it last reported {last[0]} at "
        f"{log.second(last[1])}. Recovered: {many(found.records, 'record')} read, "
        f"{many(found.orders_adopted, 'order')} adopted; the venue is asked about "
        f"{many(live, 'order')} without an end"
    )
    return fx.caution(
        "ended_without_stop",
        text,
        records=f"{found.records:,}",
        orders_adopted=f"{found.orders_adopted:,}",
        orders_without_an_end=f"{live:,}",
    )


@cache
def code_digest() -> str:
    rooms, made = Path(__file__).parents[1], hashlib.blake2b(digest_size=8)
    for room in DECIDING:
        for path in sorted((rooms / room).rglob("*.py")):
            made.update(path.read_bytes())
    return made.hexdigest()


def engine_started(
    snapshots: Snapshots,
    accounts: Iterable[AccountSettings],
    *,
    fence: int,
    seq: int,
    feed: str = "",
) -> EngineStarted:
    """Return what the tape keeps of a start, so that what follows can be lived again from here.

    `snapshots` and `seq` are the journal's latest and its last record. Call it before anything is
    appended.
    """
    return EngineStarted(
        AccountId(ENGINE_WIDE),
        FORMAT,
        fence,
        seq,
        tuple(one.model_dump_json().encode() for one in accounts),
        {
            name: SnapshotAtStart(one.seq, one.at_ns, one.body)
            for name, one in snapshots.by_name.items()
        },
        feed,
        code_digest(),
    )
