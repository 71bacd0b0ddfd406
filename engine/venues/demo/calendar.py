"""The calendar: the latent world moves here; series roll, events run, outcomes are decided.

An actor of the exchange. Each step moves the reference price and publishes it; on whole seconds the
oracle prints, running markets end, coming ones start with the oracle's print as their strike, and a
market over is resolved by the mean of the oracle's last prints, never by its own price.
"""

from __future__ import annotations

from math import sqrt
from random import Random

import msgspec

from engine.domain.events import ReferencePriced
from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind
from engine.errors import BadInput, BrokenInvariant, ConfigError
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.profiles import EventSpec, Profile, SeriesSpec
from engine.venues.demo.reference import NORMAL, ORACLE_KEY, REFERENCE_KEY, Price, PriceState, S
from engine.venues.demo.snapshot import RngState, rng_state, set_rng
from engine.venues.demo.timeline import TimelineEntry

DAY_S = 86_400.0
HISTORY_STEPS = 16
"""How far back somebody slow may look."""
YES_MICRO = 1_000_000


class SeriesWindow(msgspec.Struct, kw_only=True):
    """One market of a series. `outcome_ns` = when it will be resolved."""

    instrument: InstrumentId
    series: int
    starts_ns: int
    ends_ns: int
    strike_e8: int | None = None
    final_e8: int | None = None
    chances: list[float] = []
    """The true probability at the last steps, newest last."""
    coming: float = 0.5
    """What it would be if the price stood already where it is going."""


class Happening(msgspec.Struct, kw_only=True):
    """One event market: p = Φ(x / √(share of its life that is left)), a martingale to 0 or 1."""

    instrument: InstrumentId
    event: int
    count: int
    starts_ns: int
    ends_ns: int
    x: float
    chances: list[float] = []


