"""What the engine tells of itself each second: heartbeat, figures, bots, equity, books."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from engine.caches.views import BookView
from engine.domain.catalog import StrategyEntry, VenueEntry
from engine.domain.decisions import Unit
from engine.domain.events import BookMarked
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode, Side
from engine.domain.orders import OrderId, OrderState
from engine.domain.telemetry import (
    BookTop,
    BotStatus,
    Capital,
    EngineStatus,
    LockedMoney,
    ScopedLatch,
    WatchedMarket,
)
from engine.executor.executor import Executor
from engine.executor.fills import Holding, LegHolding, mid_value_micro
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner
from engine.runtime.markouts import Markouts
from engine.strategies.registry import entries
from engine.venues.registry import entries as venue_entries
from storage.catalog import put_catalog
from storage.live import (
    SUBJECTS_MAX,
    EngineBeat,
    EquityPoint,
    HoldingSeen,
    LimitUse,
    add_equity,
    add_pnl,
    put_books,
    put_bots,
    put_capital,
    put_engine,
    put_holdings,
    put_limit_use,
)

# -- Figures of one account for people: what it holds and what it uses of every limit --------------
# Readings of the ledger, the gate and the exposure book; nothing here waits or changes anything.

MS = 1_000_000


def holdings_of(executor: Executor, owners: Mapping[InstrumentId, str]) -> list[HoldingSeen]:
    state = executor.ledger.state
    return [
        _holding(executor, held, owners.get(key) or executor.owner(key) or "", executor.mark(key))
        for key, held in state.holdings.items()
    ]


def _holding(executor: Executor, held: Holding, bot: str, mark: BookMarked | None) -> HoldingSeen:
    instrument = executor.ledger.state.instruments[held.instrument]
    return HoldingSeen(
        account=executor.account,
        instrument=held.instrument,
        mode=executor.mode,
        currency=executor.currency,
        bot=bot,
        yes_settled=held.yes.settled,
        yes_pending=held.yes.pending,
        no_settled=held.no.settled,
        no_pending=held.no.pending,
        yes_cost_micro=held.yes.cost_micro,
        no_cost_micro=held.no.cost_micro,
        value_micro=mid_value_micro(held, instrument, mark),
        mid2=None if mark is None or held.flat else mark.mid2,
        marked_ns=None if mark is None or held.flat else mark.two_sided_ns,
        realised_micro=held.realised_micro,
        fees_micro=held.fees_micro,
        payout_yes_micro=held.payout_yes_micro,
    )


def uses_of(executor: Executor, bots: Iterable[BotId], now_ns: int) -> list[LimitUse]:
    """Return what the account uses of each limit that has a use of its own at any moment.

    Largest and smallest order have none: they judge one order.
    """
    gate = executor.gate
    limits, breakers = gate.limits, gate.breakers
    anchor, peak = executor.anchors_micro
    equity = executor.equity_micro(now_ns)
    fall = max(0, peak - equity)
    amounts = (
        ("daily_loss_max", max(0, anchor - equity), limits.daily_loss_max),
        ("drawdown_max", fall, limits.drawdown_max),
        ("kill_drawdown_max", fall, limits.kill_drawdown_max),
        ("exposure_account_max", gate.exposure.account_micro(), limits.exposure_account_max),
        ("exposure_total_max", gate.exposure.total_micro(), limits.exposure_total_max),
    )
    return [
        *(
            LimitUse(name=name, used=used, limit_value=limit.micro(anchor), unit=Unit.MICRO)
            for name, used, limit in amounts
        ),
        LimitUse(
            name="open_orders_max",
            used=executor.open_and_unknown[0],
            limit_value=limits.open_orders_max,
            unit=Unit.COUNT,
        ),
        *_exposures(executor, bots, breakers.day_start_equity_micro),
        *_ages(executor, now_ns),
    ]


def _exposures(executor: Executor, bots: Iterable[BotId], anchor: int) -> list[LimitUse]:
    limits, book = executor.gate.limits, executor.gate.exposure
    instruments = {str(key): book.instrument_micro(key) for key in executor.concerned()}
    markets = {
        key: book.market_micro(key)
        for key in {book.of(one).instrument.exposure_key for one in executor.concerned()}
    }
    by_bot = {str(bot): book.bot_micro(bot) for bot in bots}
    levels = (
        ("exposure_instrument_max", instruments, limits.exposure_instrument_max),
        ("exposure_market_max", markets, limits.exposure_market_max),
        ("exposure_bot_max", by_bot, limits.exposure_bot_max),
    )
    return [
        LimitUse(
            name=name, subject=subject, used=used, limit_value=limit.micro(anchor), unit=Unit.MICRO
        )
        for name, uses, limit in levels
        for subject, used in _largest(uses)
    ]


def _largest(uses: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(uses.items(), key=lambda item: (-item[1], item[0]))[:SUBJECTS_MAX]


def _ages(executor: Executor, now_ns: int) -> list[LimitUse]:
    """Return the oldest proof of a book that is worked and the oldest mark of what is held."""
    limits, held = executor.gate.limits, executor.ledger.held
    marks = {key: executor.mark(key) for key in executor.concerned()}
    proofs = [
        (now_ns - mark.proof_ns, str(key))
        for key, mark in marks.items()
        if mark is not None and mark.proof_ns is not None and executor.working(key)
    ]
    sided = [
        (now_ns - mark.two_sided_ns, str(key))
        for key, mark in marks.items()
        if mark is not None and mark.two_sided_ns is not None and key in held
    ]
    found = []
    for name, ages, limit_ms in (
        ("data_age_ms_max", proofs, limits.data_age_ms_max),
        ("mark_age_ms_max", sided, limits.mark_age_ms_max),
    ):
        if ages:
            age_ns, subject = max(ages)
            found.append(
                LimitUse(
                    name=name,
                    subject=subject,
                    used=max(0, age_ns),
                    limit_value=limit_ms * MS,
                    unit=Unit.NS,
                )
            )
    return found


# -- Where all money of one account is: free, reserved, on its way, in tokens ---------------------

LOCKS_MAX = 300
"""Markets told one by one, those that end first; the others are told as one sum."""

CONFIRMED = frozenset({OrderState.OPEN, OrderState.PARTIAL, OrderState.CANCELLING})
"""States of an order that the venue is known to hold."""


def capital_of(executor: Executor, now_ns: int) -> Capital:
    """Return where an account's money is. Free cash is what planner and ledger commit from."""
    state, venue = executor.ledger.state, executor.venue_cash
    paid = {key: one.cash_micro for key, one in state.reservations.items() if one.cash_micro}
    confirmed = [micro for key, micro in paid.items() if _confirmed(executor, key)]
    tokens = [_tokens(executor, held) for held in executor.ledger.held.values()]
    pairs, worth, dust, others = (
        (sum(column) for column in zip(*tokens, strict=True)) if tokens else (0,) * 4
    )
    return Capital(
        account=executor.account,
        mode=executor.mode,
        currency=executor.currency,
        at_ns=now_ns,
        settled_micro=state.cash_settled_micro,
        open_micro=sum(confirmed),
        open_orders=len(confirmed),
        doubtful_micro=state.cash_reserved_micro - sum(confirmed),
        doubtful_orders=len(paid) - len(confirmed),
        pending_micro=state.cash_pending_micro,
        redeemable_micro=state.redeemable_micro,
        redeeming_micro=sum(
            executor.ledger.holding(key).redeemable_micro for key in executor.redeeming
        ),
        pairs_micro=pairs,
        pairs_worth_micro=worth,
        dust_micro=dust,
        held_micro=others,
        deposits_micro=state.deposits_micro,
        realised_micro=state.realised_micro,
        fees_micro=state.fees_micro,
        venue_micro=None if venue is None else venue[0],
        venue_ns=None if venue is None else venue[1],
        locks=_locks(executor),
    )


