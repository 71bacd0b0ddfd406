"""More accounts in one engine: each with a line, bots and a truth of its own at the exchange.

The judges of single orders watch the account they stand with; what is judged of the crowd is what
only many accounts can break: that a KILL's zero is the zero of all and proven within seconds, that
no turn of the loop is the turn of many, and that at rest each has what the exchange says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from engine.domain.decisions import Decision, Planned
from engine.domain.effects import PlaceOrder
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg
from engine.domain.settings import AccountSettings, BotSettings
from engine.executor.executor import Executor
from engine.lab.simulate.accounts import account_of, bots_of
from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.faults import Faults
from engine.lab.simulate.fee_assets import FeesIn
from engine.lab.simulate.network import Later, Network
from engine.lab.simulate.process import Process
from engine.lab.simulate.venue_side import VenueSide
from engine.lab.simulate.venue_truth import Speak
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.timeline import ExchangeOutbox

S = 1_000_000_000
KILL_NS_MAX = 10 * S
"""How long a KILL of all may take to be proven in a world that is well."""


class Companion:
    """One account of the crowd."""

    def __init__(
        self, name: str, exchange: DemoExchange, faults: Faults, random: Random, later: Later
    ) -> None:
        self.settings: AccountSettings = account_of(name, random)
        self.id = AccountId(name)
        exchange.open_account(self.id, round(self.settings.starting_cash * 1_000_000))
        self.side = VenueSide(exchange, self.id, faults, random, fees_in=FeesIn.QUOTE)
        self.network: Network | None = None
        """The line of the life that goes on now."""
        self._faults = faults
        self._random = random
        self._later = later

    def connected(self, process: Process) -> Network:
        """Return the line of a new life."""
        self.network = Network(
            self.side,
            process,
            faults=self._faults,
            random=self._random,
            later=self._later,
            leaves=lambda _: None,
        )
        return self.network

    def bots(self, groups: Sequence[str | list[InstrumentId]]) -> dict[str, BotSettings]:
        """Return its bots, by names of their own."""
        made = bots_of(self.settings, groups, self._random, makers=False)
        named = {f"{self.id}-{name}": bot for name, bot in made.items()}
        return {name: bot.model_copy(update={"name": name}) for name, bot in named.items()}

    def differences(self, executor: Executor) -> list[str]:
        """Return in what the exchange and the engine differ, and what is under way."""
        ledger, exchange = executor.ledger, self.side.exchange
        found = [f"{one.title} has no end" for one in executor.wallet.state.operations.values()]
        theirs = {
            (key, leg): size
            for key, leg, size in exchange.positions(self.id)
            if size and _pays(exchange, key, leg)
        }
        ours = {
            (key, leg): size
            for key, held in ledger.state.holdings.items()
            for leg in ledger.state.instruments[key].product.legs
            if (size := (of := held.leg(leg)).settled + of.pending + of.redeemable)
        }
        wallet, state = exchange.wallet(self.id), ledger.state
        cash, mine = (
            wallet.cash + wallet.pending,
            state.cash_settled_micro + state.cash_pending_micro,
        )
        if ours != theirs:
            found.append(f"the engine's tokens are {ours}, the exchange's {theirs}")
        if cash != mine:
            found.append(f"the engine's cash is {mine}, the exchange's {cash}")
        return found


def _pays(exchange: DemoExchange, key: InstrumentId, leg: Leg) -> bool:
    payout = exchange.order_entry.markets[key].payout
    return payout is None or (1_000_000 - payout if leg is Leg.NO else payout) > 0


class HasExchange(Protocol):
    """A world, as companions see it."""

    exchange: DemoExchange
    faults: Faults

    def later(self, at_ns: int, act: Callable[[], None]) -> None:
        """Do something at a time."""


def companions(world: HasExchange, name: str, count: int, random: Random) -> list[Companion]:
    """Return so many accounts; nothing is drawn for none."""
    return [
        Companion(
            f"{name}-{number}",
            world.exchange,
            world.faults,
            Random(random.getrandbits(64)),  # noqa: S311 - a simulation, not a secret
            world.later,
        )
        for number in range(count)
    ]


class Companions:
    """The companions of one account; there may be none."""

    def __init__(self, companions: Sequence[Companion]) -> None:
        self.companions = {one.id: one for one in companions}
        self._bots: Mapping[BotId, AccountId] = {}
        self._turn = -1
        self._planned: set[AccountId] = set()
        self._killed_ns: int | None = None

    def settings(
        self, groups: Sequence[str | list[InstrumentId]]
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the settings of accounts and bots."""
        bots = dict[str, BotSettings]()
        for one in self.companions.values():
            bots |= one.bots(groups)
        self._bots = {BotId(name): AccountId(bot.account) for name, bot in bots.items()}
        accounts: dict[str, object] = {
            str(name): one.settings.model_dump(mode="json", exclude_none=True)
            for name, one in self.companions.items()
        }
        return accounts, {name: bot.model_dump(mode="json") for name, bot in bots.items()}

    def connected(self, process: Process) -> dict[AccountId, Network]:
        """Return the lines of a new life."""
        return {name: one.connected(process) for name, one in self.companions.items()}

    def owns(self, message: object) -> bool:
        """Say whether a record is about one of its accounts."""
        of = message.order if isinstance(message, PlaceOrder) else message
        return getattr(of, "account", None) in self.companions

    def reports(self, outbox: ExchangeOutbox) -> None:
        """Let the exchange's reports leave for whoever listens."""
        for name, one in self.companions.items():
            for event in one.side.take() if outbox.reports[name] else ():
                if one.network is not None:
                    one.network.report(event)

    # -- judges ------------------------------------------------------------------------------------

    def decided(self, said: Decision | Planned, turn: int, speak: Speak) -> None:
        """See that a turn of the loop is the turn of one account, unless it is a KILL of all."""
        if turn != self._turn:
            self._turn, self._planned = turn, set()
        owner = self._bots.get(said.bot) if isinstance(said, Decision) else None
        if owner is not None:
            self._planned.add(owner)
            if len(self._planned) > 1:
                speak("slices", f"one turn of the loop is that of {sorted(self._planned)}")

    def killed(self, now_ns: int) -> None:
        """Note that a person asks for a KILL in a world that is well."""
        self._killed_ns = now_ns

    def judge_proof(self, now_ns: int, speak: Speak) -> None:
        """See that a proof is true of every account, and came in time."""
        for name, one in self.companions.items():
            if one.side.live() or one.side.in_flight:
                live = [order.identity for order in one.side.live()]
                speak("proof", f"zero is proven, and {live} of {name} rest or fly")
        began_ns, self._killed_ns = self._killed_ns, None
        if began_ns is not None and now_ns - began_ns > KILL_NS_MAX and self.companions:
            speak("kill", f"a KILL was proven after {(now_ns - began_ns) / S:.1f} s")

    def settled(self, run: EngineRun) -> bool:
        """Say whether every account has what the exchange says."""
        return not any(self._differences(run).values())

    def rest(self, run: EngineRun, speak: Speak) -> None:
        """Compare at rest: what was sold and bought, and who reserves what."""
        for name, found in self._differences(run).items():
            executor = run.executor_of(name)
            executor.ledger.check()
            for text in found:
                speak("inventory", f"{name}: {text}")
            if executor.open_and_unknown != (0, 0):
                speak("ends", f"{name}: {executor.open_and_unknown} orders live or are unknown")

    def _differences(self, run: EngineRun) -> dict[AccountId, list[str]]:
        return {
            name: one.differences(run.executor_of(name)) for name, one in self.companions.items()
        }
