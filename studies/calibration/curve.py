"""One maker's markouts on the demo exchange and on recordings: what resting at the touch costs.

It is the maker of `studies.compare`, a market maker that waits at the touch with nothing to hold it
back, so that it meets takers by the thousand. A demo exchange that pays it more than recordings do
would teach a lie. On a recording it trades at a paper venue with the realistic fill model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.domain.instruments import AccountId, Mode
from engine.domain.money import MICRO
from engine.indicators.markout import HORIZONS_NS, MarkoutMeans
from engine.lab.recordings.open import open_recording
from engine.venues.demo.profiles import Profile
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import FillModel, PaperSettings
from studies.compare.day import LATENCY_MS, true_day
from studies.compare.engine_run import CASH_MICRO, CURRENCY, CompareRun

HORIZONS = {horizon_ns // 10**9: place for place, horizon_ns in enumerate(HORIZONS_NS)}
HORIZONS_S = (1, 5, 30)

Curve = dict[int, float]
"""Seconds after the fill → mean markout in cents a share."""


def pooled(found: Iterable[MarkoutMeans]) -> Curve:
    """Return the curve of several days, weighted by their fills; NaN where nothing was marked."""
    known = list(found)
    curve = {}
    for seconds in HORIZONS_S:
        place = HORIZONS[seconds]
        count = sum(one.counts[place] for one in known)
        total = sum(one.counts[place] * one.means[place] for one in known)
        curve[seconds] = 100.0 * total / count if count else float("nan")
    return curve


def demo_curve(minutes: int, seeds: Sequence[int], profile: Profile) -> Curve:
    """Return the maker's curve on worlds of the demo exchange."""
    return pooled(
        true_day(seed, minutes / 60, {}, lambda _: None, profile).markouts for seed in seeds
    )


def recorded_curve(path: Path) -> Curve:
    """Return the maker's curve over a recording. Raises BadInput where it cannot be read."""
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
    return pooled([stand.markouts])
