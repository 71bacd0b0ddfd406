"""Does a model know anything before the market does? What a market's mid owes to a model's moves.

A market's mid is the better forecast; a model that reads a faster price may still move first. The
mid is taken to know what the model said `lead_ns` ago, so the model's news is its move since then,
and b is what the mid made of such news within the next `lead_ns`, by least squares through the
origin over samples that do not overlap, forgotten by samples:
    b = Σxy / Σxx,  error² = Σ(y − bx)² / ((n − 1) · Σxx).
This is the one-step form of Hasbrouck's information share (1995, "One security, many markets"):
where the model only repeats what the mid did, b is 0 within its error, and counts as 0.
"""

from __future__ import annotations

from math import sqrt

import msgspec

SAMPLES_MIN = 60
"""Below this b is 0: a standard error of a few samples is none."""

ERRORS_MIN = 2.0
"""b must stand this many standard errors above 0 to count."""

HALF_LIFE_SAMPLES = 2_000.0
"""An hour and more of samples every two seconds: how a feed is ahead changes with its route."""

SLOTS = 8
"""The past is kept in this many slots per lead: the model's value of then is as exact as that."""

SILENCE_LEADS = 5
"""After so many leads without a look, what was remembered is no news any more."""


class LeadRegression(msgspec.Struct, gc=False):
    """b of one series, over all of its markets."""

    n: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def take(self, news: float, move: float) -> None:
        """Take a piece of the model's news and what the mid did afterwards."""
        keep = 0.5 ** (1.0 / HALF_LIFE_SAMPLES)
        self.n = self.n * keep + 1.0
        self.xx = self.xx * keep + news * news
        self.xy = self.xy * keep + news * move
        self.yy = self.yy * keep + move * move

    @property
    def b(self) -> float:
        """What the mid makes of one unit of news; 0 where there was none."""
        return self.xy / self.xx if self.xx > 0.0 else 0.0

    @property
    def error(self) -> float | None:
        """Standard error of b; None before two samples, or without any news."""
        if self.n <= 1.0 or self.xx <= 0.0:
            return None
        left = max(0.0, self.yy - self.b * self.xy)
        return sqrt(left / ((self.n - 1.0) * self.xx))

    @property
    def used(self) -> float:
        """Return b where it helps, 0 … 1; 0 where it is not proven."""
        error, b = self.error, self.b
        if error is None or self.n < SAMPLES_MIN or b <= ERRORS_MIN * error:
            return 0.0
        return min(b, 1.0)


class LeadTracker(msgspec.Struct):
    """One market's recent values of its model, and the sample that waits for its answer."""

    lead_ns: int
    stamps: list[int] = []
    models: list[float] = []
    asked_ns: int | None = None
    """When the waiting sample was taken; None = none waits."""
    news: float = 0.0
    mid: float = 0.0

    def look(self, model: float, mid: float, now_ns: int, learned: LeadRegression) -> float | None:
        """Take both values; return the model's of a lead ago, None where it is not known."""
        stamps, models, lead_ns = self.stamps, self.models, self.lead_ns
        if stamps and now_ns - stamps[-1] > SILENCE_LEADS * lead_ns:
            stamps.clear()
            models.clear()
            self.asked_ns = None
        while len(stamps) > 1 and stamps[1] <= now_ns - lead_ns:
            del stamps[0], models[0]
        then = models[0] if stamps and stamps[0] <= now_ns - lead_ns else None
        if not stamps or now_ns - stamps[-1] >= lead_ns // SLOTS:
            stamps.append(now_ns)
            models.append(model)
        if self.asked_ns is not None and now_ns - self.asked_ns >= lead_ns:
            learned.take(self.news, mid - self.mid)
            self.asked_ns = None
        if self.asked_ns is None and then is not None:
            self.asked_ns, self.news, self.mid = now_ns, model - then, mid
        return then
