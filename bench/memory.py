"""Peak memory of a replay on the input once and ten times: it must not grow with the length."""

from __future__ import annotations

from pathlib import Path

from bench.processes import ours

Row = tuple[str, str, str, str, str]


def rows(workload: Path) -> list[Row]:
    """Return one row per mode: peak MB at 10 x, at 1 x, and their ratio."""
    table = []
    for mode in ("digest", "full"):
        once, ten = ours(mode, workload, 1)(), ours(mode, workload, 10)()
        if once is None or ten is None:
            continue
        a, b = float(once["rss_peak"]), float(ten["rss_peak"])
        table.append(
            (
                f"replay, {mode}, RSS", f"{b:,.0f} MB", f"{a:,.0f} MB at 1 x", f"{b / a:.2f}",
                "<= 150 MB + window, the same for both",
            )
        )  # fmt: skip
    return table
