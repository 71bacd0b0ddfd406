"""The replay driver: a recording through the same executor, risk, planner and gateway as live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter, itemgetter
from threading import get_ident

import msgspec

from engine.bots.bot import Bot, mark_of
from engine.bots.core import AccountCore
from engine.bots.slices import SECOND_NS
from engine.caches.markets import MarketCache
from engine.clock import WallClock
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookMarked,
    CashMoved,
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    OrderFilled,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import AccountId, InstrumentId, Leg, Mode
from engine.domain.losses import yes_space
from engine.domain.money import MICRO
from engine.domain.perpetual_events import FundingPaid, FundingSettled, PositionLiquidated
from engine.domain.settings import GatewaySettings, RiskLimits
from engine.errors import BadInput, BrokenInvariant
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.fills import mid_value_micro
from engine.executor.ledger import Ledger
from engine.gateway.core import GatewayCore
from engine.gateway.door import VenueCore
from engine.lab.pump import AFTER_NS, FORGET_AFTER_NS, Driver
from engine.lab.recordings.bar_files import InPieces, Piece
from engine.lab.recordings.door import Recording
from engine.lab.recordings.made_bars import EVENTS_A_BAR, Stretch
from engine.lab.replay.bar_lane import BarLane, CountingLane, CountRepeated
from engine.lab.replay.by_bot import results_by_bot
from engine.lab.replay.result import (
    FillWatch,
    MarketResult,
    ReplayResult,
    collecting_rarely,
    peak_rss_mb,
)
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.journal import Recorder
from engine.runtime.turn_watch import BUDGET_S, TurnWatch
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import PaperSettings

EQUITY_EVERY_NS = 60 * 1_000_000_000
BLOCK_EVENTS = 500
"""Events every replay takes in one go, after which progress is reported."""
BLOCK_PIECES = 4
"""The same of bars: each piece may be a thousand of them."""

EQUITY_POINTS_MAX = 100_000
"""69 days of minutes; a longer replay keeps every second point, then every fourth, and so on."""
_BASE = Leg.BASE


_OF_PLUGIN = attrgetter("of_plugin")


class Played(msgspec.Struct, kw_only=True):
    """What was played of a recording, and how long that took."""

    events: int = 0
    last_ns: int = 0
    torn: str = ""
    elapsed_s: float = 0.0


def play(
    replays: Sequence[Replay], recording: Recording, progress: Callable[[int, float], None]
) -> None:
    """Play a recording to its end, to every replay at once; none knows of the others.

    `progress(events, elapsed_s)` is called now and then. A recording that ends torn is played to
    where it ends, which each result's `torn` says. Raises BadInput where it tells nothing before.
    """
    started = time.perf_counter()
    played = Played()

    def report() -> None:
        progress(played.events, time.perf_counter() - started)

    if any(map(_OF_PLUGIN, replays)):
        cores = [replay.core for replay in replays]
        watch = TurnWatch(
            lambda: cores, None, clock=WallClock(), thread=get_ident(), budget_s=BUDGET_S
        )
        collecting = _both(watch)  # a strategy that loops stops its own bot, as live
    else:
        collecting = collecting_rarely()
    with collecting:
        _play_events(replays, recording, played, report)
        played.elapsed_s = time.perf_counter() - started
        if played.torn and not played.events:
            raise BadInput(played.torn)
        for replay in replays:
            replay.finish(played)


@contextmanager
def _both(watch: TurnWatch) -> Iterator[None]:
    with watch, collecting_rarely():
        yield


def _play_events(
    replays: Sequence[Replay], recording: Recording, played: Played, report: Callable[[], None]
) -> None:
    """Give every replay what the recording tells, to its end or to where it cannot be read on."""
    bars = isinstance(recording, InPieces)
    pieces = recording.pieces() if isinstance(recording, InPieces) else recording.events()
    while not played.torn:
        block: list[Piece] = []
        try:
            block.extend(islice(pieces, BLOCK_PIECES if bars else BLOCK_EVENTS))
        except BadInput as error:
            played.torn = str(error)  # what was read before stands in the block
        if not block:
            break
        times = _times(block) if bars else [*map(itemgetter(0), block)]  # type: ignore[arg-type]
        if not played.events:
            for replay in replays:
                replay.begin(times[0])
        _check_order(times, played)
        for replay in replays:
            if bars:
                replay.feed_bars(block)
            else:
                replay.feed(block)  # type: ignore[arg-type]
        played.events += sum(map(_events_of, block)) if bars else len(block)
        played.last_ns = times[-1]
        report()


def _times(block: Sequence[Piece]) -> list[int]:
    """Return the time of each event; of bars in one piece their first and their last."""
    times: list[int] = []
    for one in block:
        times += (one.start_ns, one.end_ns) if isinstance(one, Stretch) else one[:1]
    return times


def _events_of(piece: Piece) -> int:
    """Return how many events a piece of bars stands for."""
    return EVENTS_A_BAR * len(piece) if isinstance(piece, Stretch) else 1


def _check_order(times: list[int], played: Played) -> None:
    """Raise BrokenInvariant where time runs backwards."""
    times = [played.last_ns, *times]
    if times != sorted(times):
        back = next(at for at, now_ns in enumerate(times[1:]) if now_ns < times[at])
        raise BrokenInvariant(
            f"the recording's clock ran backwards at event {played.events + back}"
        )


class Replay:
    """One recording, one account, its bots. It is played once."""

    def __init__(
        self,
        *,
        recording: Recording,
        core: AccountCore,
        gateway: GatewayCore,
        venue: VenueCore,
        recorder: Recorder,
        cash_micro: int,
        start_ns: int | None = None,
        tick_ns: int = SECOND_NS,
        says: bool = True,
        repeat: CountRepeated | None = None,
    ) -> None:
        """`start_ns` = from when on the bots trade; None = from the first event on.

        `tick_ns` = how often the core looks at the clock: see `AccountCore`. Without `says`
        decisions that repeat themselves are counted and not given on: see `BarLane`. With `repeat`
        it receives how many of them follow one that was given on.
        """
        self._cash_micro = cash_micro
        self._start_ns = start_ns
        self._recording = recording
        self._executor = core.executor
        self._cache = core.cache
        self._bots = core.bots
        self._recorder = recorder
        self.core = core
        self._driver = Driver(
            core=self.core, gateway=gateway, venue=venue, recorder=recorder,
            placed=self._placed, filled=self._filled, seen=self._seen, moved=self._moved,
            at_rest=venue.at_rest if isinstance(venue, PaperVenue) else None,
        )  # fmt: skip
        self._says = says and repeat is None
        self._lane = BarLane(self._driver, core, says=says)
        if says and repeat is not None:
            self._lane = CountingLane(self._driver, core, repeat)
        self._every_ns = max(EQUITY_EVERY_NS, tick_ns)
        self._sample_ns = 0
        """When the equity is noted next: after the first event from then on."""
        self._closed: list[tuple[int, InstrumentId]] = []
        self._over: set[InstrumentId] = set()
        """Markets whose result is final: nothing of them is held any more."""
        self._marks: dict[InstrumentId, BookMarked] = {}
        """Of markets that were held when they were looked at last."""
        self._watch = FillWatch()
        self.result = ReplayResult()

    @property
    def of_plugin(self) -> bool:
        """Whether a bot's strategy is a plug-in's, which may loop."""
        for bot in self._bots:  # noqa: SIM110 a step of a generator would be one of each order
            if type(bot.strategy).__module__[:8] == "plugins.":
                return True
        return False

    def run(self, progress: Callable[[int, float], None]) -> ReplayResult:
        play((self,), self._recording, progress)
        return self.result

    # -- what `play` tells it ----------------------------------------------------------------------

    def begin(self, now_ns: int) -> None:
        executor = self._executor
        if self._start_ns is not None and self._start_ns <= now_ns:
            self._start_ns = None
        self._driver.start(now_ns, bots_run=self._start_ns is None)
        self._driver.deliver(
            CashMoved(
                account=executor.account, currency=executor.currency, amount_micro=self._cash_micro
            ),
            now_ns,
        )
        self.result.currency = executor.currency
        self.result.equity_start_micro = executor.ledger.state.cash_settled_micro

    def finish(self, played: Played) -> None:
        """Let what is under way come to its end, and count."""
        result = self.result
        result.torn, result.elapsed_s, result.events = played.torn, played.elapsed_s, played.events
        self._lane.leave()
        if played.events:
            self._driver.run_until(played.last_ns + AFTER_NS)
        self._finish(played.last_ns)

    def feed_bars(self, block: Sequence[Piece]) -> None:
        """Take what happened, in order; of bars those that change nothing take the lane."""
        events: list[tuple[int, Event]] = []
        for one in block:
            if isinstance(one, Stretch):
                self.feed(events)
                events = []
                self._feed_stretch(one)
            else:
                events.append(one)
        self.feed(events)

    def _feed_stretch(self, stretch: Stretch) -> None:
        """Let bars take the lane, and note equity at their ends; play what must be."""
        at, count, lane = 0, len(stretch), self._lane
        while at < count:
            if self._start_ns is not None or self._sample_ns < stretch.end_of(at):
                self.feed(stretch.made(at).events())
                at += 1
            else:
                end_ns, until_ns = stretch.end_of(at), 0
                if not self._says:
                    until_ns = self._sampled_until_ns(stretch, end_ns)
                taken, left = lane.take(stretch, at, until_ns)
                passed = taken - bool(left)
                if passed > 1 or (passed and left):
                    self._sample_bars(stretch, at, passed)
                elif passed and end_ns >= self._sample_ns:
                    self._sample(end_ns, lane.equity_micro)
                self.feed(left)
                at += taken

    def _sampled_until_ns(self, stretch: Stretch, end_ns: int) -> int:
        """Return until when each time at which equity is noted is the end of a bar, as this is."""
        off_ns = (self._sample_ns - end_ns) % stretch.step_ns
        return self._sample_ns if off_ns or self._every_ns % stretch.step_ns else stretch.end_ns

    def _sample_bars(self, stretch: Stretch, at: int, count: int) -> None:
        """Note the equity of bars that were taken at once, at the ends at which it is noted."""
        step_ns, last = stretch.step_ns, at + count
        while (first := -((stretch.start_ns - self._sample_ns) // step_ns) - 1) < last:
            stride = max(1, self._every_ns // step_ns)
            room = EQUITY_POINTS_MAX + 1 - len(self.result.equity)
            until = min(last, first + room * stride)
            noted = self._lane.equities_micro(stretch, first, until - first, stride)
            end_ns, every_ns = stretch.end_of(first), stride * step_ns
            times = range(end_ns, end_ns + len(noted) * every_ns, every_ns)
            self.result.equity += zip(times, noted, strict=True)
            self._sampled(times[-1])

    def feed(self, block: Sequence[tuple[int, Event]]) -> None:
        """Take events, each at its time, and note the equity once a minute."""
        if not block:
            return
        self._lane.leave()
        if self._start_ns is not None and block[-1][0] >= self._start_ns:
            start_ns, self._start_ns = self._start_ns, None
            before = [event for event in block if event[0] < start_ns]
            self.feed(before)
            self._driver.run_until(start_ns)
            self.core.start(start_ns)
            block = block[len(before) :]
        at, count = 0, len(block)
        # Of bars nearly every event is sampled: nothing here may grow with what is still to come.
        while at < count and block[-1][0] >= self._sample_ns:
            first = at
            while block[at][0] < self._sample_ns:
                at += 1
            now_ns, at = block[at][0], at + 1
            self._driver.play(block[first:at])
            self._sample(now_ns)
        self._driver.play(block[at:])

    def _seen(self, event: Event, now_ns: int) -> None:
        """Note which markets there are and which stamps were funded, and forget those long over."""
        if isinstance(event, FundingSettled):
            self.result.funding.on_settled(event)
        elif isinstance(event, InstrumentListed):
            instrument = event.instrument.id
            self.result.markets.setdefault(instrument, MarketResult(instrument=instrument))
            self.result.funding.perpetual |= event.instrument.product.signed
        elif isinstance(event, InstrumentResolved):
            market = self.result.markets.get(event.instrument)
            if market is not None:
                market.paid_micro = event.payout_yes_micro
                paid = event.payout_yes_micro / MICRO
                self.result.round_trips.on_resolved(event.instrument, paid, now_ns)
        elif isinstance(event, InstrumentClosed) and event.instrument in self.result.markets:
            self._closed.append((now_ns + FORGET_AFTER_NS, event.instrument))
            while self._closed and self._closed[0][0] <= now_ns:
                _, over = self._closed.pop(0)
                self._forget(over, now_ns)

    def _moved(self, event: Event, now_ns: int) -> None:
        """Count what the venue paid or took by itself."""
        result = self.result
        if isinstance(event, FundingPaid):
            result.funding.paid_micro += event.amount_micro
            result.markets[event.instrument].funding_micro += event.amount_micro
        elif isinstance(event, PositionLiquidated) and event.size:
            result.liquidations += 1
            terms = self._executor.ledger.state.instruments[event.instrument]
            size = abs(event.size) / 10**terms.size_decimals
            result.round_trips.on_fill(
                event.instrument,
                bought=event.size < 0,
                price=abs(event.value_micro) / MICRO / size,
                size=size,
                fee=event.fee_micro / MICRO,
                now_ns=now_ns,
            )

    def _forget(self, instrument: InstrumentId, now_ns: int) -> None:
        """Drop a market that is over; the executor keeps what it still holds, at its last mark."""
        self._settle_market(instrument, now_ns)
        if self._executor.forget(instrument):
            self._over.add(instrument)
        self._cache.forget(instrument)

    def _sample(self, now_ns: int, equity_micro: int | None = None) -> None:
        """Note the equity of this moment (None = ask for it), and when it is noted next."""
        if equity_micro is None:
            equity_micro = self._executor.equity_mid_micro(now_ns)
        if equity_micro is not None:
            self.result.equity.append((now_ns, equity_micro))
        self._sampled(now_ns)

    def _sampled(self, now_ns: int) -> None:
        """Keep no more points than may be, and set when equity is noted next."""
        points = self.result.equity
        if len(points) > EQUITY_POINTS_MAX:
            del points[1::2]
            self._every_ns *= 2
        self._sample_ns = now_ns + self._every_ns

    def _settle_market(self, instrument: InstrumentId, now_ns: int) -> None:
        """Note what the market brought, inventory left marked at its last two-sided mid.

        The executor receives the same mark, so that the markets sum up to the equity exactly.
        """
        if instrument in self._over:
            return
        market = self.result.markets[instrument]
        view = self._cache.views.get(instrument)
        held = self._executor.ledger.holding(instrument)
        market.realised_micro = held.realised_micro
        market.fees_micro = held.fees_micro
        market.position_left = held.position
        market.unresolved_micro = 0
        if held.flat:
            return
        if view is not None:
            mark = self._marks[instrument] = mark_of(view)
            self._executor.receive(mark, now_ns)
        terms = self._executor.ledger.state.instruments[instrument]
        worth = mid_value_micro(held, terms, self._marks.get(instrument))
        market.unresolved_micro = worth - held.yes.cost_micro - held.no.cost_micro

    def _finish(self, last_ns: int) -> None:
        result, executor = self.result, self._executor
        for name, market in result.markets.items():
            self._settle_market(InstrumentId(name), last_ns)
            result.outcome_fills += self._watch.over(InstrumentId(name), market.paid_micro)
        if result.events:
            self._sample(last_ns)
        result.equity_end_micro = result.equity[-1][1] if result.equity else 0
        result.orders = executor.planning.orders_placed
        result.cancels = executor.planning.cancels_asked
        result.residuals = {str(key): n for key, n in sorted(executor.planning.residuals.items())}
        result.denials = {str(key): n for key, n in sorted(executor.planning.denials.items())}
        result.alerts = dict(sorted(self._driver.alert_counts.items()))
        result.evaluations = sum(bot.evaluations for bot in self._bots)
        result.bots = results_by_bot(executor.ledger, self._marks)
        result.unlisted = {
            bot.name: sorted(bot.instruments - result.markets.keys())
            for bot in self._bots
            if bot.instruments - result.markets.keys() and not bot.everything
        }
        result.bot_errors = {bot.name: bot.error for bot in self._bots if bot.error}
        result.fees_micro = sum(m.fees_micro for m in result.markets.values())
        result.digest = self._recorder.digest()
        result.peak_rss_mb = peak_rss_mb()

    def _placed(self, effect: PlaceOrder) -> None:
        order = effect.order
        self.result.markets[order.instrument].orders += 1
        view = self._cache.views.get(order.instrument)
        if view is not None:
            bids, asks = view.book.bid_prices, view.book.ask_prices
            touch = bids[-1] if bids else None, asks[0] if asks else None
            self._watch.placed[order.instrument][order.id] = touch

    def _filled(self, event: OrderFilled, now_ns: int) -> None:
        result = self.result
        result.fills += 1
        result.fills_inferred += event.source is SizeSource.INFERRED
        result.fills_unknown += event.source is SizeSource.UNKNOWN
        order = self._executor.order(event.order)
        if order is not None:
            key = order.instrument
            result.markets[key].fills += 1
            terms = self._executor.ledger.state.instruments[key]
            if order.leg is not _BASE:  # else no outcome will tell what it was worth
                self._watch.filled(order, event, terms, now_ns)
            bought, price = yes_space(order.side, order.leg, event.price, terms.price_unit)
            result.round_trips.on_fill(
                key,
                bought=bought,
                price=price / terms.price_unit,
                size=event.size / 10**terms.size_decimals,
                fee=event.fee_micro / MICRO,
                now_ns=now_ns,
            )


# -- What a replay needs, wired in the order of the flow. Reads as the diagram in `engine` ---------

ACCOUNT = AccountId("paper:replay")
CURRENCY = "pUSD"

GATEWAY = GatewaySettings(
    places_in_flight_max=64, places_per_s=1_000, places_burst=1_000,
    cancels_per_s=2_000, cancels_burst=2_000,
)  # fmt: skip
"""Wide: the paper venue has no rate limit, and a replay should not invent one."""


DAY_MS = 86_400_000
SLOW = ExecutorSettings(
    listing_interval_ms=DAY_MS, fills_interval_ms=DAY_MS, balances_interval_ms=DAY_MS,
    redemptions_interval_ms=DAY_MS, budget_interval_ms=DAY_MS, peak_interval_ms=DAY_MS,
)  # fmt: skip


def assemble(
    *,
    recording: Recording,
    bots: tuple[Bot, ...],
    limits: RiskLimits,
    paper: PaperSettings,
    cash_micro: int,
    recorder: Recorder,
    decide: Callable[[Decision], None],
    explain: Callable[[Planned], None] | None = None,
    account: AccountId = ACCOUNT,
    currency: str = CURRENCY,
    start_ns: int | None = None,
    tick_ns: int = SECOND_NS,
    says: bool = True,
    repeat: CountRepeated | None = None,
) -> Replay:
    """Wire recording → caches → bots → risk → executor → gateway → paper venue.

    `tick_ns` above a second is the clock of bars: the account then asks its venue what it knows
    once a day and not every few seconds, because between two bars nothing can have happened.
    `explain` receives what each turn's plans made of the intents, as an account's core gives it.
    """
    breakers = Breakers(limits, Mode.PAPER)
    gate = RiskGate(limits=limits, breakers=breakers, exposure=ExposureBook())
    ledger = Ledger(currency=currency)
    executor = Executor(
        account=account,
        mode=Mode.PAPER,
        currency=currency,
        ledger=ledger,
        gate=gate,
        settings=ExecutorSettings() if tick_ns == SECOND_NS else SLOW,
    )
    cache = MarketCache()
    core = AccountCore(
        cache=cache, executor=executor, bots=bots, decide=decide, explain=explain, tick_ns=tick_ns
    )
    return Replay(
        recording=recording, core=core, gateway=GatewayCore(account=account, settings=GATEWAY),
        venue=PaperVenue(account, paper, cache.book), recorder=recorder, cash_micro=cash_micro,
        start_ns=start_ns, tick_ns=tick_ns, says=says, repeat=repeat,
    )  # fmt: skip
