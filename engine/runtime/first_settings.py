"""The first start: a demo account with five bots, a paper account without, saved as version 1."""

from __future__ import annotations

from sqlite3 import Connection

from engine.domain.rules import rule_json
from engine.domain.rules.templates import QUICK_DIP
from engine.domain.settings import SettingsDocument
from storage.rules import save_rule
from storage.settings import Stale, any_saved, applied, save

ACCOUNT = "demo"
PAPER = "paper"
"""Over the demo exchange's market; no bot trades at it until a person makes one."""

CASH = 10_000.0
REST_S = 1_800.0
"""A demo bot that lost tries again within the hour: its money does not exist, and one looks on."""
WHO = "first start"
ORACLE = "demo-oracle:btc/usd"
REFERENCE = "demo-reference:btc/usd"
SERIES = "btc-updown-5m"
EVENTS = ("rate-cut-by-march", "treaty-signed")
"""The demo exchange's third event is left free: for the first bot a person makes."""
PAIR = "demo:BTC-pUSD"
"""The grid's distance on it, 0.12 %, is a little more than the two fees a round trip costs."""
PERPETUAL = "demo:BTC-PERP"

DOCUMENT = {
    "accounts": {
        ACCOUNT: {"name": ACCOUNT, "venue": "demo", "mode": "demo", "starting_cash": CASH},
        PAPER: {"name": PAPER, "venue": "demo", "mode": "paper", "starting_cash": CASH},
    },
    "bots": {
        "demo-updown": {
            "name": "demo-updown",
            "strategy": "market_maker",
            "account": ACCOUNT,
            "capital": 4_000.0,
            "series": [SERIES],
            "parameters": {
                "fair": "reference",
                "oracle": ORACLE,
                "reference": REFERENCE,
                "twap_window_s": 30.0,
                "sigma_warm_s": 10.0,
                "basis_pairs_min": 10,
                "size_shares": 20.0,
                "inventory_shares_max": 150.0,
                "rest_s": REST_S,
            },
        },
        "demo-events": {
            "name": "demo-events",
            "strategy": "market_maker",
            "account": ACCOUNT,
            "capital": 4_000.0,
            "instruments": [f"demo:{name}-1" for name in EVENTS],
            "parameters": {
                "fair": "microprice",
                "sigma_warm_s": 10.0,
                "size_shares": 25.0,
                "inventory_shares_max": 200.0,
                "rest_s": REST_S,
            },
        },
        "demo-grid": {
            "name": "demo-grid",
            "strategy": "grid",
            "account": ACCOUNT,
            "capital": 500.0,
            "instruments": [PAIR],
            "parameters": {"bars": "30s", "steps": 5, "distance": 0.0012},
        },
        "demo-funding": {
            "name": "demo-funding",
            "strategy": "funding_arbitrage",
            "account": ACCOUNT,
            "capital": 500.0,
            "instruments": [PAIR, PERPETUAL],
        },
        "demo-rule": {
            "name": "demo-rule",
            "strategy": "rules",
            "account": ACCOUNT,
            "capital": 200.0,
            "instruments": [PAIR],
            "parameters": {"document": rule_json(QUICK_DIP)},
        },
    },
    "schedule": {
        "markets-demo": {
            "cron": "*/5 * * * *",
            "job": "markets",
            "arguments": {"venue": "demo"},
            "at_once": True,
        },
    },
}


def first_settings(connection: Connection, engine_id: str, now_ns: int) -> bool:
    """Save and apply the first settings where none was ever saved; True = just now.

    Their bots shall start. The rule of one of them is saved as well: *Rules* shows what it runs.
    """
    if any_saved(connection, engine_id):
        return False
    SettingsDocument.model_validate(DOCUMENT)
    saved = save(
        connection, engine_id=engine_id, who=WHO, diff=DOCUMENT, base_version=0, now_ns=now_ns
    )
    if isinstance(saved, Stale):
        return False
    applied(connection, engine_id, saved.version, now_ns)
    save_rule(
        connection,
        engine_id,
        name=QUICK_DIP.name,
        title=QUICK_DIP.title,
        document=rule_json(QUICK_DIP),
        who=WHO,
        now_ns=now_ns,
    )
    return True
