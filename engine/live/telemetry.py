"""What the engine tells of itself each second: heartbeat, figures, bots, equity, books."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from engine.domain.effects import RaiseAlert
from engine.domain.instruments import AccountId, InstrumentId
from engine.live.bot_runner import BotRunner
from engine.live.checks import TruthWatch
from engine.live.engine import Engine
from engine.live.figures import holdings_of, uses_of
from engine.runtime.account_runner import AccountRunner
from engine.runtime.markouts import Markouts
from engine.strategies.registry import STRATEGIES
from storage.live import BotSeen, EngineBeat, EquityPoint, add_equity, put_bots, put_engine
from storage.telemetry import HoldingSeen, add_pnl, put_holdings, put_limit_use

VERSION = "0.1.0"
EQUITY_EVERY = 2
"""Seconds between two points of a curve."""

PNL_EVERY = 60
"""Seconds between two points of a bot's PnL."""

BOOKS_MAX = 12
WATCHED_MAX = 60
LEVELS = 8
MS = 1_000_000


class Telemetry:
    """Hands rows to the state keeper; nothing here waits."""

    def __init__(self, house: Engine) -> None:
        self._house = house
        self._count = 0
        self._owners: dict[AccountId, dict[InstrumentId, str]] = {}
        """Whose an instrument of the ledger is: the bot that watched it last."""
        self._told: dict[tuple[str, str], HoldingSeen] = {}
        self._strategies = {
            name: kind.parameters_type.model_json_schema() for name, kind in STRATEGIES.items()
        }
        """The catalog: name → JSON schema of its parameters."""
        self._truth = TruthWatch(
            house.recorder,
            house.projector,
            house.state,
            state_path=house.config.state_path,
            engine_id=house.engine_id,
            alarm=self._alarm,
        )

    def _alarm(self, alert: RaiseAlert) -> None:
        """Hand an alert of another thread to the loop."""
        house = self._house
        house.ended.get_loop().call_soon_threadsafe(house.alert, alert, house.wall_ns())

    def follow(self, now_ns: int) -> None:
        """Follow the fills of every account to their horizons; those of before go on."""
        house = self._house
        for shell in house.shells.values():
            if shell.markouts is None:
                shell.markouts = Markouts(
                    shell.desk.cache,
                    shell.desk.executor,
                    engine_id=house.engine_id,
                    write=house.state.write,
                )
                soon = house.ended.get_loop().call_soon_threadsafe
                house.state.write(shell.markouts.resume_job(now_ns, soon))

    def second(self, now_ns: int) -> None:
        """Tell everything once."""
        self.follow(now_ns)
        house = self._house
        engine_id, state = house.engine_id, house.state
        beat = self.beat(now_ns)
        state.put("engine", lambda c: put_engine(c, engine_id, beat))
        bots = tuple(_bot(seat) for seat in house.seats.values())
        state.put("bots", lambda c: put_bots(c, engine_id, bots, now_ns))
        house.decisions.tell()
        crowded = bool(state.halts)  # what is told again and again must not wait in thousands
        for shell in house.shells.values():
            if not shell.desk.executor.recovering:
                if self._count % EQUITY_EVERY == 0 and not crowded:
                    self._equity(shell, now_ns)
                if not crowded:
                    self._holdings(shell, now_ns)
                self._limits(shell, now_ns)
        executors = [shell.desk.executor for shell in house.shells.values()]
        self._truth.second(executors, house.wall_ns())
        if self._count % PNL_EVERY == PNL_EVERY - 1 and not crowded:
            state.write(lambda c: add_pnl(c, engine_id, now_ns))
        self._count += 1

    def _holdings(self, shell: AccountRunner, now_ns: int) -> None:
        """Tell the holdings that changed or whose mark moved."""
        owners = self._owners.setdefault(shell.account, {})
        for seat in self._house.seats.values():
            if seat.shell is shell:
                owners.update(dict.fromkeys(seat.bot.cells, seat.bot.name))
        seen = holdings_of(shell.desk.executor, owners)
        known = {one.instrument for one in seen}
        for gone in [key for key in owners if key not in known]:
            del owners[gone]
        changed = [one for one in seen if self._told.get((one.account, one.instrument)) != one]
        for key in [key for key in self._told if key[0] == shell.account and key[1] not in known]:
            del self._told[key]
        if changed:
            self._told.update({(one.account, one.instrument): one for one in changed})
            engine_id = self._house.engine_id
            self._house.state.write(lambda c: put_holdings(c, engine_id, changed, now_ns))

    def _limits(self, shell: AccountRunner, now_ns: int) -> None:
        executor, engine_id = shell.desk.executor, self._house.engine_id
        bots = [seat.bot.name for seat in self._house.seats.values() if seat.shell is shell]
        uses = uses_of(executor, bots, now_ns)
        self._house.state.put(
            f"limits {shell.account}",
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

    def _equity(self, shell: AccountRunner, now_ns: int) -> None:
        point = equity_of(shell, now_ns)
        engine_id = self._house.engine_id
        self._house.state.write(lambda c: add_equity(c, engine_id, point))

    def beat(self, now_ns: int) -> EngineBeat:
        """Return the heartbeat with the figures of the last second."""
        house = self._house
        return EngineBeat(
            state=house.phase,
            heartbeat_ns=now_ns,
            started_ns=house.started_ns,
            pid=os.getpid(),
            version=VERSION,
            latched=house.watch.taken.is_set(),
            detail=self._detail(now_ns),
        )

    def _detail(self, now_ns: int) -> dict[str, Any]:
        house = self._house
        reasons = {
            str(account): list(shell.desk.executor.reasons)
            for account, shell in house.shells.items()
            if not shell.desk.executor.healthy
        }
        recorder = house.recorder
        return {
            **house.meter.take(),
            "journal_waiting": recorder.seq - recorder.durable_seq,
            "journal_seq": recorder.seq,
            "projected_seq": house.projector.seq,
            "requests_under_way": sum(s.sender.under_way for s in house.shells.values()),
            "state_waiting": house.state.waiting,
            "feed_age_ms_max": self._feed_age_ms(now_ns),
            "feeds": {name: tell(now_ns) for name, tell in house.feeds.items()},
            "not_placing": reasons,
            "latches": self._latches(),
            "refusals": self._refusals(),
            "receipt": None if house.receipt is None else house.receipt.sentence(),
            "settings_version": house.settings.version,
            "latch_reason": self._latch_reason(),
            "watching": self._watching(),
            "left": self._left(),
            "books": self._books(),
            "strategies": self._strategies,
            "unlock_key": house.unlock_key,
        }

    def _latch_reason(self) -> str:
        """Return who set the latch and why, as risk knows it; empty while it is not set."""
        shells = self._house.shells.values()
        return next(
            (why for s in shells if (why := s.desk.executor.gate.breakers.latch_reason)), ""
        )

    def _watching(self) -> dict[str, list[str]]:
        """Return the instruments each bot evaluates."""
        return {
            name: sorted(map(str, seat.bot.cells))[:WATCHED_MAX]
            for name, seat in self._house.seats.items()
        }

    def _left(self) -> dict[str, Any]:
        """Return what the last plan of each watched instrument left over, and risk's no."""
        found: dict[str, Any] = {}
        for seat in self._house.seats.values():
            for key in seat.bot.cells:
                left, denied = seat.shell.desk.executor.explain(key)
                if (left or denied) and len(found) < WATCHED_MAX:
                    found[key] = {
                        "left": [(r.reason, r.side, r.price, r.size) for r in left],
                        "denied": denied and denied.reason,
                        "numbers": dict(denied.numbers) if denied else {},
                    }
        return found

    def _latches(self) -> list[dict[str, Any]]:
        """Return the scoped KILLs that nobody has released yet."""
        return [
            {"account": str(account), "covers": str(hold), **msgspec.to_builtins(hold)}
            for account, shell in self._house.shells.items()
            for hold in shell.desk.executor.holds
        ]

    def _refusals(self) -> list[str]:
        house = self._house
        found = (house.recorder.failure, house.state.failure, house.projector.failure)
        return [str(failure) for failure in found if failure is not None]

    def _feed_age_ms(self, now_ns: int) -> float | None:
        """Return the age of the oldest proof of a watched book, None where none is watched."""
        ages = [
            age
            for seat in self._house.seats.values()
            for key in seat.bot.cells
            if (view := seat.shell.desk.cache.views.get(key)) is not None
            and (age := view.age_ns(now_ns)) is not None
        ]
        return max(ages) / MS if ages else None

    def _books(self) -> dict[str, Any]:
        """Return the top of the books that are watched."""
        books: dict[str, Any] = {}
        for seat in self._house.seats.values():
            for key in seat.bot.cells:
                view = seat.shell.desk.cache.views.get(key)
                if view is None or len(books) >= BOOKS_MAX:
                    continue
                book = view.book
                books[key] = {
                    "bids": [(p, book.bids[p]) for p in book.bid_prices[: -LEVELS - 1 : -1]],
                    "asks": [(p, book.asks[p]) for p in book.ask_prices[:LEVELS]],
                    "trusted": view.trusted,
                }
        return books


def _bot(seat: BotRunner) -> BotSeen:
    bot = seat.bot
    return BotSeen(
        name=bot.name,
        mode=seat.shell.desk.executor.mode,
        account=bot.account,
        strategy=seat.settings.strategy,
        state=bot.state,
        error=bot.error,
        capital_micro=bot.capital_micro,
        evaluations=bot.evaluations,
    )


def equity_of(shell: AccountRunner, now_ns: int) -> EquityPoint:
    """Return an account's equity now."""
    executor = shell.desk.executor
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
    )
