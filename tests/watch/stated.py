"""A watched home whose engine reports, with rows in its tables as a test puts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from engine.domain.instruments import AccountId, Mode
from engine.domain.telemetry import Capital
from engine.watch.conditions import conditions
from engine.watch.desk import SECOND_NS
from storage.database import insert, transaction, writing
from storage.live import put_account_report
from storage.users import ENGINE_ID
from tests.watch.desks import Recorder, Watched

MARKET = "demo:will-it-rain"


class Stated:
    """A watched home whose engine reports, with rows a test puts."""

    def __init__(self, home: Path, sends: Recorder | None = None) -> None:
        self.desk = Watched(home, sends, conditions=conditions())
        self.desk.add_channel("phone")
        self.detail: dict[str, Any] = {}
        self.put("accounts", account="demo", mode="demo", venue="demo", currency="pUSD")
        self.put(
            "instruments", id=MARKET, kind="binary", currency="pUSD", price_decimals=4,
            size_decimals=6, tick=100, lot=10_000, market=MARKET, series="", closes_ns=None,
            payout_yes_micro=None, body="{}", updated_ns=1,
        )  # fmt: skip

    def put(self, table: str, **cells: Any) -> None:
        with writing(self.desk.state) as connection, transaction(connection):
            insert(connection, table, verb="INSERT OR REPLACE", engine_id=ENGINE_ID, **cells)

    def run(self, query: str, *values: object) -> None:
        with writing(self.desk.state) as connection, transaction(connection):
            connection.execute(query, values)

    def turn(self, seconds: float = 60, every: float = 5) -> None:
        """Turn on while the engine reports each time."""
        left = seconds
        while left > 0:
            at_ns = self.desk.now_ns + int(min(every, left) * SECOND_NS)
            self.put(
                "engine_state", state="RUNNING", heartbeat_ns=at_ns, started_ns=1, pid=1,
                version="1", latched=False, detail=json.dumps(self.detail),
            )  # fmt: skip
            self.desk.turn(min(every, left), every=every)
            left -= every

    def told(self) -> list[tuple[str, str]]:
        """Return what conditions found; that the watch was killed is none of theirs."""
        rows = self.desk.rows(
            "SELECT kind, text FROM notices WHERE source = 'watch' AND kind != 'watch_restarted' "
            "ORDER BY first_ns"
        )
        return [(kind, text) for kind, text in rows]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told()]


def fill(stated: Stated, number: int, value: int) -> None:
    stated.put(
        "fills", account="demo", id=f"f{number}", mode="demo", order_id=1, bot="b1",
        instrument=MARKET, leg="YES", side="BUY", price=5_000, size=10**9, value_micro=value,
        fee_micro=0, liquidity="maker", state="CONFIRMED", source="venue", realised_micro=0,
        transaction_id=None, at_ns=1, updated_ns=1, seq=number,
    )  # fmt: skip


def order(stated: Stated, number: int, state: str = "filled") -> None:
    """Put an order of the bot `b1` that was placed now."""
    stated.put(
        "orders", account="demo", id=number, mode="demo", bot="b1", instrument=MARKET, leg="YES",
        side="BUY", price=5_000, size=10**6, type="IOC", post_only=0, state=state, filled=10**6,
        voided=0, fee_micro=0, reason="", decision=0, seq=number, created_ns=stated.desk.now_ns,
        updated_ns=stated.desk.now_ns,
    )  # fmt: skip


def limit(stated: Stated, name: str, used: int, subject: str = "") -> None:
    stated.put(
        "limit_use", account="demo", name=name, subject=subject, used=used,
        limit_value=100_000_000, unit="micro", mode="demo", currency="pUSD", updated_ns=1,
    )  # fmt: skip


def holding(stated: Stated, payout: int | None = None) -> None:
    stated.put(
        "holdings", account="demo", instrument=MARKET, mode="demo", currency="pUSD", bot="b1",
        yes_settled=12_500_000, yes_pending=0, no_settled=0, no_pending=0, yes_cost_micro=1,
        no_cost_micro=0, value_micro=6_000_000, mid2=None, marked_ns=None, realised_micro=0,
        fees_micro=0, payout_yes_micro=payout, opened_ns=1, updated_ns=1,
    )  # fmt: skip


def book(stated: Stated, bid: int, ask: int, *, trusted: bool = True) -> None:
    body = {"trusted": trusted, "bids": [[bid, 5]], "asks": [[ask, 5]]}
    stated.put("books", account="demo", instrument=MARKET, body=json.dumps(body), updated_ns=1)


def asked(stated: Stated, **given: Any) -> None:
    stated.desk.settle({"prices": {"rain": {"instrument": MARKET, **given}}})


def balance(stated: Stated, settled: int) -> None:
    """Report an account's settled cash as the engine does."""
    figures = {field.name: 0 for field in msgspec.structs.fields(Capital) if field.type is int}
    figures |= {"settled_micro": settled}
    seen = Capital(account=AccountId("demo"), mode=Mode.DEMO, currency="pUSD", **figures)  # type: ignore[arg-type]
    with writing(stated.desk.state) as connection, transaction(connection):
        put_account_report(connection, ENGINE_ID, seen)


def idle_bot(stated: Stated) -> None:
    """Put a running bot that has no order, with the reasons it gives."""
    watching = [{"instrument": MARKET, "left": ["below_min"], "denied": "daily_loss"}]
    stated.put(
        "bots", name="b1", mode="demo", account="demo", strategy="market_maker", state="running",
        error="", capital_micro=1, evaluations=1, watching=json.dumps(watching), updated_ns=1,
    )  # fmt: skip


def failed_job(stated: Stated) -> None:
    """Put a job that fails a moment from now."""
    stated.put(
        "jobs", kind="backup", arguments="{}", who="t", command="", state="failed", attempts=1,
        done=0, total=0, unit="", note="", created_ns=1, started_ns=1, heard_ns=1,
        finished_ns=stated.desk.now_ns + 1, cancel_by="", result="", error="no room",
    )  # fmt: skip
