"""What a replay found, and what it took."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import msgspec


class MarketResult(msgspec.Struct, kw_only=True):
    """What one market brought. Money in micro-units; `unresolved` is marked at the last mid."""

    instrument: str
    orders: int = 0
    fills: int = 0
    fees_micro: int = 0
    realised_micro: int = 0
    unresolved_micro: int = 0
    position_left: int = 0
    resolved: bool = False

    @property
    def pnl_micro(self) -> int:
        """Realised plus what is left at its mark less its cost, after fees."""
        return self.realised_micro + self.unresolved_micro - self.fees_micro


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
    equity_start_micro: int = 0
    equity_end_micro: int = 0
    currency: str = ""
    """What all of its money is in."""
    residuals: dict[str, int] = {}
    denials: dict[str, int] = {}
    alerts: dict[str, int] = {}
    evaluations: int = 0
    bot_errors: dict[str, str] = {}
    torn: str = ""
    """Where the recording cannot be read on, and why; empty = it was played to its end."""
    equity: list[tuple[int, int]] = []
    elapsed_s: float = 0.0
    peak_rss_mb: float = 0.0
    digest: str = ""

    @property
    def pnl_resolved_micro(self) -> int:
        """Sum over the markets whose outcome the recording tells."""
        return sum(m.pnl_micro for m in self.markets.values() if m.resolved)

    @property
    def pnl_unresolved_micro(self) -> int:
        """Sum over the markets whose outcome nobody recorded."""
        return sum(m.pnl_micro for m in self.markets.values() if not m.resolved)


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
