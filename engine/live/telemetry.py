"""What the engine tells of itself each second: heartbeat, figures, bots, equity, books."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine.bots.bot import Cell
from engine.caches.views import BookView
from engine.domain.bots import BotState
from engine.domain.catalog import IndicatorEntry, StrategyEntry, VenueEntry
from engine.domain.instruments import AccountId, InstrumentId, Mode, Side
from engine.domain.intents import Quotes
from engine.domain.orders import OrderId, OrderState
from engine.domain.telemetry import (
    BookTop,
    BotStatus,
    Earnings,
    EngineStatus,
    ScopedLatch,
    StreamLost,
    WatchedMarket,
)
from engine.executor.executor import Executor
from engine.indicators.library import entries as indicator_entries
from engine.live.commands.vault import VaultOpening
from engine.live.engine import Engine
from engine.live.figures import (
    MS,
    RewardsWatch,
    capital_of,
    earnings_of,
    holdings_of,
    margins_of,
    uses_of,
)
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner
from engine.runtime.decisions import COUNTS_EVERY_S
from engine.runtime.markouts import Markouts
from engine.runtime.services import USER_FEED
from engine.strategies.registry import entries
from engine.venues.registry import entries as venue_entries
from storage.catalog import put_catalog
from storage.live import (
    EngineHeartbeat,
    EquityPoint,
    HoldingSeen,
    add_equity,
    add_pnl,
    put_account_report,
    put_books,
    put_bots,
    put_engine,
    put_holdings,
    put_limit_use,
)

VERSION = "0.1.0"
EQUITY_EVERY = 4
"""Seconds between two points of a curve."""

PNL_EVERY = 60
"""Seconds between two points of a bot's PnL."""

ROWS_EVERY = 2
"""Seconds between two writes of bots, books, holdings and limits; the heartbeat is written each."""

BOTS_AT_ONCE = 10
"""Bots reported in one slice, some 50 µs each with their markets."""

UNLISTED_MAX = 3
"""So many markets that are not listed are named; the rest is counted."""

LEVELS = 8
"""Levels reported of each side of a book."""


