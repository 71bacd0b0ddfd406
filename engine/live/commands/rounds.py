"""Rounds: what a running engine looks at every so often, with what it found, for the Jobs page.

A round reads and says. It changes nothing: accounts ask their venues by themselves, each minute for
money and positions, and settle what they doubt; a round says how that stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from engine.domain.bots import AT_REST, BotState
from engine.domain.commands.rounds import RunRound
from engine.domain.instruments import MANUAL
from engine.domain.money import money_text
from engine.domain.orders import OrderState
from engine.domain.settings import capital_excess
from engine.errors import BadInput
from engine.live.commands.registry import Done, command, part
from engine.live.engine import Engine
from engine.live.figures import capital_of
from engine.runtime.account_runner import AccountRunner
from engine.runtime.aids import Tolerates
from storage.phases import RUNNING
from storage.rounds import RoundSeen, put_rounds

SECOND_NS = 1_000_000_000
TEXT_LENGTH_MAX = 1_000
COMPARED_NS_MAX = 180 * SECOND_NS
"""Accounts ask for balances each minute: one that was not answered for three is named."""


class RoundFound(NamedTuple):
    """What one look found: sentences a person should read, and how much was looked at."""

    wrong: list[str]
    looked: str


class Round(NamedTuple):
    """One round. `look` runs on the loop's thread and must be quick."""

    every_s: int
    look: Callable[[Engine, int], RoundFound]


@part
class Rounds:
    """The rounds of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[str, RoundSeen] = {}
        engine.watchers.append(self.watch)

    def watch(self, now_ns: int) -> None:
        """Make the rounds that are due, one a call; after a sleep or a set clock each once."""
        if self._engine.phase != RUNNING:
            return
        for name, one in ROUNDS.items():
            seen = self._seen.get(name)
            # A clock that was set back must not silence a round.
            if seen is None or not now_ns < seen.next_ns <= now_ns + one.every_s * SECOND_NS:
                self._make(name, now_ns)
                return

    @command(RunRound)
    def run(self, given: RunRound, _who: str) -> Done:
        """Make one round now; answered with what it found."""
        if given.round not in ROUNDS:
            raise BadInput(f"there is no round {given.round!r}; there are: {', '.join(ROUNDS)}")
        return Done(self._make(given.round, self._engine.clock.now_ns()).text)

    def _make(self, name: str, now_ns: int) -> RoundSeen:
        one, clock = ROUNDS[name], self._engine.clock
        began_ns, why = clock.now_ns(), list[str]()
        found = RoundFound(why, "")
        # What only looks must never end trading.
        with Tolerates(why.append, lambda error: f"it could not look: {error!r}"):
            found = one.look(self._engine, now_ns)
        seen = RoundSeen(
            name=name,
            every_s=one.every_s,
            last_ns=now_ns,
            well=not found.wrong,
            took_us=(clock.now_ns() - began_ns) // 1_000,
            text="; ".join(found.wrong or [found.looked])[:TEXT_LENGTH_MAX],
            next_ns=now_ns + one.every_s * SECOND_NS,
        )
        self._seen[name] = seen
        self._engine.state.put_row("rounds", put_rounds, tuple(self._seen.values()))
        return seen


def _accounts(engine: Engine) -> Iterator[tuple[str, AccountRunner]]:
    """Give each open account with its mode before its name."""
    for account, runner in sorted(engine.runners.items()):
        yield f"{runner.core.executor.mode.upper()} {account}", runner


def health(engine: Engine, now_ns: int) -> RoundFound:
    """Look at files, feeds, accounts and bots."""
    files = {
        "journal": engine.recorder.failure,
        "state": engine.state.failure,
        "projection": engine.projector.failure,
    }
    wrong = [f"{name}: {failure}" for name, failure in files.items() if failure]
    feeds = {name: tell(now_ns) for name, tell in engine.feeds.items()}
    wrong += [f"feed {name}: {one.trouble}" for name, one in feeds.items() if one.trouble]
    for name, runner in _accounts(engine):
        wrong += [f"{name} places nothing: {why}" for why in runner.core.executor.reasons]
    wrong += [
        f"bot {name}: {one.bot.error}"
        for name, one in engine.bot_runners.items()
        if one.bot.state is BotState.ERROR
    ]
    looked = (
        f"{_count(len(engine.runners), 'account')}, {_count(len(feeds), 'feed')}, "
        f"{_count(len(engine.bot_runners), 'bot')} and {_count(len(files), 'file')} are well"
    )
    return RoundFound(wrong, looked)


def reconciliation(engine: Engine, now_ns: int) -> RoundFound:
    """Look at how each account's ledger compares with its venue."""
    wrong, said = [], []
    for name, runner in _accounts(engine):
        executor = runner.core.executor
        known = executor.venue_cash
        wrong += [f"{name}: {why}" for why in executor.to_release]
        age_ns = None if known is None else now_ns - known[1]
        if executor.recovering:
            wrong.append(f"{name}: its venue has not answered everything since the start")
        elif age_ns is None or age_ns > COMPARED_NS_MAX:
            when = "never" if age_ns is None else f"{age_ns // SECOND_NS:,} s ago"
            wrong.append(f"{name}: the venue told its balance last: {when}")
        elif known is not None:
            said.append(
                f"{name}: the venue has {money_text(known[0])} {executor.currency}, "
                f"{age_ns // SECOND_NS:,} s ago, "
                f"{_count(len(executor.ledger.held), 'market')} held: no difference"
            )
    return RoundFound(wrong, "; ".join(said) or "no account is open")


