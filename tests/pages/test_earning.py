"""Is this order earning? The strip and the column, over rows as an engine tells them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from html import unescape

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.events import InstrumentListed
from engine.domain.instruments import Mode
from engine.domain.orders import OrderId
from engine.domain.rewards import Earning
from engine.domain.telemetry import Earnings, EngineStatus
from pages.kit.words import NOTHING
from pages.shared import order
from storage.database import writing
from storage.live import EngineHeartbeat, put_account_report, put_engine
from tests.pages.seen import bodies
from tests.storage.books import DEMO, TERMS, Books, bought

Opened = Callable[..., AppTest]
YES = Earning(order=1, earns=True, said="inside the band", daily_micro=1_250_000)
NO = Earning(order=2, earns=False, said="below the minimum size: 5.00 of 50.00 shares")
EARNINGS = Earnings(
    account=DEMO, currency="pUSD", at_ns=10**18, orders=(YES, NO), scoring={1: True, 2: False},
    scoring_ns=10**18,
)  # fmt: skip


@pytest.fixture
def desk(config: Config) -> Config:
    """A living desk with two orders that work."""
    now = time.time_ns()
    with writing(config.state_path) as connection:
        books = Books(connection)
        books.at_ns = now
        books.tell(InstrumentListed(instrument=TERMS))
        for number in (1, 2):
            books.tell(*bought(OrderId(number), 4_800, 20 * 10**6)[:-1])
        put_account_report(connection, "e1", EARNINGS)
        beat = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=now, started_ns=1, pid=os.getpid(), version="1",
            latched=False, status=EngineStatus(),
        )  # fmt: skip
        put_engine(connection, "e1", beat)
    return config


def test_an_order_is_told_in_a_few_words_whether_it_earns() -> None:
    assert order.earning(EARNINGS, 1) == "yes, at least 1.25 pUSD per day: inside the band"
    assert order.earning(EARNINGS, 2) == "no: below the minimum size: 5.00 of 50.00 shares"
    assert order.earning(EARNINGS, 3) == order.earning(None, 1) == NOTHING
    paper = order.sampled(EARNINGS, 1, Mode.PAPER, 10**18)
    assert paper == "PAPER is not paid: a live order would earn this"
    later = 10**18 + 30 * 10**9
    assert (
        order.sampled(EARNINGS, 1, Mode.LIVE, later)
        == "the venue reports that it scores, sampled 30 s ago"
    )
    assert "does NOT score" in order.sampled(EARNINGS, 2, Mode.LIVE, later)
    assert (
        order.sampled(EARNINGS, 3, Mode.LIVE, later) == "the venue has not been asked about it yet"
    )


def test_every_working_order_says_whether_it_earns(desk: Config, opened: Opened) -> None:
    (frame,) = opened("orders").dataframe
    said = dict(zip(frame.value["id"], frame.value["earning"], strict=True))
    assert said[1] == "yes, at least 1.25 pUSD per day: inside the band"
    assert said[2].startswith("no: below the minimum size")


def test_the_strip_of_an_order_says_what_it_earns_or_why_not(desk: Config, opened: Opened) -> None:
    told = {
        1: "EARNING at least 1.25 pUSD per day: inside the band · DEMO is not paid",
        2: "NOT EARNING below the minimum size: 5.00 of 50.00 shares",
    }
    for number, said in told.items():
        page = opened("orders", account=DEMO, order=str(number))
        assert said in re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", bodies(page))))
