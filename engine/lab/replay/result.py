"""What a replay found, and what it took: its result, the fills it watched, its memory."""

from __future__ import annotations

import datetime as dt
import gc
import re
import resource
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.domain.events import OrderFilled
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.losses import OutcomeFill, losses, mean_interval, place_in_book, yes_space
from engine.domain.money import MICRO
from engine.domain.orders import Order, OrderId
from engine.domain.perpetual_events import FundingSettled
from engine.domain.plain import PlainDict
from engine.domain.round_trips import RoundTrips
from engine.domain.run_funding import KEY, RunFunding
from engine.lab.recordings.door import Recording
from engine.lab.replay.by_bot import BotResult


class MarketResult(msgspec.Struct, kw_only=True):
    """What one market brought. Money in micro-units; `unresolved` is marked at the last mid."""

    instrument: str
    orders: int = 0
    fills: int = 0
    fees_micro: int = 0
    realised_micro: int = 0
    unresolved_micro: int = 0
    funding_micro: int = 0
    """What came (+) or was paid at the stamps of a perpetual."""
    paid_micro: int | None = None
    """What one YES paid; None = no outcome was reported."""
    position_left: int = 0

    @property
    def resolved(self) -> bool:
        return self.paid_micro is not None

    @property
    def pnl_micro(self) -> int:
        """Realised plus what is left at its mark less its cost, after fees and with funding."""
        return self.realised_micro + self.unresolved_micro + self.funding_micro - self.fees_micro


class FundingResult(msgspec.Struct, kw_only=True):
    """What the funding of a run's perpetuals was, and which stamps its data says."""

    perpetual: bool = False
    """One of its markets is a perpetual."""
    paid_micro: int = 0
    """What came (+) or was paid."""
    stamps: int = 0
    """Settled rates that were played, whether something was held or not."""
    first_ns: int = 0
    last_ns: int = 0

    def on_settled(self, event: FundingSettled) -> None:
        """Count a stamp."""
        self.stamps += 1
        self.first_ns, self.last_ns = self.first_ns or event.stamp_ns, event.stamp_ns

    def summary(self) -> RunFunding | None:
        """Return it as a summary has it, the amount in the currency; None = no perpetual."""
        if not self.perpetual:
            return None
        if not self.stamps:
            return RunFunding()
        return RunFunding(
            amount=self.paid_micro / MICRO,
            stamps=self.stamps,
            first=_moment(self.first_ns),
            last=_moment(self.last_ns),
        )


class ReplayResult(msgspec.Struct, kw_only=True):
    """What a replay found, in the units the names end with."""

    markets: dict[str, MarketResult] = {}
    events: int = 0
    orders: int = 0
    cancels: int = 0
    fills: int = 0
    fills_inferred: int = 0
    fills_unknown: int = 0
    fees_micro: int = 0
    funding: FundingResult = msgspec.field(default_factory=FundingResult)
    liquidations: int = 0
    """Positions that the venue closed."""
    equity_start_micro: int = 0
    equity_end_micro: int = 0
    currency: str = ""
    """What all of its money is in."""
    residuals: dict[str, int] = {}
    denials: dict[str, int] = {}
    alerts: dict[str, int] = {}
    evaluations: int = 0
    bot_errors: dict[str, str] = {}
    bots: dict[str, BotResult] = {}
    unlisted: dict[str, list[str]] = {}
    """Markets that a bot names and the recording never listed, by bot."""
    torn: str = ""
    """Where the recording cannot be read on, and why; empty = it was played to its end."""
    equity: list[tuple[int, int]] = []
    round_trips: RoundTrips = msgspec.field(default_factory=RoundTrips)
    outcome_fills: list[OutcomeFill] = []
    """Fills of markets whose outcome is known."""
    elapsed_s: float = 0.0
    peak_rss_mb: float = 0.0
    digest: str = ""

    @property
    def pnl_resolved_micro(self) -> int:
        return sum(m.pnl_micro for m in self.markets.values() if m.resolved)

    @property
    def pnl_unresolved_micro(self) -> int:
        """Sum over the markets whose outcome was not recorded."""
        return sum(m.pnl_micro for m in self.markets.values() if not m.resolved)


def summarise(result: ReplayResult, recording: Recording) -> dict[str, object]:
    """Return everything the run found as one JSON-ready object; money in the currency."""
    return _read(result, recording) | _traded(result)


def _read(result: ReplayResult, recording: Recording) -> PlainDict:
    stats = recording.stats
    counted = (
        "frames", "gaps", "books_checked", "books_matched", "hash_checked", "hash_matched",
        "advertised_checked", "advertised_matched", "duplicates", "out_of_order",
        "sizes_inferred", "sizes_capped", "sizes_unknown",
    )  # fmt: skip
    return {name: getattr(stats, name) for name in counted} | {
        "disorder": (stats.out_of_order + stats.duplicates) / max(1, stats.frames),
        "events": result.events,
        "markets": len(result.markets),
        "anomalies": dict(sorted(stats.anomalies.items())),
        "anomaly_lines": dict(sorted(stats.anomaly_lines.items())),
        "torn": result.torn,
        "imported": None if stats.imported_ns is None else _moment(stats.imported_ns),
        "ends": None if stats.last_ns is None else _moment(stats.last_ns),
    }


