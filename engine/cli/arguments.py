"""What commands share: how a person's words are read at the command line, and how one answers.

A number or an address gives what argparse calls a type: the value, or ArgumentTypeError with a
sentence, which argparse prints behind the option's name and ends with exit code 2.
"""

from __future__ import annotations

import argparse
import getpass
import json
import math
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.domain.catalog import Finding
from engine.domain.money import MICRO
from engine.errors import BadInput, ConfigError, os_sentence

if TYPE_CHECKING:
    from engine.lab.recordings.made_bars import BarMarket
    from engine.lab.replay.setup import ReplayOptions

PORT_MAX = 65_535
PORT = 8501
"""Of the dashboard, where a person names none."""
DEMO_PORT = 8611
REPOSITORY = Path(__file__).resolve().parents[2]
"""Where this program lies."""
WHOLE_MAX = 2**63 - 1
"""The largest number a database keeps."""
WAIT_S_MAX = 86_400.0


def whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text.replace("_", "?"))
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ArgumentTypeError(f"{short(text)} is not a whole number from {low:,} to {high:,}")
        return number

    return read


def amount(low: float, high: float) -> Callable[[str], float]:
    """Take a number from `low` to `high`, which are finite."""

    def read(text: str) -> float:
        try:
            number = float(text.replace("_", "?"))
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ArgumentTypeError(f"{short(text)} is not a number from {low:,g} to {high:,g}")
        return number

    return read


def address(text: str) -> str:
    """Take an address over HTTP: scheme, host and port, nothing behind."""
    try:
        parts = urlsplit(text.rstrip("/"))
        plain = f"{parts.scheme}://{parts.netloc}" == text.rstrip("/") and text.isprintable()
        right = plain and parts.scheme in {"http", "https"} and bool(parts.hostname)
        right = right and parts.port != 0 and " " not in text and "@" not in text
    except ValueError:
        right = False
    if not right:
        raise ArgumentTypeError(
            f"{short(text)} is not an address: write it as http://127.0.0.1:8611"
        )
    return text.rstrip("/")


def say(args: argparse.Namespace, found: Any, text: str) -> None:
    """Print an answer: as one JSON object where that was asked for, else in words."""
    print(json.dumps(found) if args.json else text)


def unwritable(path: Path, error: OSError) -> BadInput:
    """Return the refusal of a file that a person named and that cannot be written."""
    folder = path.parent
    why = os_sentence(error) if folder.is_dir() else f"there is no folder {folder}"
    return BadInput(f"{path} cannot be written: {why}")


def findings_text(findings: Iterable[Finding], width: int = 11) -> str:
    """Return findings a line each, with what mends them; names take `width`."""
    lines = []
    for one in findings:
        lines.append(f"{one.grade:4}  {one.name:{width}}  {one.said}")
        if one.fix:
            lines.append(f"{'':{width + 8}}→ {one.fix}")
    return "\n".join(lines)


def who_types() -> str:
    return f"cli:{getpass.getuser()}"


