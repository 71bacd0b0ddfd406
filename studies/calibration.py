"""`python -m studies.calibration`: the demo exchange beside the recordings it is modelled on.

Both are sampled the same way: the whole book after each match, while its market's window runs, as a
recording of `book` frames holds it. Distances are in cents, sizes in shares, times in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.cli.arguments import WHOLE_MAX, whole
from engine.config import Config
from engine.domain.books import Book
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Leg, Mode, Side
from engine.domain.losses import ratio_interval
from engine.domain.money import MICRO
from engine.domain.orders import Identity
from engine.errors import BadInput
from engine.lab.recordings.open import open_recording
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import Filled, StandingOrder, Ticket
from engine.venues.demo.profiles import FULL, Profile
from engine.venues.demo.world import open_world
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import FillModel, PaperSettings
from studies import main
from studies.compare.day import LATENCY_MS, true_day
from studies.compare.engine_run import CASH_MICRO, CURRENCY, CompareRun
from studies.compare.watch import HORIZONS_S, Marks

S = 1_000_000_000
SLOT_NS = S // 10
WIDE_CENTS = 6
"""Spreads of this many cents and more count as one."""

DEPTH_CENTS = 5

Moments = tuple[tuple[int, Event], ...] | Iterable[tuple[int, Event]]


class MarketFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One market's look. Quantiles are named by their share in percent."""

    markets: int
    frames: int
    spread: dict[int, float]
    """Share of frames by spread in cents; the widest key holds all above."""
    touch: dict[int, float]
    depth: dict[int, float]
    per_second: dict[int, float]
    """Matches per second with any."""
    per_slot: dict[int, float]
    """Matches per 100 ms with any."""
    between_ms: dict[int, float]
    move_std: float
    """Standard deviation of the mid's change over a second, in cents."""
    moves: dict[int, float]
    """Quantiles of its size, in cents."""


class _Tape:
    """What is sampled of one market."""

    __slots__ = ("book", "instrument", "matched", "mids", "stamps")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = Book()
        self.matched = False
        self.stamps: list[int] = []
        self.mids: dict[int, float] = {}
        """Second → last mid in it, in cents."""


