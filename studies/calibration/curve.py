"""One maker's markouts on the demo exchange and on recordings: what resting at the touch costs.

It is the maker of `studies.compare`, a market maker that waits at the touch with nothing to hold it
back, so that it meets takers by the thousand. A demo exchange that pays it more than recordings do
would teach a lie. On a recording it trades at a paper venue with the realistic fill model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from engine.domain.instruments import AccountId, Mode
from engine.domain.losses import ratio_interval
from engine.domain.money import MICRO
from engine.lab.recordings.open import open_recording
from engine.venues.demo.profiles import Profile
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import FillModel, PaperSettings
from studies.compare.day import LATENCY_MS, true_day
from studies.compare.engine_run import CASH_MICRO, CURRENCY, CompareRun
from studies.compare.watch import HORIZONS_S, Marks


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
    stand = CompareRun(PaperVenue(AccountId("recorded"), paper), Mode.PAPER)
    last_ns = 0
    for now_ns, event in open_recording(path).events():
        if not last_ns:
            stand.begin(now_ns)
        last_ns = now_ns
        stand.feed(event, now_ns)
    return stand.marks