def _traded(result: ReplayResult) -> dict[str, object]:
    names = (
        "evaluations", "orders", "cancels", "fills", "fills_inferred", "fills_unknown", "currency",
        "liquidations",
        "residuals", "denials", "alerts", "bot_errors", "digest",
    )  # fmt: skip
    return {name: getattr(result, name) for name in names} | {
        "fees": result.fees_micro / MICRO,
        KEY: msgspec.to_builtins(result.funding.summary()),
        "pnl": (result.equity_end_micro - result.equity_start_micro) / MICRO,
        "pnl_resolved": result.pnl_resolved_micro / MICRO,
        "pnl_unresolved": result.pnl_unresolved_micro / MICRO,
        "equity_start": result.equity_start_micro / MICRO,
        "equity_end": result.equity_end_micro / MICRO,
        "per_market": {
            name: {
                "fills": market.fills,
                "fees": market.fees_micro / MICRO,
                "funding": market.funding_micro / MICRO,
                "pnl": market.pnl_micro / MICRO,
                "position_left": market.position_left,
                "resolved": market.resolved,
            }
            for name, market in result.markets.items()
            if market.fills
        },
        "unlisted": result.unlisted,
        "bots": {name: one.summary() for name, one in sorted(result.bots.items())},
        "market_pnl": _market_pnl(result),
        "round_trips": result.round_trips.summary(),
        "losses": [msgspec.structs.asdict(row) for row in losses(result.outcome_fills)],
        "elapsed_s": round(result.elapsed_s, 3),
        "events_per_s": round(result.events / result.elapsed_s) if result.elapsed_s else 0,
        "peak_rss_mb": round(result.peak_rss_mb, 1),
    }


def _market_pnl(result: ReplayResult) -> dict[str, object] | None:
    """Return the mean PnL of a resolved market that was traded; None = there was none."""
    traded = [m.pnl_micro / MICRO for m in result.markets.values() if m.resolved and m.fills]
    found = mean_interval(traded)
    return None if found is None else msgspec.structs.asdict(found)


# -- Each fill with the manner it came about, until the outcome of its market is known -------------


class FillWatch:
    """Remembers of each order the book it was placed into, and of each fill what it was."""

    def __init__(self) -> None:
        self.placed: defaultdict[InstrumentId, dict[OrderId, tuple[int | None, int | None]]]
        self.placed = defaultdict(dict)
        """Market → order → bid and ask of the book it was placed into."""
        self._fills: dict[InstrumentId, list[OutcomeFill]] = {}

    def filled(self, order: Order, event: OrderFilled, terms: Instrument, now_ns: int) -> None:
        bought, price = yes_space(order.side, order.leg, event.price, terms.price_unit)
        _, level = yes_space(order.side, order.leg, order.price, terms.price_unit)
        bid, ask = self.placed[terms.id].get(order.id, (None, None))
        spread, ahead = place_in_book(bought=bought, level=level, bid=bid, ask=ask, tick=terms.tick)
        fill = OutcomeFill(
            market=terms.id,
            bought=bought,
            price=price / terms.price_unit,
            shares=event.size / 10**terms.size_decimals,
            fee=event.fee_micro / MICRO,
            paid=float("nan"),
            to_close_s=None if terms.closes_ns is None else (terms.closes_ns - now_ns) / 1e9,
            spread_ticks=spread,
            ahead_ticks=ahead,
            age_s=(now_ns - order.created_ns) / 1e9,
        )
        self._fills.setdefault(terms.id, []).append(fill)

    def over(self, instrument: InstrumentId, paid_micro: int | None) -> list[OutcomeFill]:
        """Forget a market; return its fills with what a YES paid, none where it is unknown."""
        self.placed.pop(instrument, None)
        fills = self._fills.pop(instrument, [])
        if paid_micro is None:
            return []
        return [msgspec.structs.replace(fill, paid=paid_micro / MICRO) for fill in fills]


def _moment(at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns // 1_000_000_000, dt.UTC).isoformat()


def peak_rss_mb() -> float:
    """Return this process's peak resident memory in MB (Linux counts kB, macOS bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage says on Linux begins with the memory of the parent that started us.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


# -- The garbage collector while a replay runs: what was loaded before it is not searched again ----
# A replay makes millions of short-lived messages and hardly a cycle, so the default collector
# spends its time walking over what will live to the end. Here what exists at the start is frozen
# and the youngest generation may grow larger; afterwards everything is as it was.

YOUNG_OBJECTS_MAX = 200_000
"""Objects made, less objects freed, between two collections of the youngest generation."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Collect rarely inside the block. A collector somebody switched off or froze stays so."""
    thresholds = gc.get_threshold()
    frozen_before = gc.get_freeze_count() > 0
    if not frozen_before:
        gc.freeze()
    gc.set_threshold(max(YOUNG_OBJECTS_MAX, thresholds[0]) if thresholds[0] else 0, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen_before:
            gc.unfreeze()