class CalendarState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that survives."""

    rng: RngState
    price: PriceState
    windows: list[SeriesWindow]
    happenings: list[Happening]


class Calendar:
    """The world's markets in time."""

    name = "calendar"

    def __init__(self, exchange: DemoExchange, profile: Profile, rng: Random) -> None:
        if S % profile.step_ns or profile.event_step_ns % profile.step_ns:
            raise ConfigError("demo profile: a step must divide a second and the events' step")
        self._exchange = exchange
        self._profile = profile
        self._rng = rng
        # The world is as old as the oldest running window, so that its strike is a real print.
        period = max((series.period_ns for series in profile.series), default=S)
        now_ns = exchange.now_ns
        self._born_ns = now_ns - now_ns % period
        self.price = Price(profile.price, rng, self._born_ns)
        self.windows: list[SeriesWindow] = []
        self.happenings: list[Happening] = []
        self.by_name: dict[InstrumentId, SeriesWindow | Happening] = {}

    # -- beginning ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the world at the exchange's present moment."""
        now_ns, step_ns = self._exchange.now_ns, self._profile.step_ns
        at_ns = self._born_ns
        while at_ns <= now_ns:
            self._move(at_ns, quiet=True)
            at_ns += step_ns
        for event in range(len(self._profile.events)):
            self._list_event(event, 1, now_ns)
        self._exchange.timeline.set(at_ns, TimelineEntry.ACTOR, self.name)

    def wake(self, topic: int, now_ns: int) -> None:
        del topic
        self._move(now_ns, quiet=False)
        self._exchange.timeline.set(now_ns + self._profile.step_ns, TimelineEntry.ACTOR, self.name)

    def _move(self, now_ns: int, *, quiet: bool) -> None:
        profile = self._profile
        self.price.step(now_ns, profile.step_ns / S)
        if not quiet:
            self._publish(REFERENCE_KEY, self.price.reference_e8(), now_ns)
        if now_ns % S == 0:
            value = self.price.print_oracle(now_ns)
            if not quiet:
                self._publish(ORACLE_KEY, value, now_ns)
            self._roll(value, now_ns)
        for window in self.windows:
            if window.strike_e8 is not None and window.final_e8 is None:
                spec = profile.series[window.series]
                args = (window.strike_e8, window.ends_ns, spec.window_ns)
                _push(window.chances, self.price.chance_above(*args))
                window.coming = self.price.chance_above(*args, ahead=True)
        if now_ns % profile.event_step_ns == 0:
            self._drift(now_ns)

    def _publish(self, key: str, price_e8: int, now_ns: int) -> None:
        event = ReferencePriced(key=key, price_e8=price_e8, exchange_ns=now_ns)
        self._exchange.outbox.publish(event)

    # -- series ------------------------------------------------------------------------------------

    def _roll(self, oracle_e8: int, now_ns: int) -> None:
        """End, decide, start and list what this second asks for."""
        listing = self._exchange.listing
        for window in list(self.windows):
            spec = self._profile.series[window.series]
            if window.ends_ns == now_ns:
                window.final_e8 = self.price.twap_e8(now_ns - spec.window_ns)
                listing.close(window.instrument)
            elif window.final_e8 is not None and now_ns >= window.ends_ns + spec.resolve_after_ns:
                self._decide(window, window.final_e8)
        for series, spec in enumerate(self._profile.series):
            if now_ns % spec.period_ns:
                continue
            if not any(item.series == series and item.ends_ns > now_ns for item in self.windows):
                for turn in range(spec.ahead):
                    self._list_window(series, now_ns + turn * spec.period_ns)
            for window in self.windows:
                if window.series == series and window.starts_ns == now_ns:
                    window.strike_e8 = oracle_e8
                    listing.prove_strike(window.instrument, oracle_e8, f"{ORACLE_KEY} at the start")
            self._list_window(series, now_ns + spec.ahead * spec.period_ns)

    def _decide(self, window: SeriesWindow, final_e8: int) -> None:
        if window.strike_e8 is None:
            raise BrokenInvariant(f"{window.instrument} ended without a strike")
        self.windows.remove(window)
        del self.by_name[window.instrument]
        spec = self._profile.series[window.series]
        payout = YES_MICRO if final_e8 >= window.strike_e8 else 0
        source = f"{ORACLE_KEY} {spec.window_ns // S} s mean {final_e8}"
        self._exchange.listing.resolve(window.instrument, payout, source)

    def _list_window(self, series: int, starts_ns: int) -> None:
        spec = self._profile.series[series]
        name = InstrumentId(f"demo:{spec.name}-{starts_ns // S}")
        window = SeriesWindow(
            instrument=name,
            series=series,
            starts_ns=starts_ns,
            ends_ns=starts_ns + spec.period_ns,
            chances=[0.5],
        )
        self.windows.append(window)
        self.by_name[name] = window
        self._exchange.listing.add(_series_instrument(self._profile, spec, window))

    # -- events ------------------------------------------------------------------------------------

    def _list_event(self, event: int, count: int, now_ns: int) -> None:
        spec = self._profile.events[event]
        name = InstrumentId(f"demo:{spec.name}-{count}")
        step_ns = self._profile.event_step_ns
        starts_ns = now_ns - now_ns % step_ns
        life_ns = max(int(spec.days * DAY_S) * S // step_ns, 1) * step_ns
        happening = Happening(
            instrument=name,
            event=event,
            count=count,
            starts_ns=starts_ns,
            ends_ns=starts_ns + life_ns,
            x=NORMAL.inv_cdf(spec.chance),
            chances=[spec.chance],
        )
        self.happenings.append(happening)
        self.by_name[name] = happening
        self._exchange.listing.add(_event_instrument(self._profile, spec, happening))

    def _drift(self, now_ns: int) -> None:
        for happening in list(self.happenings):
            life = happening.ends_ns - happening.starts_ns
            share = min(self._profile.event_step_ns / life, 1.0)
            happening.x += sqrt(share) * self._rng.gauss(0, 1)
            left = (happening.ends_ns - now_ns) / life
            if left > 0:
                _push(happening.chances, NORMAL.cdf(happening.x / sqrt(left)))
            else:
                self._finish(happening, now_ns)

    def _finish(self, happening: Happening, now_ns: int) -> None:
        self.happenings.remove(happening)
        del self.by_name[happening.instrument]
        payout = YES_MICRO if happening.x > 0 else 0
        self._exchange.listing.resolve(happening.instrument, payout, "demo-referee")
        self._list_event(happening.event, happening.count + 1, now_ns)

    # -- what the crowd may know -------------------------------------------------------------------

    def chance(self, instrument: InstrumentId, steps_ago: int, over: int = 1) -> float | None:
        """Return the true probability some steps ago, None where the market is over.

        `over` > 1 gives the mean of so many steps, that one the newest.
        """
        item = self.by_name.get(instrument)
        if item is None:
            return None
        newest = max(len(item.chances) - 1 - steps_ago, 0)
        seen = item.chances[max(newest + 1 - over, 0) : newest + 1]
        return sum(seen) / len(seen)

    def coming(self, instrument: InstrumentId) -> float:
        """Return where the probability is going, as far as anybody knows: an event's is today's."""
        item = self.by_name[instrument]
        return item.coming if isinstance(item, SeriesWindow) else item.chances[-1]

    # -- surviving ---------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return everything that must survive."""
        state = CalendarState(
            rng=rng_state(self._rng),
            price=self.price.snapshot(),
            windows=self.windows,
            happenings=self.happenings,
        )
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            saved = msgspec.msgpack.decode(state, type=CalendarState)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"the demo calendar cannot be read: {error}") from error
        set_rng(self._rng, saved.rng)
        self.price.restore(saved.price)
        self.windows = saved.windows
        self.happenings = saved.happenings
        self.by_name = {window.instrument: window for window in saved.windows}
        self.by_name |= {item.instrument: item for item in saved.happenings}


def _push(chances: list[float], value: float) -> None:
    chances.append(value)
    if len(chances) > HISTORY_STEPS:
        del chances[0]


def _series_instrument(profile: Profile, spec: SeriesSpec, window: SeriesWindow) -> Instrument:
    plain = _instrument(profile, window.instrument, spec.fee_ppm, spec.rebate_ppm)
    return msgspec.structs.replace(
        plain,
        market=f"demo:{spec.name}",
        series=spec.name,
        starts_ns=window.starts_ns,
        closes_ns=window.ends_ns,
        taker_delay_ns=spec.taker_delay_ns,
    )


def _event_instrument(profile: Profile, spec: EventSpec, happening: Happening) -> Instrument:
    plain = _instrument(profile, happening.instrument, spec.fee_ppm, spec.rebate_ppm)
    return msgspec.structs.replace(plain, closes_ns=happening.ends_ns)


def _instrument(profile: Profile, name: InstrumentId, fee_ppm: int, rebate_ppm: int) -> Instrument:
    """Return a binary with Polymarket's units: 1-cent tick, sizes of two decimals."""
    return Instrument(
        id=name,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
        size_min=profile.size_min,
        notional_min_micro=profile.notional_min_micro,
        fees=FeeSchedule(taker_rate_ppm=fee_ppm, exponent=1, rebate_rate_ppm=rebate_ppm),
        tokens=(f"{name}:yes", f"{name}:no"),
    )