def short(text: str) -> str:
    """Return what was typed as a sentence may repeat it."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


# -- Who trades a recording: the options of `replay`, and of `run --feed tape:` --------------------

CASH_MAX = 1_000_000_000
"""Units of the currency; what the paper venue takes."""


def add_demo_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--demo", type=address, default=f"http://127.0.0.1:{DEMO_PORT}", help="of the demo exchange"
    )


def add_trading_arguments(parser: argparse._ActionsContainer) -> None:
    """Describe who trades a recording, with how much, and how the paper venue answers."""
    from engine.lab.recordings.inferred_trades import REAL_SIZES  # noqa: PLC0415 `kill` needs no lab

    parser.add_argument("--bot", default="market_maker", help="strategy (default: market_maker)")
    parser.add_argument(
        "--param", action="append", default=[], metavar="K=V", help="strategy parameter, repeatable"
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="K=V",
        help="risk limit, absolute or with %%, e.g. exposure_instrument_max=20%%",
    )
    parser.add_argument("--cash", default="1000", help="starting cash (default: 1000)")
    parser.add_argument(
        "--model",
        choices=("pessimistic", "realistic", "optimistic"),
        default="realistic",
        help="how the paper venue fills (default: realistic)",
    )
    parser.add_argument(
        "--latency-ms",
        type=whole(0, 60_000),
        default=150,
        help="order and cancel latency (default: 150)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="trade from this time on, ISO 8601, UTC; before it books, bars and indicators warm up",
    )
    parser.add_argument(
        "--until", metavar="TIME", help="play what comes before this time, ISO 8601, UTC"
    )
    parser.add_argument(
        "--instrument", default="", help="name of a file of bars, e.g. binance:BTC/USDT"
    )
    for name, default, about in BAR_MARKET:
        parser.add_argument(f"--{name}", type=float, default=default, metavar="N", help=about)
    parser.add_argument(
        "--trade-size-cap",
        metavar="QUANTILE",
        help="cap trade sizes inferred from shrinking levels, which include cancels, at a quantile "
        f"of real prints ({', '.join(REAL_SIZES)}) or at a number of shares",
    )


BAR_MARKET = (
    ("slippage-bps", 0.0, "of bars: basis points a taker pays from the price on (default: 0)"),
    ("impact-bps", 0.0, "of bars: basis points more for all displayed, by its root (default: 0)"),
    ("volume-share", 0.1, "of bars: part of the volume that can be traded by us (default: 0.1)"),
    ("fee-bps", 10.0, "of bars: fee of maker and taker, basis points (default: 10)"),
)
"""Option, default and meaning of what is assumed around bars."""


def _bar_market(args: argparse.Namespace) -> BarMarket:
    from engine.lab.recordings.made_bars import BarMarket  # noqa: PLC0415 `kill` needs no lab

    share, fee = args.volume_share, args.fee_bps
    for flag, value in (
        ("--slippage-bps", args.slippage_bps),
        ("--impact-bps", args.impact_bps),
        ("--fee-bps", fee),
    ):
        if not 0 <= value <= 1_000:
            raise ConfigError(f"{flag} {value:g}: give 0 to 1000 basis points")
    if not 0 < share <= 1:
        raise ConfigError(f"--volume-share {share:g}: give a part above 0, at most 1")
    return BarMarket(
        slippage_bps=args.slippage_bps,
        impact_bps=args.impact_bps,
        volume_share=share,
        taker_fee_bps=fee,
        maker_fee_bps=fee,
    )


def _time_ns(text: str | None, flag: str) -> int | None:
    from engine.lab.formats.numbers import stamp_ns  # noqa: PLC0415

    if text is None:
        return None
    found = stamp_ns(text)
    if found is None:
        raise ConfigError(f"{flag} {short(text)}: write it as 2026-03-01T12:00:00")
    return found


def options_of(
    args: argparse.Namespace, path: Path, *, decisions: bool, journal_full: bool
) -> ReplayOptions:
    """Return what a person asked for by these arguments. Raises ConfigError naming the flag."""
    from engine.lab.replay.setup import ReplayOptions  # noqa: PLC0415 `kill` needs no lab

    return ReplayOptions(
        path=path,
        strategy=args.bot,
        parameters=pairs(args.param, "--param"),
        limits=pairs(args.limit, "--limit"),
        cash_micro=_cash_micro(args.cash),
        model=args.model,
        latency_ms=args.latency_ms,
        decisions=decisions,
        journal_full=journal_full,
        trade_size_cap=_size_cap(args.trade_size_cap),
        imports=not getattr(args, "no_import", True),
        outcomes=getattr(args, "outcomes", None),
        start_ns=_time_ns(args.start, "--from"),
        until_ns=_time_ns(args.until, "--until"),
        bar_market=_bar_market(args),
        instrument=args.instrument,
        funding=getattr(args, "funding", None),
    )


def _size_cap(text: str | None) -> int | None:
    from engine.lab.recordings.inferred_trades import size_cap  # noqa: PLC0415

    try:
        return None if text is None else size_cap(text)
    except BadInput as error:
        raise ConfigError(f"--trade-size-cap {text!r}: {error}") from None


def pairs(items: Iterable[str], flag: str) -> dict[str, str]:
    """Return what NAME=VALUE options give. Raises ConfigError naming the flag."""
    pairs = {}
    for item in items:
        key, separator, value = item.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"{flag} {item!r}: write it as name=value")
        pairs[key.strip()] = value.strip()
    return pairs


def _cash_micro(text: str) -> int:
    try:
        cash = Decimal(text)
    except InvalidOperation:
        cash = Decimal("NaN")
    if not cash.is_finite() or not 0 < cash <= CASH_MAX:
        raise ConfigError(f"--cash {text!r}: write an amount above 0, at most {CASH_MAX:,}")
    return int(cash * MICRO)
