"""What a replay found, as a terminal prints it: in words, or a row for each set of a pass."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from engine.domain.plain import PlainDict, PlainView
from engine.domain.run_funding import funding_of
from engine.lab.progress import ProgressLine
from engine.lab.recordings.door import Recording

PROGRESS_EVERY_S = 1.0
MARKETS_SHOWN = 12
PROBLEM = 1
BAD_FILE = 3
"""Exit codes, as `engine/__main__.py` has them."""

DISORDER_MAX = 0.05
"""Share of frames out of order or repeated up to which a recording is sound: those recorded so far
have below 0.1 %. What is out of order is not passed on, so the rest is another market."""


def exit_code(summaries: list[dict[str, object]]) -> int:
    """Return 0, or what says that a run found something, or ended torn; that is printed."""
    if torn := summaries[0]["torn"]:
        print(f"BadInput: {torn}", file=sys.stderr)
        return BAD_FILE
    return PROBLEM if any(_problem(summary) for summary in summaries) else 0


def _problem(summary: PlainView) -> bool:
    """Say whether the run found something that a person must look at.

    Frames that were repeated or came late are none up to `DISORDER_MAX`: a venue sends some after
    every subscription.
    """
    unproven = summary["hash_checked"] - summary["hash_matched"]
    torn = summary["disorder"] > DISORDER_MAX
    return bool(summary["bot_errors"] or summary["anomalies"] or unproven or torn)


class ReplayProgress:
    """How far a recording has been read, shown about once a second; `end` wipes it away."""

    def __init__(self, *, shown: bool) -> None:
        self._line = ProgressLine(shown=shown)
        self._last_s = 0.0

    def __call__(self, recording: Recording, events: int, elapsed_s: float) -> None:
        if elapsed_s - self._last_s < PROGRESS_EVERY_S:
            return
        self._last_s = elapsed_s
        stats = recording.stats
        self._line(
            stats.bytes_read,
            stats.bytes_total or 1,
            f"{stats.frames:,} frames  {events:,} events  {events / elapsed_s:,.0f} events/s",
        )

    def end(self) -> None:
        """Leave a clean line behind: what follows is the result or the sentence of an error."""
        self._line.end()


def describe_sets(summaries: list[PlainDict]) -> str:
    rows = [
        f"{'set':20}  {'run':>5}  {'orders':>8}  {'fills':>6}  {'fees':>9}  {'PnL':>10}  digest",
        *(
            f"{one['set'][:20]:20}  {one['run']:5}  {one['orders']:8,}  {one['fills']:6,}  "
            f"{one['fees']:9.4f}  {one['pnl']:+10.4f}  {one['digest'][:16]}"
            + "".join(f"  bot stopped: {why}" for why in one["bot_errors"].values())
            for one in summaries
        ),
        f"frames {summaries[0]['frames']:,}   anomalies: {_anomalies(summaries[0])}   "
        f"{max(one['elapsed_s'] for one in summaries):.1f} s",
    ]
    return "\n".join(rows)


def describe(summary: PlainDict) -> str:
    rows = [
        f"frames {summary['frames']:,}   events {summary['events']:,}   "
        f"markets {summary['markets']}   gaps {summary['gaps']}",
        f"books whose hash matched {summary['books_matched']:,} of {summary['books_checked']:,}",
    ]
    if summary["advertised_checked"]:
        rows.append(
            "change batches: hashes matched "
            f"{summary['hash_matched'] - summary['books_matched']:,} of "
            f"{summary['hash_checked'] - summary['books_checked']:,}, best bid and ask as "
            f"advertised {summary['advertised_matched']:,} of {summary['advertised_checked']:,}"
        )
    rows += [
        f"frames repeated {summary['duplicates']:,}, out of order {summary['out_of_order']:,}: "
        "read, not passed on again",
        f"anomalies: {_anomalies(summary)}",
        *([f"ENDS TORN at {summary['ends']}: {summary['torn']}"] if summary["torn"] else []),
        f"evaluations {summary['evaluations']:,}   orders {summary['orders']:,}   "
        f"cancels {summary['cancels']:,}",
        f"fills {summary['fills']:,} (size inferred {summary['fills_inferred']:,}, "
        f"unknown {summary['fills_unknown']:,})   fees {summary['fees']:.4f}",
        f"PnL {summary['pnl']:+.4f} (resolved {summary['pnl_resolved']:+.4f}, "
        f"unresolved at mid {summary['pnl_unresolved']:+.4f})   "
        f"equity {summary['equity_start']:.2f} → {summary['equity_end']:.2f}",
    ]
    rows += [*_bot_rows(summary), *_perpetual_rows(summary), *_benchmark_rows(summary)]
    if summary["imported"]:
        rows.insert(
            2, f"read from its import of {summary['imported']}: the hashes were checked then"
        )
    if summary["sizes_inferred"]:
        rows.append(
            f"trade sizes: {summary['sizes_inferred']:,} inferred from shrinking levels, so they "
            f"include cancels ({summary['sizes_capped']:,} capped, see --trade-size-cap); "
            f"{summary['sizes_unknown']:,} unknown"
        )
    rows += _market_rows(summary["per_market"])
    rows += _loss_rows(summary)
    rows += [
        f"residuals: {_counts(summary['residuals'])}",
        f"denials: {_counts(summary['denials'])}",
        f"alerts: {_counts(summary['alerts'])}",
        *(f"bot {name} stopped: {why}" for name, why in summary["bot_errors"].items()),
        f"{summary['events_per_s']:,} events/s   {summary['elapsed_s']:.1f} s   "
        f"peak memory {summary['peak_rss_mb']:.0f} MB",
        f"digest {summary['digest']}",
        f"stored as run {summary['run']}",
    ]
    return "\n".join(rows)


def _bot_rows(summary: PlainView) -> list[str]:
    """Return which markets bots lacked, and what each made where there are several."""
    rows = [
        f"  bot {name} names {', '.join(missing)}, which the recording does not have"
        for name, missing in summary["unlisted"].items()
    ]
    if len(summary["bots"]) > 1:
        rows += [
            f"  bot {name:24}  PnL {one['pnl']:+.4f} (unrealised {one['unrealised']:+.4f})   "
            f"fees {one['fees']:.4f}"
            for name, one in summary["bots"].items()
        ]
    return rows


def _perpetual_rows(summary: Mapping[str, object]) -> list[str]:
    """Return what funding brought, or that nothing says it; nothing where there is no perpetual."""
    if (found := funding_of(summary)) is None:
        return []
    brought = [f"funding {found.amount:+.4f}"] if found.stamps else []
    return [*brought, found.sentence, f"liquidations {summary['liquidations']}"]


def _benchmark_rows(summary: PlainView) -> list[str]:
    """Return what holding brought; nothing where the run is not over bars."""
    found = summary.get("benchmark")
    if not found:
        return []
    return [
        f"holding from the first open to the last close: {found['hold']:+.4f}, max drawdown "
        f"{100 * found['hold_drawdown']:.2f} %, without fees and spread; cash: +0.0000",
        f"holding uses all of the cash; this run's exposure limits allow {100 * found['share']:.2f}"
        f" % of it in one instrument at the start, with which holding brings "
        f"{found['share'] * found['hold']:+.4f}",
    ]


def _market_rows(markets: PlainDict) -> list[str]:
    ranked = sorted(markets.items(), key=lambda item: (-abs(item[1]["pnl"]), item[0]))
    rows = [
        f"  {name[:34]:34}  fills {market['fills']:4}  PnL {market['pnl']:+9.4f}  "
        f"{'resolved' if market['resolved'] else 'unresolved'}"
        for name, market in ranked[:MARKETS_SHOWN]
    ]
    if len(ranked) > MARKETS_SHOWN:
        rows.append(f"  … and {len(ranked) - MARKETS_SHOWN} more markets (--json has all)")
    return rows


def _loss_rows(summary: PlainDict) -> list[str]:
    """Return what fills brought to the outcome, by the manner they came about."""
    if not summary["losses"]:
        return ["PnL to the outcome: no fill is in a market whose outcome is known (--outcomes)"]
    found = summary["market_pnl"]
    rows = [
        f"PnL per resolved market {found['mean']:+.2f}{_interval(found)} over {found['count']}",
        f"PnL to the outcome{'':35}fills  markets       PnL   cents per share, 95 %",
    ]
    rows += [
        f"  {row['by']:20} {row['bucket']:28}  {row['fills']:6,} {row['markets']:8,} "
        f"{row['pnl']:+9.2f}   {row['cents_per_share']:+6.2f}{_interval(row)}"
        for row in summary["losses"]
    ]
    return rows


def _interval(found: PlainView) -> str:
    low, high = found["low"], found["high"]
    return "" if low is None else f" [{low:+.2f}, {high:+.2f}]"


def _anomalies(summary: PlainDict) -> str:
    where = summary["anomaly_lines"]
    found = [
        f"{kind} {count:,} (first at {where[kind]})" if kind in where else f"{kind} {count:,}"
        for kind, count in summary["anomalies"].items()
    ]
    if summary["disorder"] > DISORDER_MAX:
        found.insert(0, f"{summary['disorder']:.1%} of the frames are out of order or repeated")
    return ", ".join(found) or "none"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