class Telemetry:
    """Hands rows to the state keeper; nothing here waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0
        self._seen: dict[tuple[str, str], HoldingSeen] = {}
        self._rewards = RewardsWatch()
        self._bots_said: dict[str, BotStatus] = {}
        """Every bot as it was reported last."""
        self._quoting: set[str] = set()
        """Bots that wanted quotes when one looked: what such a bot holds is not what it wants."""
        self._queues: dict[AccountId, dict[OrderId, int]] = {}
        """What stood before each resting order of an account at most, as reported last."""

    def follow(self, now_ns: int) -> None:
        """Follow the fills of every account to their horizons; those of before go on."""
        engine = self._engine
        for runner in engine.runners.values():
            if runner.markouts is None:
                markouts = Markouts(
                    runner.core.cache,
                    runner.core.executor,
                    engine_id=engine.engine_id,
                    write=engine.state.write,
                )
                runner.follow(markouts)
                soon = engine.ended.get_loop().call_soon_threadsafe
                engine.state.write(markouts.resume_job(now_ns, soon), awaited=True)

    def second(self, now_ns: int) -> None:
        """Tell everything of this second in one go."""
        for _ in self.seconds(now_ns):
            pass

    def seconds(self, now_ns: int) -> Iterator[None]:
        """Tell everything of this second in slices, of one account each."""
        self.follow(now_ns)
        state = self._engine.state
        if not self._count:
            state.write_row(put_catalog, StrategyEntry, entries(), now_ns)
            state.write_row(put_catalog, VenueEntry, venue_entries(), now_ns)
            state.write_row(put_catalog, IndicatorEntry, indicator_entries(), now_ns)
        state.put_row("engine", put_engine, self.heartbeat(now_ns))
        if self._count % ROWS_EVERY == 0:
            yield from self._rows(now_ns)
        if self._count % ROWS_EVERY or not self._count:  # a short life tells both
            yield from self._accounts(now_ns)
        if self._count % COUNTS_EVERY_S == 0:
            self._engine.decisions.publish()
        crowded = bool(state.halts)  # what is repeated again and again must not wait in thousands
        if self._count % PNL_EVERY == PNL_EVERY - 1 and not crowded:
            state.write_row(add_pnl, now_ns)
        self._count += 1

    def tick(self, now_ns: int) -> None:
        """Tell the bots at once where one has moved: none is to seem RUNNING while it pauses."""
        runners = self._engine.bot_runners.items()
        if moved := [(name, one) for name, one in runners if one.told is not one.bot.state]:
            self._say(moved)
            self._put_bots(now_ns)
            self._engine.state.wake(awaited=True)

    def _bots(self, now_ns: int) -> Iterator[None]:
        """Tell all bots, in slices of a few."""
        runners = tuple(self._engine.bot_runners.items())
        for begin in range(0, len(runners), BOTS_AT_ONCE):
            self._say(runners[begin : begin + BOTS_AT_ONCE])
            yield
        self._put_bots(now_ns)

    def _say(self, bot_runners: Sequence[tuple[str, BotRunner]]) -> None:
        for name, one in bot_runners:
            one.told = one.bot.state
            self._bots_said[name] = _bot(one, self._quoting)

    def _put_bots(self, now_ns: int) -> None:
        """Put all bots there are: those that are not among them are gone."""
        there, said = self._engine.bot_runners, self._bots_said
        self._say([(name, one) for name, one in there.items() if name not in said])
        for gone in said.keys() - there.keys():
            del said[gone]
        rows = tuple(said[name] for name in there)
        self._engine.state.put_row("bots", put_bots, rows, now_ns)

    def _rows(self, now_ns: int) -> Iterator[None]:
        """Tell bots and books."""
        engine, state = self._engine, self._engine.state
        yield from self._bots(now_ns)
        books: list[BookTop] = []
        for account, runner in tuple(engine.runners.items()):
            queues = self._queues.setdefault(account, {})
            books += books_of(runner, self._watched(runner), queues)
            yield
        state.put_row("books", put_books, books, now_ns)

    def _accounts(self, now_ns: int) -> Iterator[None]:
        """Tell what each account holds, uses, may spend and earns: not in the second of books."""
        state, crowded = self._engine.state, bool(self._engine.state.halts)
        for account, runner in tuple(self._engine.runners.items()):
            executor = runner.core.executor
            if not executor.recovering:
                due = self._count % EQUITY_EVERY <= 1 and not crowded
                if due and (point := equity_of(runner, now_ns)) is not None:
                    state.write_row(add_equity, point)
                margins = margins_of(executor, runner.core.cache.views, now_ns)
                if not crowded:
                    self._holdings(runner, holdings_of(executor, margins), now_ns)
                seen = capital_of(executor, now_ns, margins)
                state.put_row(f"capital {account}", put_account_report, seen)
                self._earnings(runner, now_ns)
                self._limits(runner, now_ns)
            yield

    def _watched(self, runner: AccountRunner) -> dict[InstrumentId, bool]:
        """Return what bots trade, what the account holds or works, and (True) people follow."""
        keys = dict.fromkeys(runner.core.executor.concerned(), False)
        for bot_runner in self._engine.bot_runners.values():
            if bot_runner.runner is runner:
                keys |= dict.fromkeys(bot_runner.bot.cells, False)
        return keys | dict.fromkeys(self._engine.followed.get(runner.account, ()), True)

    def _holdings(self, runner: AccountRunner, seen: list[HoldingSeen], now_ns: int) -> None:
        known = {one.key for one in seen}
        changed = [one for one in seen if self._seen.get(one.key) != one]
        for key in [key for key in self._seen if key[0] == runner.account and key not in known]:
            del self._seen[key]
        if changed:
            moved = {one.key: one for one in changed}
            anew = moved.keys() - self._seen.keys()
            self._seen.update(moved)
            self._engine.state.write_row(put_holdings, changed, now_ns, anew=anew)

    def _earnings(self, runner: AccountRunner, now_ns: int) -> None:
        executor, engine = runner.core.executor, self._engine
        for alert in self._rewards.moved(executor):
            engine.alert(alert, now_ns)
        scoring, scoring_ns = runner.scoring
        seen = Earnings(
            account=executor.account,
            currency=executor.currency,
            at_ns=now_ns,
            orders=earnings_of(runner, now_ns),
            scoring=dict(scoring),
            scoring_ns=scoring_ns,
        )
        engine.state.put_row(f"earnings {runner.account}", put_account_report, seen)

    def _limits(self, runner: AccountRunner, now_ns: int) -> None:
        executor = runner.core.executor
        bots = [
            bot_runner.bot.name
            for bot_runner in self._engine.bot_runners.values()
            if bot_runner.runner is runner
        ]
        self._engine.state.put_row(
            f"limits {runner.account}",
            put_limit_use,
            account=executor.account,
            mode=executor.mode,
            currency=executor.currency,
            uses=uses_of(executor, bots, now_ns),
            now_ns=now_ns,
        )

    def heartbeat(self, now_ns: int) -> EngineHeartbeat:
        """Return the heartbeat with the figures of the last second."""
        engine = self._engine
        return EngineHeartbeat(
            state=engine.phase,
            heartbeat_ns=engine.said_ns(),
            started_ns=engine.started_ns,
            pid=os.getpid(),
            version=VERSION,
            latched=engine.killed.is_set(),
            status=self._status(now_ns),
        )

    def _status(self, now_ns: int) -> EngineStatus:
        engine = self._engine
        recorder, runners = engine.recorder, engine.runners
        files = (recorder.failure, engine.state.failure, engine.projector.failure)
        return EngineStatus(
            **engine.meter.take(),
            **engine.meter.answered(now_ns),
            journal_waiting=recorder.seq - recorder.durable_seq,
            journal_seq=recorder.seq,
            projected_seq=engine.projector.seq,
            feed_age_ms_max=self._feed_age_ms(now_ns),
            feeds={name: tell(now_ns) for name, tell in engine.feeds.items()},
            private_lost={
                account: StreamLost(mode=runner.core.executor.mode, why=cut)
                for account, runner in runners.items()
                if (cut := runner.core.executor.unhealthy.get(USER_FEED)) and not runner.unaskable()
            },
            not_placing={
                account: tuple(runner.core.executor.reasons)
                for account, runner in runners.items()
                if not runner.core.executor.healthy
            },
            to_release={
                account: why
                for account, runner in runners.items()
                if (why := runner.core.executor.to_release)
            },
            latches=tuple(
                ScopedLatch(account=account, **msgspec.structs.asdict(hold))
                for account, runner in runners.items()
                for hold in runner.core.executor.holds
            ),
            latch_reason=self._latch_reason(),
            killed_bots=tuple(
                name
                for name, one in engine.bot_runners.items()
                if one.killed and one.bot.state is BotState.PAUSED
            ),
            refusals=tuple(str(failure) for failure in files if failure is not None),
            receipt=None if engine.receipt is None else engine.receipt.sentence(),
            settings_version=engine.settings.version,
            unlock_key=engine.part(VaultOpening).public_key,
        )

    def _latch_reason(self) -> str:
        """Return who set the latch and why, as risk knows it; empty while it is not set."""
        if not self._engine.killed.is_set():
            return ""
        runners = self._engine.runners.values()
        return next(
            (why for s in runners if (why := s.core.executor.gate.breakers.latch_reason)), ""
        )

    def _feed_age_ms(self, now_ns: int) -> float | None:
        """Return the age of the oldest proof of a watched book, None where none is watched."""
        ages = [
            age
            for bot_runner in self._engine.bot_runners.values()
            for key in bot_runner.bot.cells
            if (view := bot_runner.runner.core.cache.views.get(key)) is not None
            and (age := view.age_ns(now_ns)) is not None
        ]
        return max(ages) / MS if ages else None


def books_of(
    runner: AccountRunner, watched: Mapping[InstrumentId, bool], queues: dict[OrderId, int]
) -> list[BookTop]:
    """Return the top of every watched book that an account receives, and remember the queues in it.

    `watched` says of each whether a person follows it. `queues` is what this gave of the account
    before: orders that ended are dropped from it.
    """
    core, ahead = runner.core, dict[OrderId, int]()
    found = []
    for key, followed in watched.items():
        view = core.cache.views.get(key)
        if view is None or view.closed:
            continue
        own = queue_ahead(core.executor, view, queues)
        ahead |= own
        top = BookTop(
            account=runner.account,
            instrument=key,
            trusted=view.trusted,
            bids=tuple(view.book.depth(Side.BUY, LEVELS)),
            asks=tuple(view.book.depth(Side.SELL, LEVELS)),
            proof_ns=view.proof_ns,
            last=view.last_trade,
            ahead=own,
            followed=followed,
        )
        found.append(top)
    queues.clear()
    queues.update(ahead)
    return found


def queue_ahead(
    executor: Executor, view: BookView, before: Mapping[OrderId, int]
) -> dict[OrderId, int]:
    """Return the most that can stand before each resting order of a book, never growing.

    A venue's book shows our own orders, too; the one a paper account trades over does not. What an
    untrusted book shows is no news.
    """
    rests = (OrderState.OPEN, OrderState.PARTIAL)
    orders = [one for one in executor.working(view.instrument.id) if one.state in rests]
    if not view.trusted:
        return {one.order.id: before[one.order.id] for one in orders if one.order.id in before}
    ours, found = Counter[tuple[bool, int]](), dict[OrderId, int]()
    for one in orders if executor.mode is not Mode.PAPER else ():
        ours[one.bid, one.level] += one.remaining
    for one in orders:
        level = (view.book.bids if one.bid else view.book.asks).get(one.level, 0)
        others = max(0, level - ours[one.bid, one.level])
        found[one.order.id] = min(others, before.get(one.order.id, others))
    return found


def _bot(bot_runner: BotRunner, quoting: set[str]) -> BotStatus:
    bot, executor = bot_runner.bot, bot_runner.runner.core.executor
    if any(isinstance(executor.intent(key, bot.name), Quotes) for key in bot.cells):
        quoting.add(bot.name)
    takes = bot.name not in quoting
    return BotStatus(
        name=bot.name,
        mode=executor.mode,
        account=bot.account,
        strategy=bot_runner.settings.strategy,
        state=bot.state,
        error=bot.error,
        capital_micro=bot.capital_micro,
        evaluations=bot.evaluations,
        watching=(
            *(_watched(executor, bot.cells[key], takes=takes) for key in sorted(bot.cells)),
            *(WatchedMarket(instrument=key, reduce_only=True) for key in bot_runner.leaving()),
        ),
        unlisted=_unlisted(bot_runner),
    )


def _unlisted(bot_runner: BotRunner) -> str:
    """Return which named markets no feed has listed since the start; empty = none, or it rests.

    A bot that rests is not asked: its account may not be connected yet.
    """
    bot, core = bot_runner.bot, bot_runner.runner.core
    if bot.state is not BotState.RUNNING:
        return ""
    known = (core.cache.views, core.executor.ledger.state.instruments)
    names = sorted(key for key in bot.instruments if not any(key in one for one in known))
    if not names:
        return ""
    more = len(names) - UNLISTED_MAX
    shown = ", ".join(names[:UNLISTED_MAX]) + (f" and {more} more" if more > 0 else "")
    venues = " or ".join(dict.fromkeys(name.partition(":")[0] for name in names))
    return f"no such market listed by {venues} so far: {shown}"


def _watched(executor: Executor, cell: Cell, *, takes: bool) -> WatchedMarket:
    key = cell.instrument
    left, denied = executor.explain(key, cell.bot.name)
    held = executor.ledger.owned(key, cell.bot.name)
    holds = takes and any(leg.settled or leg.pending for leg in (held.yes, held.no))
    waits = left or denied is not None or executor.working(key, cell.bot.name)
    return WatchedMarket(
        instrument=key,
        left=tuple(dict.fromkeys(one.reason for one in left)),
        denied="" if denied is None else denied.reason,
        rest=cell.rest,
        reached=holds and not waits,
    )


def equity_of(runner: AccountRunner, now_ns: int) -> EquityPoint | None:
    """Return an account's equity now; None = what is held has no price yet: it is unknown."""
    executor = runner.core.executor
    day_start, peak = executor.anchors_micro
    shown = executor.equity_mid_micro(now_ns)
    if shown is None:
        return None
    return EquityPoint(
        account=executor.account,
        mode=executor.mode,
        currency=executor.currency,
        at_ns=now_ns,
        equity_micro=executor.equity_micro(now_ns),
        equity_mid_micro=shown,
        cash_micro=executor.ledger.state.cash_settled_micro,
        day_start_micro=day_start,
        peak_micro=peak,
        redeemable_micro=executor.ledger.state.redeemable_micro,
    )
