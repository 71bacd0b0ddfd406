"""Windows of time (t1, t2): from t1 seconds ago to t2 seconds ago, in steps; and the last N values.

"(300, 0)" is the last five minutes, "(600, 300)" the five before. A window is kept as sums by step,
so it takes fixed memory and constant time an event. Its edges move in whole steps: of the window
[now − t1, now − t2] those steps count that began after `now − t1` and not after `now − t2`. The
running step counts where t2 = 0.
"""

from __future__ import annotations

import msgspec

from engine.errors import BadInput

STEPS_MAX = 600
"""Most steps of a window: a step is a tenth of a second where t1 is a minute or less, else so many
whole seconds that this many cover t1."""

S = 1_000_000_000


def step_of(from_s: float) -> int:
    """Return the step of a window that begins so many seconds ago, in ns."""
    return S // 10 if from_s <= 60.0 else S * -(-round(from_s) // STEPS_MAX)


class SumWindow(msgspec.Struct, gc=False):
    """Sums of a window. `add` counts amounts at a time; `sums` gives those of the window."""

    width: int = 0
    """How many sums there are; 0 = it is not made yet."""
    from_s: float = 0.0
    to_s: float = 0.0
    step_ns: int = 0
    span: int = 0
    """Steps from t1 to now."""
    skip: int = 0
    """Steps from t2 to now."""
    at: int = -1
    """The running step; −1 = nothing has come yet."""
    since: int = 0
    """The first step that was ever seen."""
    slots: list[list[float]] = msgspec.field(default_factory=list)
    totals: list[float] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.slots or not self.width:
            return
        if not self.from_s > self.to_s:
            raise BadInput(f"a window ({self.from_s:g}, {self.to_s:g}) must begin before it ends")
        self.step_ns = step_of(self.from_s)
        self.span = max(1, round(self.from_s * S) // self.step_ns)
        self.skip = min(self.span - 1, round(self.to_s * S) // self.step_ns)
        self.slots = [[0.0] * self.width for _ in range(self.span)]
        self.totals = [0.0] * self.width

    @property
    def seconds(self) -> float:
        """How long the whole window is."""
        return (self.span - self.skip) * self.step_ns * 1e-9

    def add(self, amounts: tuple[float, ...], at_ns: int) -> None:
        """Count amounts at a time. What is older than the running step is counted in that."""
        self.move(at_ns)
        slot = self.slots[self.at % self.span]
        for i, amount in enumerate(amounts):
            slot[i] += amount
        if not self.skip:
            for i, amount in enumerate(amounts):
                self.totals[i] += amount

    def move(self, now_ns: int) -> None:
        """Let time pass."""
        step = now_ns // self.step_ns
        if self.at < 0:
            self.at = self.since = step
            return
        passed = step - self.at
        if passed <= 0:
            return
        if passed >= self.span:
            for slot in self.slots:
                slot[:] = [0.0] * self.width
            self.totals = [0.0] * self.width
            self.at = step
            return
        for _ in range(passed):
            self._step()

    def _step(self) -> None:
        """Begin the next step: one leaves the window at its far end, one may enter at its near."""
        self.at = at = self.at + 1
        slot = self.slots[at % self.span]
        for i, amount in enumerate(slot):
            self.totals[i] -= amount
            slot[i] = 0.0
        if self.skip:
            for i, amount in enumerate(self.slots[(at - self.skip) % self.span]):
                self.totals[i] += amount
        if at % self.span == 0:
            self._sum_again()

    def _sum_again(self) -> None:
        """Sum what is kept anew: adding and taking away floats drifts."""
        inside = [self.slots[(self.at - back) % self.span] for back in range(self.skip, self.span)]
        self.totals = [sum(column) for column in zip(*inside, strict=True)]

    def sums(self, now_ns: int) -> list[float]:
        """Return the sums of the window as of now."""
        self.move(now_ns)
        return self.totals

    def warm(self, now_ns: int) -> bool:
        """Say whether the whole window has been seen."""
        self.move(now_ns)
        return self.at >= 0 and self.at - self.since >= self.span


class TimeWeighted(msgspec.Struct, gc=False):
    """The time-weighted mean over a window of a number that holds until the next one comes."""

    from_s: float = 0.0
    to_s: float = 0.0
    window: SumWindow = msgspec.field(default_factory=SumWindow)
    """Σ number · seconds, Σ seconds."""
    held: float | None = None
    at_ns: int = 0
    """Up to when it is counted."""

    def __post_init__(self) -> None:
        if self.from_s and not self.window.width:
            self.window = SumWindow(2, self.from_s, self.to_s)

    def on_value(self, number: float, now_ns: int) -> None:
        """Take the number that holds from now on."""
        self._count(now_ns)
        self.held = number

    def _count(self, now_ns: int) -> SumWindow:
        window = self.window
        step_ns = window.step_ns
        at_ns = max(self.at_ns, now_ns - window.span * step_ns)
        while self.held is not None and at_ns < now_ns:
            edge_ns = min(now_ns, at_ns - at_ns % step_ns + step_ns)
            seconds = (edge_ns - at_ns) * 1e-9
            window.add((self.held * seconds, seconds), at_ns)
            at_ns = edge_ns
        self.at_ns = max(self.at_ns, now_ns)
        return window

    def mean(self, now_ns: int) -> float | None:
        """Return the mean over what of the window is known; None = nothing is."""
        weighted, seconds = self._count(now_ns).sums(now_ns)
        return weighted / seconds if seconds > 0.0 else None


class Samples(msgspec.Struct, gc=False):
    """One price a step, the last of each: what is compared at equal distances of time.

    A step without a price keeps the one before it, so a price that stands still is a sample, too.
    """

    from_s: float = 0.0
    count: int = 0
    """Samples in the window, one a step of it; 0 = it is not made yet."""
    step_ns: int = 0
    at: int = -1
    price: float = 0.0
    values: list[float] = msgspec.field(default_factory=list)
    """The last price of each closed step, the oldest first; `count` + 1 at most."""

    def __post_init__(self) -> None:
        if self.count and not self.step_ns:
            self.step_ns = max(1, round(self.from_s * S) // self.count)

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.move(now_ns)
        self.price = price

    def move(self, now_ns: int) -> None:
        """Let time pass: steps that are over become samples."""
        step = now_ns // self.step_ns
        passed = step - self.at
        if self.at >= 0 and passed > 0 and self.price:
            self.values.extend([self.price] * min(passed, self.count + 1))
            del self.values[: -(self.count + 1)]
        self.at = max(self.at, step)

    @property
    def full(self) -> bool:
        return len(self.values) > self.count


class Last(msgspec.Struct, gc=False):
    """The last N values and their sum."""

    size: int = 0
    values: list[float] = msgspec.field(default_factory=list)
    next: int = 0
    total: float = 0.0

    def push(self, value: float) -> float | None:
        """Add a value; return the one that left, or None where there was room."""
        values, at = self.values, self.next
        if len(values) < self.size:
            values.append(value)
            self.total += value
            return None
        old = values[at]
        values[at] = value
        at += 1
        if at < self.size:
            self.next = at
            self.total = self.total - old + value
        else:
            # Sum anew once a round: adding and taking away floats drifts.
            self.next = 0
            self.total = sum(values)
        return old

    @property
    def full(self) -> bool:
        return len(self.values) == self.size

    @property
    def mean(self) -> float:
        return self.total / self.size


class Extremes(msgspec.Struct, gc=False):
    """The highest and the lowest of the last N values."""

    size: int = 0
    seen: int = 0
    highs: list[tuple[int, float]] = msgspec.field(default_factory=list)
    """Falling: each is the highest since the one before it."""
    lows: list[tuple[int, float]] = msgspec.field(default_factory=list)

    def push(self, high: float, low: float) -> None:
        """Add a pair."""
        self.seen = seen = self.seen + 1
        while self.highs and self.highs[-1][1] <= high:
            self.highs.pop()
        self.highs.append((seen, high))
        while self.lows and self.lows[-1][1] >= low:
            self.lows.pop()
        self.lows.append((seen, low))
        for side in (self.highs, self.lows):
            if side[0][0] <= seen - self.size:
                del side[0]

    @property
    def full(self) -> bool:
        return self.seen >= self.size

    @property
    def highest(self) -> float:
        return self.highs[0][1]

    @property
    def lowest(self) -> float:
        return self.lows[0][1]
