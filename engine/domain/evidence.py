"""What recorded data shows of a strategy, and the verdict that follows by rule.

Whoever merely is long in a market that rises earns what the market gives: of bars a gain counts
only above that of holding, on the same days with the same capital.

A row of evidence is computed by `engine.lab.evidence` and by nothing else: no form or command takes
one. Some rows are shipped with the program, so that a new home has a verdict; each names its data's
hash and its code's digest. The verdict is a function of the rows: it cannot be typed in either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from engine.domain.products import beside_holding, funded

COUNT_MIN = 10
"""Fewer traded markets or days than this show nothing, whatever they brought."""
CLUSTERS_MIN = 200
"""Independent event clusters that *proven* needs."""
BY_PITBOSS = "as shipped with Pitboss"
"""Said of evidence that was computed before the program was shipped, on no data of this home."""
OTHER_CODE = "it was computed with other code"
LEVEL = 0.05
"""Intervals hold the mean in 95 of 100 cases."""


class Edge(StrEnum):
    """What the data shows of a strategy, after fees, with latency."""

    PROVEN = "proven"
    CANDIDATE = "candidate"
    HARMLESS = "harmless"
    LOSES = "loses"
    NO_DATA = "no data"


MEANS = {
    Edge.PROVEN: "It earns beyond chance and over holding, on data of after its rules.",
    Edge.CANDIDATE: "It earned beyond chance and over holding; a proof lacks something.",
    Edge.HARMLESS: "It rested, or no loss and no gain over holding is beyond chance.",
    Edge.LOSES: "It lost beyond chance on some of the data.",
    Edge.NO_DATA: "Nothing here tells: no data of its product, or too few markets or days.",
}


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy did on one set of data. Amounts are in `currency`; times are ns UTC.

    Profit and loss is counted per market where the data has several, else per day (UTC), so that
    what is held at the end of a day is in it at its mark.
    """

    strategy: str
    data: str
    """Name of the recording or file."""
    data_hash: str = ""
    """Of its bytes, as digits of a SHA-256; empty = the row is of before this was kept."""
    digest: str
    """Of the strategy's code: evidence of other code is none."""
    rules_ns: int
    """Since when this code stands here: its first proof in this home."""
    product: str
    settings: str = ""
    """Its parameters where they differ from the defaults: bars that the data can make."""
    per: str
    """`market` or `day`."""
    quoted: bool
    """Sizes are the venue's own; False = assumed, as part of a bar's volume."""
    latency_ms: int
    currency: str
    capital: float
    seen: int = 0
    """Markets or days the data has."""
    asked: int = 0
    """Decisions in which it had all it needs to decide."""
    fills: int = 0
    count: int = 0
    """Markets or days in which it held something or traded."""
    mean: float | None = None
    """Profit or loss of one of them, after fees; None = fewer than two."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval of `mean`, by block bootstrap."""
    low_corrected: float | None = None
    """The lower end for as many trials as were made (Bonferroni)."""
    first: float | None = None
    second: float | None = None
    """The mean of each half, in order of time."""
    fees: float = 0.0
    funding: float | None = None
    """What came (+) or was paid at the stamps of a perpetual; None = it is of another product, or
    its data says no rates."""
    trials: int = 1
    """Sets of parameters of the strategy that were played here, this one among them."""
    hold: float | None = None
    """What holding with the capital from the first bar on brought per day, without costs; None =
    there is nothing to hold, or the row is of before this was computed."""
    excess: float | None = None
    """Profit or loss less that of holding, the mean of all days of the data."""
    excess_low: float | None = None
    excess_high: float | None = None
    """The 95 % interval of `excess`, by block bootstrap."""
    excess_low_corrected: float | None = None
    """Its lower end for as many trials as were made (Bonferroni)."""
    mean_10: float | None = None
    """The mean at ten times the capital: what is left of it is the capacity."""
    began_ns: int = 0
    ended_ns: int = 0
    """Span of the data."""
    proved_ns: int
    error: str = ""
    """What stopped the strategy, or why the data could not be read to its end."""