def _confirmed(executor: Executor, order: OrderId) -> bool:
    known = executor.record(order)
    return known is not None and known.state in CONFIRMED


def _tokens(executor: Executor, held: Holding) -> tuple[int, int, int, int]:
    """Return (cost of free pairs, what they would bring merged, cost of dust, of the rest)."""
    instrument = executor.ledger.state.instruments[held.instrument]
    legs = (held.yes, held.no)
    pairs = max(0, min(leg.settled - leg.reserved for leg in legs))
    paired = [leg.cost_settled_micro * pairs // leg.settled if pairs else 0 for leg in legs]
    dust = sum(
        leg.cost_micro - of_pairs
        for leg, of_pairs in zip(legs, paired, strict=True)
        if _dust(leg, pairs, instrument.smallest)
    )
    cost = sum(leg.cost_micro for leg in legs) - sum(paired)
    return sum(paired), instrument.proceeds_micro(instrument.one, pairs), dust, cost - dust


def _dust(leg: LegHolding, pairs: int, smallest: int) -> bool:
    return not leg.reserved and 0 < leg.total - pairs < smallest


def _locks(executor: Executor) -> tuple[LockedMoney, ...]:
    """Return by market all that is not free cash, those that end first; their sum is exact."""
    ledger = executor.ledger
    orders, pending = Counter[InstrumentId](), Counter[InstrumentId]()
    for one in ledger.state.reservations.values():
        orders[one.instrument] += one.cash_micro
    for entry in ledger.state.fills.unsettled.values():
        if entry.payout_micro is not None:
            pending[entry.instrument] += entry.payout_micro
        elif entry.side is Side.SELL:
            pending[entry.instrument] += entry.cash_micro - entry.fee_micro
    found = []
    for key in {**orders, **pending, **ledger.held, **ledger.redeemable}:
        held, under_way = ledger.holding(key), executor.redeeming.get(key)
        stage = "" if under_way is None else under_way.state or "asked"
        lock = LockedMoney(
            instrument=key,
            closes_ns=ledger.state.instruments[key].closes_ns,
            resolved=held.payout_yes_micro is not None,
            orders_micro=orders[key],
            pending_micro=pending[key],
            held_micro=held.yes.cost_micro + held.no.cost_micro,
            redeemable_micro=held.redeemable_micro,
            redemption="in doubt" if under_way and under_way.doubt_ns is not None else stage,
        )
        if lock.orders_micro or lock.pending_micro or lock.held_micro or lock.redeemable_micro:
            found.append(lock)
    found.sort(key=lambda one: (one.closes_ns is None, one.closes_ns, one.instrument))
    return (*found[:LOCKS_MAX], *_together(found[LOCKS_MAX:]))


def _together(locks: Sequence[LockedMoney]) -> Iterator[LockedMoney]:
    if locks:
        sums = ("orders_micro", "pending_micro", "held_micro", "redeemable_micro")
        amounts = {name: sum(getattr(one, name) for one in locks) for name in sums}
        yield LockedMoney(instrument=None, markets=len(locks), **amounts)


# -- What the engine tells of itself each second: heartbeat, figures, bots, equity, books ----------

VERSION = "0.1.0"
EQUITY_EVERY = 4
"""Seconds between two points of a curve."""

PNL_EVERY = 60
"""Seconds between two points of a bot's PnL."""

ROWS_EVERY = 2
"""Seconds between two writes of bots, books, holdings and limits; the heartbeat is written each."""

COUNTS_EVERY = 10
"""Seconds until rows of the decision log that still count are written as they stand."""

LEVELS = 8
"""Levels told of each side of a book."""


class Telemetry:
    """Hands rows to the state keeper; nothing here waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0
        self._owners: dict[AccountId, dict[InstrumentId, str]] = {}
        """Whose an instrument of the ledger is: the bot that watched it last."""
        self._told: dict[tuple[str, str], HoldingSeen] = {}
        self._queues: dict[AccountId, dict[OrderId, int]] = {}
        """What stood before each resting order of an account at most, as told last."""

    def follow(self, now_ns: int) -> None:
        """Follow the fills of every account to their horizons; those of before go on."""
        engine = self._engine
        for runner in engine.runners.values():
            if runner.markouts is None:
                markouts = Markouts(
                    runner.desk.cache,
                    runner.desk.executor,
                    engine_id=engine.engine_id,
                    write=engine.state.write,
                )
                runner.follow(markouts)
                soon = engine.ended.get_loop().call_soon_threadsafe
                engine.state.write(markouts.resume_job(now_ns, soon), awaited=True)

    def second(self, now_ns: int) -> None:
        self.follow(now_ns)
        engine = self._engine
        engine_id, state = engine.engine_id, engine.state
        if not self._count:
            known, there = entries(), venue_entries()
            state.write(lambda c: put_catalog(c, engine_id, StrategyEntry, known, now_ns))
            state.write(lambda c: put_catalog(c, engine_id, VenueEntry, there, now_ns))
        beat = self.beat(now_ns)
        state.put("engine", lambda c: put_engine(c, engine_id, beat))
        if self._count % ROWS_EVERY == 0:
            self._rows(now_ns)
        if self._count % COUNTS_EVERY == 0:
            engine.decisions.tell()
        crowded = bool(state.halts)  # what is told again and again must not wait in thousands
        if self._count % PNL_EVERY == PNL_EVERY - 1 and not crowded:
            state.write(lambda c: add_pnl(c, engine_id, now_ns))
        self._count += 1

    def _rows(self, now_ns: int) -> None:
        """Tell bots, books and what each account holds and uses."""
        engine = self._engine
        engine_id, state = engine.engine_id, engine.state
        bots = tuple(_bot(bot_runner) for bot_runner in engine.bot_runners.values())
        state.put("bots", lambda c: put_bots(c, engine_id, bots, now_ns))
        books: list[BookTop] = []
        for account, runner in engine.runners.items():
            queues = self._queues.setdefault(account, {})
            books += books_of(runner, self._watched(runner), queues)
        state.put("books", lambda c: put_books(c, engine_id, books, now_ns))
        crowded = bool(state.halts)
        for runner in engine.runners.values():
            if not runner.desk.executor.recovering:
                if self._count % EQUITY_EVERY == 0 and not crowded:
                    self._equity(runner, now_ns)
                if not crowded:
                    self._holdings(runner, now_ns)
                self._capital(runner, now_ns)
                self._limits(runner, now_ns)

    def _watched(self, runner: AccountRunner) -> dict[InstrumentId, bool]:
        """Return what bots trade, what the account holds or works, and (True) people follow."""
        keys = dict.fromkeys(runner.desk.executor.concerned(), False)
        for bot_runner in self._engine.bot_runners.values():
            if bot_runner.runner is runner:
                keys |= dict.fromkeys(bot_runner.bot.cells, False)
        return keys | dict.fromkeys(self._engine.followed.get(runner.account, ()), True)

    def _holdings(self, runner: AccountRunner, now_ns: int) -> None:
        owners = self._owners.setdefault(runner.account, {})
        for bot_runner in self._engine.bot_runners.values():
            if bot_runner.runner is runner:
                owners.update(dict.fromkeys(bot_runner.bot.cells, bot_runner.bot.name))
        seen = holdings_of(runner.desk.executor, owners)
        known = {one.instrument for one in seen}
        for gone in [key for key in owners if key not in known]:
            del owners[gone]
        changed = [one for one in seen if self._told.get((one.account, one.instrument)) != one]
        for key in [key for key in self._told if key[0] == runner.account and key[1] not in known]:
            del self._told[key]
        if changed:
            self._told.update({(one.account, one.instrument): one for one in changed})
            engine_id = self._engine.engine_id
            self._engine.state.write(lambda c: put_holdings(c, engine_id, changed, now_ns))

    def _capital(self, runner: AccountRunner, now_ns: int) -> None:
        seen, engine_id = capital_of(runner.desk.executor, now_ns), self._engine.engine_id
        self._engine.state.put(
            f"capital {runner.account}", lambda c: put_capital(c, engine_id, seen)
        )

    def _limits(self, runner: AccountRunner, now_ns: int) -> None:
        executor, engine_id = runner.desk.executor, self._engine.engine_id
        bots = [
            bot_runner.bot.name
            for bot_runner in self._engine.bot_runners.values()
            if bot_runner.runner is runner
        ]
        uses = uses_of(executor, bots, now_ns)
        self._engine.state.put(
            f"limits {runner.account}",
            lambda c: put_limit_use(
                c,
                engine_id,
                account=executor.account,
                mode=executor.mode,
                currency=executor.currency,
                uses=uses,
                now_ns=now_ns,
            ),
        )

    def _equity(self, runner: AccountRunner, now_ns: int) -> None:
        point = equity_of(runner, now_ns)
        engine_id = self._engine.engine_id
        self._engine.state.write(lambda c: add_equity(c, engine_id, point))

    def beat(self, now_ns: int) -> EngineBeat:
        """Return the heartbeat with the figures of the last second."""
        engine = self._engine
        return EngineBeat(
            state=engine.phase,
            heartbeat_ns=engine.wall_ns(),
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
            journal_waiting=recorder.seq - recorder.durable_seq,
            journal_seq=recorder.seq,
            projected_seq=engine.projector.seq,
            feed_age_ms_max=self._feed_age_ms(now_ns),
            feeds={name: tell(now_ns) for name, tell in engine.feeds.items()},
            not_placing={
                account: tuple(runner.desk.executor.reasons)
                for account, runner in runners.items()
                if not runner.desk.executor.healthy
            },
            latches=tuple(
                ScopedLatch(account=account, **msgspec.structs.asdict(hold))
                for account, runner in runners.items()
                for hold in runner.desk.executor.holds
            ),
            latch_reason=self._latch_reason(),
            refusals=tuple(str(failure) for failure in files if failure is not None),
            receipt=None if engine.receipt is None else engine.receipt.sentence(),
            settings_version=engine.settings.version,
            unlock_key=engine.unlock_key,
        )

    def _latch_reason(self) -> str:
        """Return who set the latch and why, as risk knows it; empty while it is not set."""
        runners = self._engine.runners.values()
        return next(
            (why for s in runners if (why := s.desk.executor.gate.breakers.latch_reason)), ""
        )

    def _feed_age_ms(self, now_ns: int) -> float | None:
        """Return the age of the oldest proof of a watched book, None where none is watched."""
        ages = [
            age
            for bot_runner in self._engine.bot_runners.values()
            for key in bot_runner.bot.cells
            if (view := bot_runner.runner.desk.cache.views.get(key)) is not None
            and (age := view.age_ns(now_ns)) is not None
        ]
        return max(ages) / MS if ages else None


def books_of(
    runner: AccountRunner, watched: Mapping[InstrumentId, bool], queues: dict[OrderId, int]
) -> list[BookTop]:
    """Return the top of every watched book that an account hears, and remember the queues in it.

    `watched` says of each whether a person follows it. `queues` is what this gave of the account
    before: orders that ended are dropped from it.
    """
    desk, ahead = runner.desk, dict[OrderId, int]()
    found = []
    for key, followed in watched.items():
        view = desk.cache.views.get(key)
        if view is None or view.closed:
            continue
        own = queue_ahead(desk.executor, view, queues)
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


def _bot(bot_runner: BotRunner) -> BotStatus:
    bot, executor = bot_runner.bot, bot_runner.runner.desk.executor
    return BotStatus(
        name=bot.name,
        mode=executor.mode,
        account=bot.account,
        strategy=bot_runner.settings.strategy,
        state=bot.state,
        error=bot.error,
        capital_micro=bot.capital_micro,
        evaluations=bot.evaluations,
        watching=tuple(_watched(executor, key) for key in sorted(bot.cells)),
    )


def _watched(executor: Executor, key: InstrumentId) -> WatchedMarket:
    left, denied = executor.explain(key)
    return WatchedMarket(
        instrument=key,
        left=tuple(dict.fromkeys(one.reason for one in left)),
        denied="" if denied is None else denied.reason,
    )


def equity_of(runner: AccountRunner, now_ns: int) -> EquityPoint:
    executor = runner.desk.executor
    day_start, peak = executor.anchors_micro
    return EquityPoint(
        account=executor.account,
        mode=executor.mode,
        currency=executor.currency,
        at_ns=now_ns,
        equity_micro=executor.equity_micro(now_ns),
        equity_mid_micro=executor.equity_mid_micro(now_ns),
        cash_micro=executor.ledger.state.cash_settled_micro,
        day_start_micro=day_start,
        peak_micro=peak,
        redeemable_micro=executor.ledger.state.redeemable_micro,
    )