class Sampler:
    """Takes events in order; `figures` gives what was seen."""

    def __init__(self) -> None:
        self._tapes: dict[InstrumentId, _Tape] = {}
        self._done: list[_Tape] = []
        self._spread: list[int] = []
        self._touch: list[float] = []
        self._depth: list[float] = []

    def take(self, moments: Moments) -> None:
        """Take (time, event) pairs. A match and the books of the same moment are one frame."""
        for now_ns, event in moments:
            if isinstance(event, InstrumentListed):
                self._list(event.instrument)
            elif isinstance(event, InstrumentClosed):
                self._close(event.instrument)
            elif isinstance(event, TradePrinted):
                tape = self._tapes.get(event.instrument)
                if tape is not None:
                    tape.matched = True
            elif isinstance(event, BookReplaced | BookChanged):
                self._book(event, now_ns)

    def _list(self, instrument: Instrument) -> None:
        known = self._tapes.get(instrument.id)
        if known is not None:
            known.instrument = instrument
        elif instrument.series:
            self._tapes[instrument.id] = _Tape(instrument)

    def _close(self, instrument: InstrumentId) -> None:
        tape = self._tapes.pop(instrument, None)
        if tape is not None and tape.stamps:
            self._done.append(tape)

    def end(self) -> None:
        """End the world that was sampled; the next one may have markets of the same names."""
        for instrument in list(self._tapes):
            self._close(instrument)

    def _book(self, event: BookReplaced | BookChanged, now_ns: int) -> None:
        tape = self._tapes.get(event.instrument)
        if tape is None:
            return
        if isinstance(event, BookReplaced):
            tape.book.replace(event.bids, event.asks)
        else:
            tape.book.apply(event.changes)
        terms = tape.instrument
        if terms.starts_ns is None or terms.closes_ns is None:
            return
        running = terms.starts_ns <= now_ns < terms.closes_ns
        self._mid(tape, now_ns, running=running)
        if not tape.matched:
            return
        tape.matched = False
        if running:
            tape.stamps.append(now_ns)
            self._sample(tape)

    def _mid(self, tape: _Tape, now_ns: int, *, running: bool) -> None:
        bid, ask = tape.book.best_bid, tape.book.best_ask
        if running and bid is not None and ask is not None:
            tape.mids[now_ns // S] = (bid + ask) / 2 * 100 / tape.instrument.one

    def _sample(self, tape: _Tape) -> None:
        book, one = tape.book, tape.instrument.one
        bid, ask = book.best_bid, book.best_ask
        if bid is None or ask is None:
            return
        cent, shares = one // 100, 10**tape.instrument.size_decimals
        self._spread.append(round((ask - bid) / cent))
        self._touch.append(book.bids[bid] / shares)
        near = DEPTH_CENTS * cent
        within = (size for price, size in book.bids.items() if price > bid - near)
        self._depth.append(sum(within) / shares)

    # -- results -----------------------------------------------------------------------------------

    def figures(self) -> MarketFigures:
        """Return everything in figures; markets still open count with what they have shown."""
        tapes = self._done + [tape for tape in self._tapes.values() if tape.stamps]
        stamps = [np.array(tape.stamps, dtype=np.int64) for tape in tapes]
        moves = [move for tape in tapes for move in _moves(tape.mids)]
        return MarketFigures(
            markets=len(tapes),
            frames=sum(len(one) for one in stamps),
            spread=_mix(self._spread),
            touch=_quantiles(self._touch, (5, 25, 50, 75, 95)),
            depth=_quantiles(self._depth, (5, 50, 95)),
            per_second=_quantiles(_counts(stamps, S), (50, 95, 99)),
            per_slot=_quantiles(_counts(stamps, SLOT_NS), (50, 95, 99)),
            between_ms=_quantiles(_gaps_ms(stamps), (25, 50, 75, 95, 99)),
            move_std=float(np.std(moves)) if moves else float("nan"),
            moves=_quantiles(np.abs(moves), (50, 75, 90, 99)),
        )


def _mix(spreads: list[int]) -> dict[int, float]:
    capped = np.minimum(np.array(spreads, dtype=np.int64), WIDE_CENTS)
    total = max(len(capped), 1)
    return {cents: float((capped == cents).sum()) / total for cents in range(1, WIDE_CENTS + 1)}


def _counts(stamps: list[NDArray[np.int64]], width_ns: int) -> NDArray[np.int64]:
    """Return how many matches fall into each slot that has any, over all markets."""
    parts = [np.unique(one // width_ns, return_counts=True)[1] for one in stamps]
    return np.concatenate(parts) if parts else np.array([], dtype=np.int64)


def _gaps_ms(stamps: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    parts = [np.diff(one) / 1e6 for one in stamps]
    return np.concatenate(parts) if parts else np.array([])


def _moves(mids: dict[int, float]) -> list[float]:
    """Return the mid's changes between seconds that follow each other."""
    return [mids[after] - mids[before] for before, after in pairwise(mids) if after - before == 1]


def _quantiles(values: Iterable[float], shares: tuple[int, ...]) -> dict[int, float]:
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return dict.fromkeys(shares, float("nan"))
    return dict(zip(shares, (float(x) for x in np.percentile(found, shares)), strict=True))


# -- A naive maker on the demo exchange: what resting at the touch earns when nobody thinks --------
# It keeps the smallest legal quote at best bid and best ask of the running market, renewed each
# second. Its markouts tell whether the exchange punishes stale quotes as a real venue does: real
# makers report them negative (adverse selection).

NAIVE = AccountId("naive-maker")
NAIVE_CASH_MICRO = 1_000_000_000_000
MARKOUT_S = 5


class NaiveMaker:
    """Quotes at the touch; call `second` once per second of the exchange's time."""

    def __init__(self, exchange: DemoExchange) -> None:
        self._exchange = exchange
        self._count = 0
        self._orders: dict[Identity, tuple[ExchangeMarket, bool, int]] = {}
        """Ours → (market, bid, level)."""
        self._fills: deque[tuple[int, ExchangeMarket, bool, int]] = deque()
        self.markouts: list[float] = []
        """Mid after five seconds less the price paid, in cents a share; of sales the other way."""
        exchange.open_account(NAIVE, NAIVE_CASH_MICRO)

    def second(self, now_ns: int, second: int) -> None:
        """Look at what was filled, mark what is old enough, quote anew.

        A fill counts whether it took the quote in part or wholly: the whole ones are those that
        went on through it, and they are the bad ones.
        """
        filled = {
            report.identity: None
            for _, report in self._exchange.take(NAIVE)
            if isinstance(report, Filled)
        }
        self._fills.extend((second, *self._orders[identity]) for identity in filled)
        while self._fills and self._fills[0][0] <= second - MARKOUT_S:
            self._mark(*self._fills.popleft()[1:])
        self._exchange.cancel_all(NAIVE, now_ns)
        self._orders.clear()
        for market in list(self._exchange.order_entry.markets.values()):
            terms = market.instrument
            if market.accepting and terms.strike_e8 is not None:
                self._quote(market, now_ns)

    def _mark(self, market: ExchangeMarket, is_bid: bool, level: int) -> None:
        bid, ask = market.book.best_bid, market.book.best_ask
        if bid is not None and ask is not None:
            gain = (bid + ask) / 2 - level
            self.markouts.append((gain if is_bid else -gain) * 100 / market.one)

    def _quote(self, market: ExchangeMarket, now_ns: int) -> None:
        book = market.book
        for is_bid, level in ((True, book.best_bid), (False, book.best_ask)):
            if level is None:
                continue
            self._count += 1
            price = level if is_bid else market.one - level
            terms = market.instrument
            least = -(-terms.notional_min_micro * market.divisor // price)
            size = max(terms.size_min, -(-least // terms.lot) * terms.lot)
            ticket = Ticket(
                identity=Identity(f"{NAIVE}-{self._count}"),
                instrument=terms.id,
                leg=Leg.YES if is_bid else Leg.NO,
                side=Side.BUY,
                price=price,
                size=size,
                post_only=True,
            )
            if self._exchange.submit(NAIVE, ticket, now_ns).standing is StandingOrder.LIVE:
                self._orders[ticket.identity] = (market, is_bid, level)


def markout_stats(markouts: Sequence[float]) -> tuple[int, float, float]:
    """Return (fills marked, mean markout in cents, its standard error)."""
    count = len(markouts)
    if count < 2:
        return count, float("nan"), float("nan")
    found = np.array(markouts)
    return count, float(found.mean()), float(found.std(ddof=1) / count**0.5)


# -- One maker's markouts on the demo exchange and on recordings -----------------------------------
# The maker of `studies.compare` waits at the touch with nothing to hold it back and meets takers by
# the thousand. A demo exchange that pays it more than recordings do would teach a lie. On a
# recording it trades at a paper venue with the realistic fill model.


class CurvePoint(msgspec.Struct, frozen=True):
    """Mean markout in cents a share and its 95 % interval over whole markets."""

    mean: float
    low: float
    high: float
    fills: int
    markets: int


Curve = dict[int, CurvePoint]
"""Seconds after the fill → markout; a horizon that fewer than two markets reached is missing."""


def pooled(days: Iterable[Marks]) -> Curve:
    """Return the curve of several days, weighted by their fills."""
    known = list(days)
    curve = {}
    for seconds in HORIZONS_S:
        markets = [part for marks in known for part in marks[seconds].values()]
        if len(markets) < 2:
            continue
        found = ratio_interval(markets)
        if found.low is not None and found.high is not None:
            fills = sum(count for _, count in markets)
            curve[seconds] = CurvePoint(found.mean, found.low, found.high, fills, found.count)
    return curve


def demo_curve(minutes: int, seeds: Sequence[int], profile: Profile) -> Curve:
    """Return the maker's curve on worlds of the demo exchange."""
    return pooled(true_day(seed, minutes / 60, {}, lambda _: None, profile).marks for seed in seeds)


def recorded_curve(paths: Iterable[Path]) -> Curve:
    """Return the maker's curve over recordings. Raises BadInput where one cannot be read."""
    return pooled(_recorded(path) for path in paths)


def _recorded(path: Path) -> Marks:
    paper = PaperSettings(
        order_latency_ms=LATENCY_MS,
        cancel_latency_ms=LATENCY_MS,
        model=FillModel.REALISTIC,
        starting_cash={CURRENCY: CASH_MICRO / MICRO},
    )
    maker = CompareRun(PaperVenue(AccountId("recorded"), paper), Mode.PAPER)
    last_ns = 0
    for now_ns, event in open_recording(path).events():
        if not last_ns:
            maker.begin(now_ns)
        last_ns = now_ns
        maker.feed(event, now_ns)
    return maker.marks


# -- the command -----------------------------------------------------------------------------------

NAME = "calibration"
HELP = "lay the demo exchange beside recorded markets, figure by figure"

BEGIN_NS = 1_800_000_000 * S
POINTS = 0.05
"""Tolerance of a share of the spread mix."""
SHARE = 0.20
"""Tolerance of everything else, of the recorded figure."""

RECORDED = MarketFigures(
    markets=85,
    frames=215_443,
    spread={1: 0.789, 2: 0.122, 3: 0.042, 4: 0.019, 5: 0.009, 6: 0.016},
    touch={5: 8.65, 25: 65.0, 50: 198.2, 75: 441.0, 95: 1173.9},
    depth={5: 352.6, 50: 1816.6, 95: 8309.1},
    per_second={50: 10.0, 95: 34.0, 99: 57.0},
    per_slot={50: 2.0, 95: 6.0, 99: 10.0},
    between_ms={25: 11.8, 50: 33.0, 75: 89.0, 95: 289.0, 99: 600.5},
    move_std=2.34,
    moves={50: 0.5, 75: 1.0, 90: 3.0, 99: 9.0},
)
"""BTC 5-minute markets of 2026-04-13 and 04-14, sampled by `Sampler` from recorded books."""

CURVE: Curve = {
    1: CurvePoint(-1.21, -1.36, -1.06, fills=5_853, markets=39),
    5: CurvePoint(-1.88, -2.16, -1.59, fills=5_853, markets=39),
    30: CurvePoint(-2.03, -2.66, -1.39, fills=5_692, markets=39),
}
"""Of both days together, by `recorded_curve`."""

CURVE_CENTS = 0.4
"""Tolerance of a markout, where `SHARE` of it is less: what two days and three demo hours leave
open at 30 s."""

LABELS = {
    "spread": "spread, share of frames at {} cents",
    "touch": "size at the bid, p{}, shares",
    "depth": "bid depth within 5 cents, p{}, shares",
    "per_second": "matches per active second, p{}",
    "per_slot": "matches per active 100 ms, p{}",
    "between_ms": "time between matches, p{}, ms",
    "move_std": "mid's change in 1 s, std, cents",
    "moves": "mid's change in 1 s, p{} of its size, cents",
}


class CalibrationLine(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both sides."""

    label: str
    demo: float
    recorded: float
    near: bool
    """Within the tolerance."""
    points: tuple[CurvePoint, CurvePoint] | None = None
    """Both sides with their intervals, where the figure has one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take how much of the exchange is measured, and beside what."""
    parser.add_argument("--minutes", type=whole(1, 100_000), default=60, help="simulated time")
    parser.add_argument(
        "--worlds", type=whole(1, 1_000), default=3, help="seeds pooled, from --seed on (default 3)"
    )
    parser.add_argument("--seed", type=whole(0, WHOLE_MAX), default=1, help="of the first world")
    parser.add_argument(
        "--figures-only", action="store_true", help="leave the maker's markout curve out"
    )
    parser.add_argument(
        "--recording",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="measure this instead of the figures on record; repeatable, several are pooled",
    )


def run(args: argparse.Namespace, _config: Config) -> int:
    """Print both sides; exit code 1 where a figure is out of its tolerance. Raises BadInput."""
    recorded = measured(args.recording) if args.recording else RECORDED
    seeds = range(args.seed, args.seed + args.worlds)
    demo, maker = simulated(args.minutes, seeds)
    lines = list(compared(demo, recorded))
    if not args.figures_only:
        curve = recorded_curve(args.recording) if args.recording else CURVE
        lines += compared_curves(demo_curve(args.minutes, seeds, FULL), curve)
    text = _json(lines, maker) if args.json else _table(lines, maker)
    sys.stdout.write(text + "\n")
    _, markout, error = maker
    return 0 if markout + 2 * error < 0 and all(line.near for line in lines) else 1


def _json(lines: list[CalibrationLine], maker: tuple[int, float, float]) -> str:
    fills, markout, error = maker
    found = {
        "figures": [msgspec.to_builtins(line) for line in lines],
        "naive_maker": {"fills": fills, "markout_5s_cents": markout, "error_cents": error},
    }
    return json.dumps(found)


def _table(lines: list[CalibrationLine], maker: tuple[int, float, float]) -> str:
    fills, markout, error = maker
    rows = [f"{'':52}{'demo':>10}{'recorded':>10}"]
    for line in lines:
        mark = "" if line.near else "  out of tolerance"
        rows.append(f"{line.label:52}{line.demo:10.3g}{line.recorded:10.3g}{mark}")
        if line.points is not None:
            found = " ".join(
                f"{side} [{point.low:.2f}, {point.high:.2f}] of {point.fills:,} fills in "
                f"{point.markets} markets" + ("," if side == "demo" else "")
                for side, point in zip(("demo", "recorded"), line.points, strict=True)
            )
            rows.append(f"  95 %: {found}")
    rows.append(f"naive maker: {fills} fills, markout after 5 s {markout:.2f} ± {error:.2f} cents")
    return "\n".join(rows)


def measured(paths: Sequence[Path]) -> MarketFigures:
    """Return the figures of recordings. Raises BadInput where one cannot be read."""
    sampler = Sampler()
    for path in paths:
        sampler.take(open_recording(path).events())
        sampler.end()
    return sampler.figures()


def simulated(minutes: int, seeds: Sequence[int]) -> tuple[MarketFigures, tuple[int, float, float]]:
    """Return the demo exchange's figures, and a naive maker's (fills, markout, error).

    Worlds of several seeds are pooled: an hour has twelve markets, too few for what differs from
    market to market.
    """
    sampler = Sampler()
    markouts: list[float] = []
    for seed in seeds:
        world = open_world(FULL, rng=Random(seed), now_ns=BEGIN_NS)  # noqa: S311 - a model
        maker = NaiveMaker(world)
        for second in range(1, minutes * 60 + 1):
            now_ns = BEGIN_NS + second * S
            world.advance(now_ns)
            maker.second(now_ns, second)
            sampler.take(world.take_public())
        sampler.end()
        markouts += maker.markouts
    return sampler.figures(), markout_stats(markouts)


def compared(demo: MarketFigures, recorded: MarketFigures) -> Iterator[CalibrationLine]:
    """Yield every figure of both sides."""
    for field, label in LABELS.items():
        ours, theirs = getattr(demo, field), getattr(recorded, field)
        if not isinstance(ours, dict):
            ours, theirs = {"": ours}, {"": theirs}
        for key, value in ours.items():
            goal = theirs[key]
            slack = POINTS if field == "spread" else SHARE * goal
            name = f"{key} and more" if field == "spread" and key == WIDE_CENTS else str(key)
            near = abs(value - goal) <= slack
            yield CalibrationLine(label=label.format(name), demo=value, recorded=goal, near=near)


def compared_curves(demo: Curve, recorded: Curve) -> Iterator[CalibrationLine]:
    """Yield the markouts of both sides; they are near where the demo pays no more, nor less."""
    for seconds, goal in recorded.items():
        if seconds not in demo:
            raise BadInput(
                f"too few fills of the demo exchange were marked after {seconds} s: more --minutes"
            )
        found, slack = demo[seconds], max(SHARE * abs(goal.mean), CURVE_CENTS)
        yield CalibrationLine(
            label=f"the same maker's markout after {seconds} s, cents",
            demo=found.mean,
            recorded=goal.mean,
            near=abs(found.mean - goal.mean) <= slack,
            points=(found, goal),
        )


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
