"""Which account hears which of Polymarket's markets and prices: what its bots want or it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from engine.domain.events import Event
from engine.domain.instruments import Instrument, InstrumentId
from engine.errors import BadInput
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import Services
from engine.venues.polymarket.market.core import PREFIX

KEYS_MAX = 5_000
"""Markets, series and prices heard at once."""

Wants = tuple[tuple[InstrumentId, ...], tuple[str, ...], tuple[str, ...]]
"""(instruments by name, series, keys of reference prices)."""


def wants_of(services: Services, runner: AccountRunner) -> Wants:
    """Return what an account's bots want, and what it holds or has orders in."""
    named: dict[InstrumentId, None] = {}
    series: dict[str, None] = {}
    prices: dict[str, None] = {}
    for bot_runner in services.bot_runners.values():
        if bot_runner.runner is runner:
            named |= dict.fromkeys(sorted(bot_runner.bot.instruments))
            series |= dict.fromkeys(sorted(bot_runner.bot.series))
            prices |= dict.fromkeys(bot_runner.bot.strategy.references)
    executor = runner.desk.executor
    named |= dict.fromkeys(executor.ledger.held)
    named |= dict.fromkeys(executor.concerned())
    here = tuple(name for name in named if name.startswith(PREFIX))
    return here, tuple(series), tuple(prices)


class MarketDataListener(Protocol):
    """Who is told: an account, or a recording."""

    def market(self, events: Iterable[Event], now_ns: int) -> object:
        """Take market events of one moment."""
        ...


class Subscriber:
    """A recording's wants, and where it is told. Named by nobody's bots, it keeps markets heard."""

    def __init__(
        self, named: tuple[InstrumentId, ...], series: tuple[str, ...], to: MarketDataListener
    ) -> None:
        self.named = named
        self.series = series
        self._to = to

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Pass on market events of one moment."""
        self._to.market(events, now_ns)


class Routes:
    """Instrument → accounts that hear of it, and the same for prices."""

    def __init__(self) -> None:
        self._named: dict[MarketDataListener, dict[InstrumentId, None]] = {}
        self._series: dict[MarketDataListener, dict[str, None]] = {}
        self._prices: dict[MarketDataListener, dict[str, None]] = {}
        self._listed: dict[InstrumentId, Instrument] = {}
        self._hearers: dict[InstrumentId, tuple[MarketDataListener, ...]] = {}
        self._behind: list[tuple[MarketDataListener, InstrumentId]] = []

    def want(
        self,
        runner: MarketDataListener,
        named: tuple[InstrumentId, ...],
        series: tuple[str, ...],
        prices: tuple[str, ...],
    ) -> None:
        """Take what an account wants now.

        Raises BadInput, having changed nothing, where all want more than `KEYS_MAX` together.
        """
        wants = (dict.fromkeys(named), dict.fromkeys(series), dict.fromkeys(prices))
        if wants == (self._named.get(runner), self._series.get(runner), self._prices.get(runner)):
            return
        tables = (self._named, self._series, self._prices)
        others = (table[one] for table in tables for one in table if one is not runner)
        if len(set().union(*wants, *others)) > KEYS_MAX:
            raise BadInput(f"more than {KEYS_MAX} markets, series and prices are wanted at once")
        self._named[runner], self._series[runner], self._prices[runner] = wants
        for name in list(self._hearers):
            self._route(name)

    def keep(self, hearers: Sequence[MarketDataListener]) -> None:
        """Let everybody else hear nothing any more."""
        for gone in [one for one in self._named if one not in hearers]:
            self.want(gone, (), (), ())
            del self._named[gone], self._series[gone], self._prices[gone]

    def place(self, instrument: Instrument) -> None:
        """Take an instrument that was found; whoever wants it hears of it from now on."""
        self._listed[instrument.id] = instrument
        self._hearers[instrument.id] = self._wanting(instrument)

    def _route(self, name: InstrumentId) -> None:
        """Route an instrument anew; who wants it only now is behind."""
        before, now = self._hearers[name], self._wanting(self._listed[name])
        self._behind += [(runner, name) for runner in now if runner not in before]
        if now:
            self._hearers[name] = now
        else:
            del self._hearers[name], self._listed[name]

    def _wanting(self, instrument: Instrument) -> tuple[MarketDataListener, ...]:
        series = instrument.series
        return tuple(
            runner
            for runner, named in self._named.items()
            if instrument.id in named or (series and series in self._series[runner])
        )

    def behind(self) -> list[tuple[MarketDataListener, InstrumentId]]:
        """Hand out, once, who must be told of what in full."""
        behind, self._behind = self._behind, []
        return behind

    def wanted(self, name: InstrumentId) -> bool:
        """Say whether anybody hears of an instrument."""
        return bool(self._hearers.get(name))

    def hearers(self, name: InstrumentId) -> tuple[MarketDataListener, ...]:
        """Return who hears of an instrument."""
        return self._hearers.get(name, ())

    def priced(self, key: str) -> tuple[MarketDataListener, ...]:
        """Return who hears of a price."""
        return tuple(runner for runner, keys in self._prices.items() if key in keys)

    @property
    def named(self) -> tuple[InstrumentId, ...]:
        """Every instrument anybody names."""
        return tuple({name: None for named in self._named.values() for name in named})

    @property
    def series(self) -> tuple[str, ...]:
        """Every series anybody names."""
        return tuple({name: None for series in self._series.values() for name in series})

    @property
    def prices(self) -> tuple[str, ...]:
        """Every reference price anybody names."""
        return tuple({key: None for prices in self._prices.values() for key in prices})
