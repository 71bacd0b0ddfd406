"""Markets as the CLOB writes them: compact, long and simplified (polymarket.md §3.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.domain.instruments import Leg
from tests.fakes.polymarket.books import LEGS
from tests.fakes.polymarket.contracts import PUSD
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.venue import Venue

S = 1_000_000_000


def iso(at_ns: int | None) -> str | None:
    """Return a time as the venue writes it."""
    if at_ns is None:
        return None
    return datetime.fromtimestamp(at_ns // S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compact_market(venue: Venue, market: Listed) -> dict[str, Any]:
    """Return `/clob-markets/{cid}`."""
    charged = float(market.fee_rate) > 0
    row: dict[str, Any] = {
        "c": market.condition,
        "t": [{"t": market.token(leg), "o": market.outcome(leg)} for leg in LEGS],
        "mos": market.size_min,
        "mts": float(market.tick),
        "mbf": 1000 if charged else 0,
        "tbf": 1000 if charged else 0,
        "ao": venue.accepting(market),
        "nr": market.neg_risk,
        "cbos": market.clear_book_on_start,
        "aot": iso(market.start_ns),
        "rfqe": False,
        "ibce": True,
        "gst": iso(market.game_start_ns),
        "oas": 0,
        "v": market.version,
    }
    if market.itode:
        row["itode"] = True
    if charged:
        row["fd"] = {"r": float(market.fee_rate), "e": market.fee_exponent, "to": True}
    if market.rewards is not None:
        least, spread = market.rewards
        row["r"] = {"mi": least, "ma": spread, "e": True, "moas": 0}
    return row


def clob_market(venue: Venue, market: Listed) -> dict[str, Any]:
    """Return `/markets/{cid}`."""
    least, spread = market.rewards or (0, 0)
    rates = [{"asset_address": PUSD, "rewards_daily_rate": market.rewards_daily or 1}]
    return {
        "enable_order_book": not market.resolved,
        "active": True,
        "closed": market.resolved,
        "archived": False,
        "accepting_orders": venue.accepting(market),
        "accepting_order_timestamp": iso(market.start_ns),
        "minimum_order_size": market.size_min,
        "minimum_tick_size": float(market.tick),
        "condition_id": market.condition,
        "question_id": "0x" + market.condition[2:][::-1],
        "question": market.question,
        "description": market.question,
        "market_slug": market.slug,
        "end_date_iso": iso(market.end_ns),
        "game_start_time": iso(market.game_start_ns),
        "seconds_delay": market.seconds_delay,
        "fpmm": "",
        "maker_base_fee": 0,
        "taker_base_fee": 1000 if float(market.fee_rate) else 0,
        "notifications_enabled": True,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": "",
        "neg_risk_request_id": "",
        "is_50_50_outcome": market.resolved and market.winner is None,
        "rewards": {
            "rates": rates if market.rewards else None,
            "min_size": least,
            "max_spread": spread,
        },
        "tokens": tokens(venue, market),
        "tags": list(market.tags),
    }


def simple_market(venue: Venue, market: Listed) -> dict[str, Any]:
    """Return a row of `/simplified-markets`."""
    long = clob_market(venue, market)
    names = ("condition_id", "rewards", "tokens", "active", "closed", "archived")
    return {name: long[name] for name in (*names, "accepting_orders")}


def tokens(venue: Venue, market: Listed) -> list[dict[str, Any]]:
    """Return the outcomes with their prices and the winner."""
    return [
        {
            "token_id": market.token(leg),
            "outcome": market.outcome(leg),
            "price": value(venue, market, leg),
            "winner": market.winner is not None and LEGS[market.winner] is leg,
        }
        for leg in LEGS
    ]


def value(venue: Venue, market: Listed, leg: Leg) -> float:
    """Return what a token is worth: its payout, or the middle of its book."""
    if market.resolved:
        return 0.5 if market.winner is None else float(LEGS[market.winner] is leg)
    bid, ask = (float(top) for top in venue.books[market.instrument].tops(leg))
    return round((bid + ask) / 2, 6)
