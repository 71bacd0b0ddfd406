"""`python -m engine report`: the flight report of a day, a week or a month.

`make` writes and keeps it now; the schedule does so each morning. `show` prints the short text, or
all of it as one HTML page that needs no network.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from engine.cli.arguments import say, unwritable
from engine.clock import WallClock
from engine.config import Config
from engine.domain.jobs.report import ReportPeriod
from storage.database import reading, transaction, writing
from storage.files import write_whole
from storage.report_figures import made_report
from storage.reports import FlightReport, put_report, report, reports
from storage.schema import check_schema
from storage.users import ENGINE_ID

HELP = "make, list and read flight reports: what a day, a week or a month brought"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="make | list | show")
    make = verbs.add_parser("make", help="make and keep the report of a period")
    make.add_argument(
        "period",
        nargs="?",
        default=ReportPeriod.DAILY,
        type=ReportPeriod,
        choices=list(ReportPeriod),
        help="daily (default), weekly or monthly: the last whole one; today: so far",
    )
    verbs.add_parser("list", help="list the reports that are kept")
    show = verbs.add_parser("show", help="print a report")
    show.add_argument("name", help="as `report list` names it")
    for one in (make, show):
        one.add_argument("--html", type=Path, metavar="FILE", help="write all of it as one page")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. Raises BadInput, StorageError."""
    check_schema(config.state_path)
    if args.verb == "list":
        with reading(config.state_path) as connection:
            kept = reports(connection, ENGINE_ID)
        lines = [f"{one.name:20}  {one.headline}" for one in kept]
        names = [one.name for one in kept]
        say(args, {"reports": names}, "\n".join(lines) or "no report was made yet")
        return 0
    found = _made(args.period, config) if args.verb == "make" else _kept(args.name, config)
    if args.html is not None:
        try:
            write_whole(args.html, found.html().encode())
        except OSError as error:
            raise unwritable(args.html, error) from error
        sys.stderr.write(f"{args.html} is written\n")
    say(args, msgspec.to_builtins(found), f"{found.name}: {found.text()}")
    return 0


def _made(period: ReportPeriod, config: Config) -> FlightReport:
    with writing(config.state_path) as connection:
        found = made_report(connection, ENGINE_ID, period, WallClock().now_ns(), config.home)
        with transaction(connection):
            put_report(connection, ENGINE_ID, found)
    return found


def _kept(name: str, config: Config) -> FlightReport:
    with reading(config.state_path) as connection:
        return report(connection, ENGINE_ID, name)
