"""`python -m engine markets WORDS`: search the fetched listing; a whole name shows the rules, too.

Bid, ask and volume are the venue's own listing, minutes old: nothing is traded by it.
"""

from __future__ import annotations

import argparse
import json
from decimal import Decimal

from engine.cli.arguments import whole
from engine.clock import WallClock
from engine.config import Config
from engine.domain.listings import KINDS, ListingState
from engine.domain.money import cents_text, written
from engine.domain.plain import PlainDict
from engine.domain.settings import MarketFilter
from engine.errors import BadInput
from engine.log import iso
from storage.database import reading
from storage.markets import listings, market, matching, search

HELP = "search the fetched listing of a venue's markets"

SHOWN = 20
SHOWN_MAX = 1_000
S = 1_000_000_000
FETCH_HINT = "fetch it with `python -m engine command run-job job=markets`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", help="all must match; or the full name of one market")
    parser.add_argument("--all", action="store_true", help="include ended markets")
    parser.add_argument("--most", type=whole(1, SHOWN_MAX), default=SHOWN, help="markets to print")


def run(args: argparse.Namespace, config: Config) -> int:
    """Print what is found. 0 = something is, 1 = nothing is. Raises BadInput, StorageError."""
    if not config.markets_path.is_file():
        raise BadInput(f"no list of markets was fetched yet: {FETCH_HINT}")
    text = " ".join(args.words)
    states = tuple(ListingState) if args.all else (ListingState.ACTIVE,)
    with reading(config.markets_path) as connection:
        fetched = listings(connection)
        one = market(connection, text)
        if one is not None:
            found, number = [one], 1
        else:
            query = MarketFilter(text=text, states=states)
            found, number = (
                search(connection, query, None, args.most),
                matching(connection, query),
            )
    if args.json:
        print(json.dumps({"found": number, "listings": fetched, "markets": found}))
        return 0 if found else 1
    for row in found:
        print(*_lines(row), sep="\n")
    if one is not None:
        print(one["description"] or "The venue's listing gives no rules.")
    print(f"{len(found):,} of {number:,} found; {'; '.join(map(_age_text, fetched)) or FETCH_HINT}")
    return 0 if found else 1


def _lines(row: PlainDict) -> list[str]:
    said = written if row["category"] in KINDS else cents_text
    bid, ask = (
        "none" if row[side] is None else said(Decimal(f"{row[side]:.12g}"))
        for side in ("bid", "ask")
    )
    ends = iso(row["ends_ns"]) if row["ends_ns"] else "not announced"
    return [
        f"{row['question']}",
        f"    {row['id']}",
        f"    {row['state']}   bid {bid}   ask {ask}   volume 24 h {row['volume_24h']:,.0f}   "
        f"ends {ends}",
    ]


def _age_text(known: PlainDict) -> str:
    """Say how old a venue's list is."""
    done = known["finished_ns"]
    if done is None:
        return f"{known['venue']} is not complete yet: {FETCH_HINT}"
    return f"{known['venue']} complete {(WallClock().now_ns() - done) / S:,.0f} s ago"
