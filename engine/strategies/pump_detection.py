"""Pump detection: bought when price and volume leap together, sold when the leap is over.

Idea: a coordinated pump shows as a price far above its mean of before, that moves fast, on a
volume several times the usual (Kamps and Kleinberg, 2018, "To the moon: defining and detecting
cryptocurrency pump-and-dumps"). It loses to everyone who bought earlier: at the close that detects
it most of the move is over, the price falls within minutes, and the book is thin on the way out. No
edge is claimed; use it to see pumps, on paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.indicators.door import Variant
from engine.indicators.twpa import Twpa
from engine.indicators.velocity import Velocity
from engine.indicators.volume_surge import VolumeSurge
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Reads


class PumpDetectionParameters(BarParameters):
    """What counts as a pump, when it is left, and how a position is taken."""

    bars: str = "1m"
    """Bars it decides on: 1s to 1d, for example 1m.

    One minute: a pump lasts a few."""
    window_s: Annotated[float, Field(ge=10.0, le=3_600.0)] = 300.0
    """Seconds of the window now; the mean price is that of the window before it.

    Five minutes: most pumps of the source peak within them. Nothing here was fitted."""
    velocity_min: Annotated[float, Field(gt=0.0, le=1.0)] = 0.005
    """Rise of the price a minute over the window, as a part of it, that it takes at least.

    Half a percent a minute: some tens of times an ordinary one."""
    rise_min: Annotated[float, Field(gt=0.0, le=10.0)] = 0.03
    """How far above the mean of the window before it stands at least, as a part of that.

    Three percent: less happens every day."""
    surge_min: Annotated[float, Field(gt=1.0, le=1_000.0)] = 5.0
    """Volume a second, as a multiple of that of the ten windows before, at least.

    Five times: without volume a leap is a thin book."""
    hold_bars_max: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Bars after which it sells at the latest.

    Ten minutes: what has not paid by then will not."""


class PumpDetection(BarRule):
    """Bought when price, speed and volume leap together; sold when it turns, or time is up."""

    name: ClassVar[str] = "pump_detection"
    parameters_type: ClassVar[type[BarParameters]] = PumpDetectionParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "mean_before": ValueWords("Mean of the window before", ValueUnit.PRICE),
        "velocity": ValueWords("Rise a minute, part of the price"),
        "surge": ValueWords("Volume, times that of before"),
    }

    def reads_of(self, parameters: PumpDetectionParameters) -> Reads:
        """Read speed and volume of the window, and the mean of the one before it."""
        long_s = parameters.window_s
        return Reads(
            bars={parameters.bars: 1},
            indicators={
                "mean_before": Variant.of(Twpa, from_s=2.0 * long_s, to_s=long_s),
                "velocity": Variant.of(Velocity, from_s=long_s),
                "surge": Variant.of(VolumeSurge, from_s=long_s),
            },
        )

    def wish(self, seen: Seen) -> Wish | None:
        """Want all where all three leap; nothing where the price falls again, or time is up."""
        mean, velocity = seen.indicator("mean_before"), seen.indicator("velocity")
        surge, p = seen.indicator("surge"), self.parameters
        if mean is None or velocity is None or surge is None:
            return None
        close = seen.last(1)[-1].close
        leaps = velocity >= p.velocity_min and surge >= p.surge_min
        part = None
        if seen.part > 0.0:
            part = 0.0 if velocity <= 0.0 or seen.bars_since >= p.hold_bars_max else None
        elif leaps and close >= mean * (1.0 + p.rise_min):
            part = 1.0
        values = ("mean_before", mean), ("velocity", velocity), ("surge", surge)
        return Wish(part, values)