def verdict_of(row: EvidenceRow) -> tuple[Edge, str]:
    """Return what one row shows, and the sentence why."""
    unit = row.per
    if row.error:
        return Edge.NO_DATA, f"it stopped: {row.error}"
    if not row.asked:
        return (
            Edge.NO_DATA,
            f"it never had all it needs to decide, in {_many(row.seen, unit)}",
        )
    if row.count < COUNT_MIN or row.mean is None or row.low is None or row.high is None:
        if not row.fills and row.seen >= COUNT_MIN:
            return Edge.HARMLESS, f"it rested in all of {_many(row.seen, unit)}"
        return Edge.NO_DATA, f"it traded in {_many(row.count, unit)}: {COUNT_MIN} are needed"
    span = f"{row.mean:+.2f} [{row.low:+.2f}, {row.high:+.2f}] {row.currency} per {unit}"
    if row.high < 0:
        return Edge.LOSES, f"{span}: below zero"
    if not earns(row):
        return Edge.HARMLESS, f"{span}: no gain beyond chance"
    if beside_holding(row.product):
        if row.hold is None:
            return Edge.NO_DATA, f"{span}: never compared with holding, prove it again"
        span += f"; {holding_in_words(row)}"
        if not beats_holding(row):
            return Edge.HARMLESS, f"{span}: no gain over holding beyond chance"
    lacks = missing(row)
    if lacks:
        return Edge.CANDIDATE, f"{span}: above zero; a proof lacks {'; '.join(lacks)}"
    return Edge.PROVEN, f"{span}: above zero, in both halves"


def earns(row: EvidenceRow) -> bool:
    """Say whether the mean stays above zero, corrected for how often was tried."""
    return row.low_corrected is not None and row.low_corrected > 0


def beats_holding(row: EvidenceRow) -> bool:
    """Say whether it stays above holding the instrument, corrected for how often was tried."""
    return row.excess_low_corrected is not None and row.excess_low_corrected > 0


def holding_in_words(row: EvidenceRow) -> str:
    """Return what holding brought, and how much more the strategy did; empty = not compared."""
    if row.hold is None or row.excess is None or row.excess_low is None or row.excess_high is None:
        return ""
    more = f"{row.excess:+.2f} [{row.excess_low:+.2f}, {row.excess_high:+.2f}]"
    return f"holding {row.hold:+.2f}, over it {more}"


def missing(row: EvidenceRow) -> list[str]:
    """Return what a proof needs and this row has not; empty = nothing."""
    wanted = {
        "sizes that were quoted": row.quoted,
        f"{CLUSTERS_MIN} independent {row.per}s (there are {row.count})": row.count >= CLUSTERS_MIN,
        "latency": row.latency_ms > 0,
        "a gain in both halves": (row.first or 0.0) > 0 and (row.second or 0.0) > 0,
        "data that began after its rules were fixed": row.began_ns > row.rules_ns,
        "funding, which its data does not say": not funded(row.product) or row.funding is not None,
    }
    return [name for name, there in wanted.items() if not there]


def judged(
    rows: Iterable[EvidenceRow], digest: str, shipped: Iterable[EvidenceRow] = ()
) -> tuple[Edge, str]:
    """Return the verdict on a strategy whose code has this digest, and why.

    `rows` were computed here, `shipped` came with the program: where those of here show something
    they count alone. Rows of other code are none.
    """
    here, came = list(rows), list(shipped)
    own, theirs = _over_all(here, digest), _over_all(came, digest)
    if theirs is not None and (own is None or own[0] is Edge.NO_DATA is not theirs[0]):
        return theirs[0], f"{theirs[1]} ({BY_PITBOSS})"
    if own is not None:
        return own
    if here:
        return Edge.NO_DATA, "its code changed since it was proven: prove it again"
    if came:
        return Edge.NO_DATA, f"{OTHER_CODE} ({BY_PITBOSS}): prove it again"
    return Edge.NO_DATA, "it was never proven here"


def _over_all(rows: Iterable[EvidenceRow], digest: str) -> tuple[Edge, str] | None:
    """Return the verdict over the rows of one code, None where there is none.

    One that loses anywhere loses; else the best that was shown counts.
    """
    found = [(*verdict_of(row), row.data) for row in rows if row.digest == digest]
    if not found:
        return None
    order = (
        Edge.LOSES,
        Edge.PROVEN,
        Edge.CANDIDATE,
        Edge.HARMLESS,
        Edge.NO_DATA,
    )
    verdict, why, data = min(found, key=lambda one: order.index(one[0]))
    return verdict, f"{data}: {why}"


def halves(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean of the first and of the second half; None = that half is empty."""
    middle = len(values) // 2
    parts = values[:middle], values[middle:]
    first, second = (sum(part) / len(part) if part else None for part in parts)
    return first, second


def _many(count: int, unit: str) -> str:
    return f"{count:,} {unit}" + ("" if count == 1 else "s")
