"""`python -m engine incident`: a moment of the past lived again, compared, and described."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine.cli.arguments import unwritable
from engine.config import Config
from engine.domain.plain import PlainDict
from engine.lab.incident.moment import read_around, read_at
from engine.lab.incident.page import summary, write
from engine.lab.incident.run import incident

HELP = "replay a moment of the past, compare it with the journal, show it as a page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", required=True, metavar="TIME", help="the moment, e.g. 2026-03-01T12:30:05Z"
    )
    parser.add_argument(
        "--around", default="120s", metavar="LENGTH", help="shown on either side (default: 120s)"
    )
    parser.add_argument("--account", default="", help="show only this account (default: all)")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write one page that needs no network"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Live it again. Gives 1 where it differs from what was kept."""
    at_ns, around_ns = read_at(args.at), read_around(args.around)

    shown = sys.stderr.isatty() and not args.json

    def show(done_s: int, total_s: int) -> None:
        if shown:
            sys.stderr.write(f"\rreplayed: {done_s:,} s of {total_s:,}\x1b[K")

    found = incident(config, at_ns=at_ns, around_ns=around_ns, account=args.account, show=show)
    if shown:
        sys.stderr.write("\r\x1b[K")
    result = summary(found)
    if args.html is not None:
        result["html"] = str(args.html)
        try:
            result["html_bytes"] = write(found, args.html)
        except OSError as error:
            raise unwritable(args.html, error) from error
    print(json.dumps(result) if args.json else describe(result))
    return 1 if found.compared.difference is not None else 0


def describe(found: PlainDict) -> str:
    accounts = ", ".join(f"{name} ({mode})" for name, mode in found["accounts"].items())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found["kinds"].items()))
    rows = [
        f"{found['from']} to {found['until']}, accounts {accounts or 'none'}",
        f"{found['steps']:,} steps: {kinds or 'nothing happened'}",
        found["told"],
        *found["notes"],
    ]
    if "html" in found:
        rows.append(f"{found['html']} written, {found['html_bytes']:,} bytes: open it in a browser")
    return "\n".join(rows)