def stale_orders(engine: Engine, now_ns: int) -> RoundFound:
    """Look for orders that are unknown, or rest for an owner that does not run."""
    wrong, resting, oldest_ns = [], 0, 0
    at_work = {name for name, one in engine.bot_runners.items() if one.bot.state not in AT_REST}
    for name, runner in _accounts(engine):
        orders = runner.core.executor.live_in(None)
        resting += len(orders)
        oldest_ns = max([oldest_ns, *(now_ns - one.order.created_ns for one in orders)])
        unknown = [one.order.id for one in orders if one.state is OrderState.UNKNOWN]
        if unknown:
            wrong.append(f"{name}: {_count(len(unknown), 'order')} unknown, e.g. {unknown[0]}")
        left = sorted({one.order.bot for one in orders if one.order.bot not in {*at_work, MANUAL}})
        wrong += [f"{name}: orders of {bot} rest, which does not run" for bot in left]
    oldest = f", the oldest for {oldest_ns // SECOND_NS:,} s" if resting else ""
    return RoundFound(wrong, f"{_count(resting, 'order')} at work{oldest}; none is stale")


def rebalance(engine: Engine, now_ns: int) -> RoundFound:
    """Look whether bots' capital fits each account's equity, and whether pairs tie up cash."""
    wrong, said = [], []
    document = engine.settings.document
    for name, runner in _accounts(engine):
        executor, account = runner.core.executor, document.accounts.get(runner.account)
        if account is None or executor.recovering:
            continue
        bots = [
            one.settings
            for one in engine.bot_runners.values()
            if one.runner is runner and one.bot.state not in AT_REST
        ]
        equity = executor.equity_micro(now_ns)
        if why := capital_excess(account, bots, equity):
            wrong.append(f"{name}: {why}")
        pairs = capital_of(executor, now_ns).pairs_worth_micro
        if pairs:
            wrong.append(
                f"{name}: pairs worth {money_text(pairs)} {executor.currency} could be merged "
                "into cash"
            )
        said.append(f"{name}: {_count(len(bots), 'bot')} within its equity, no pairs")
    return RoundFound(wrong, "; ".join(said) or "no account is open")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


ROUNDS = {
    "health": Round(30, health),
    "reconciliation": Round(60, reconciliation),
    "stale-orders": Round(120, stale_orders),
    "rebalance": Round(900, rebalance),
}
