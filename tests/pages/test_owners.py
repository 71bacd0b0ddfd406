"""What each owner holds, and the transfer of some of it by mouse."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import MANUAL
from engine.domain.instruments import BotId, Leg, Mode
from engine.domain.telemetry import BotStatus
from pages.shared import owners
from storage.database import reading, writing
from storage.live import HoldingSeen, put_bots, put_holdings
from storage.projected import PROJECTED
from storage.projected.listings import ListingRow
from storage.projected.positions import PositionRow
from storage.views.money import held_by_owner, pnl_by_bot
from tests.pages.test_asking import M1, desk, left, press, words

__all__ = ["desk"]

Opened = Callable[..., AppTest]
SHARE = 1_000_000
MAKER, SLOW = BotId("maker"), BotId("slow")


def row(owner: str, leg: Leg, settled: int, cost: int, pending: int = 0) -> PositionRow:
    return PositionRow(
        account="demo", instrument=M1.id, leg=leg, bot=owner, mode=Mode.DEMO,
        settled=settled * SHARE, pending=pending * SHARE, cost_micro=cost, spent_micro=cost,
        updated_ns=1, seq=1,
    )  # fmt: skip


@pytest.fixture
def shared(desk: Config) -> Config:
    """The desk, where a running bot and a person hold the same market, and a bot is stopped."""
    now = time.time_ns()
    bots = tuple(
        BotStatus(
            name=name, mode=Mode.DEMO, account="demo", strategy="market_maker", state=state,
            error="", capital_micro=10**9, evaluations=5, watching=(),
        )
        for name, state in ((MAKER, "running"), (SLOW, "stopped"))
    )  # fmt: skip
    rows = [
        row(MAKER, Leg.YES, 10, 4_000_000, pending=2),
        row(MAKER, Leg.NO, 4, 2_000_000),
        row(MANUAL, Leg.YES, 7, 3_150_000),
    ]
    held = HoldingSeen(
        account="demo", instrument=M1.id, mode=Mode.DEMO, currency="pUSD", bot="",
        yes_settled=17 * SHARE, yes_pending=2 * SHARE, no_settled=4 * SHARE, no_pending=0,
        yes_cost_micro=7_150_000, no_cost_micro=2_000_000, value_micro=10_750_000, mid2=9_000,
        marked_ns=now, realised_micro=0, fees_micro=0, payout_yes_micro=None,
    )  # fmt: skip
    with writing(desk.state_path) as connection:
        put_bots(connection, "pitboss", bots, now)
        PROJECTED[PositionRow].rows.put(connection, "pitboss", rows, "INSERT OR REPLACE")
        listing = ListingRow(instrument=M1.id, value_divisor=10_000, one_token=SHARE, seq=1)
        PROJECTED[ListingRow].rows.put(connection, "pitboss", [listing], "INSERT OR REPLACE")
        put_holdings(connection, "pitboss", [held], now)
    return desk


def test_what_owners_hold_sums_to_what_each_made(shared: Config) -> None:
    with reading(shared.state_path) as connection:
        found = held_by_owner(connection, "pitboss", mode=Mode.DEMO)
        made = pnl_by_bot(connection, "pitboss", mode=Mode.DEMO, since={})
    shown = {(one["bot"], one["leg"]): (one["size"], one["free"], one["value"]) for one in found}
    assert shown == {
        (MAKER, "yes"): (Decimal(12), Decimal(10), Decimal("5.4")),
        (MAKER, "no"): (Decimal(4), Decimal(4), Decimal("2.2")),
        (MANUAL, "yes"): (Decimal(7), Decimal(7), Decimal("3.15")),
    }
    for whole in made:
        own = [one["unrealised"] for one in found if one["bot"] == whole["bot"]]
        assert sum(own) == whole["unrealised"]


def test_pairs_are_counted_for_each_owner_by_itself(shared: Config) -> None:
    with reading(shared.state_path) as connection:
        found = held_by_owner(connection, "pitboss", mode=Mode.DEMO)
    ((of, number, cost),) = owners.pairs(found)
    assert (of["bot"], number) == (MAKER, 4)
    assert cost == Decimal(4) * 4 / 12 + 2


def test_tokens_that_are_not_free_make_no_pair(shared: Config) -> None:
    with reading(shared.state_path) as connection:
        found = held_by_owner(connection, "pitboss", mode=Mode.DEMO)
    for row in found:
        if row["leg"] == "no":
            row["free"] = Decimal(0)
    assert owners.pairs(found) == []


@pytest.mark.long
def test_a_transfer_is_left_after_a_dialog_that_names_both_owners(
    opened: Opened, shared: Config
) -> None:
    page = opened("positions", state={"fold_transfer": True})
    (_, table) = [frame.value for frame in page.dataframe if "bot" in frame.value]
    assert sorted(set(table["bot"])) == [MAKER, MANUAL]
    page.selectbox(key="transfer_from").set_value(f"{MANUAL}: 7 YES of comet-1 at demo").run()
    taker = next(one for one in page.selectbox if one.label == "To")
    assert list(taker.options) == [MAKER, SLOW]
    field = {one.label.partition(",")[0]: one for one in page.text_input}
    field["Size"].set_value("2.5")
    field["Price"].set_value("61")
    press(page, "Show what will happen")
    said = words(page)
    assert "**2.5 YES** of **comet-1**" in said
    assert f"from **{MANUAL}** to **{MAKER}** at 61¢" in said
    assert left(shared) == []
    press(page, "Transfer it")
    ((kind, body),) = left(shared)
    assert (kind, body["size"], body["price"]) == ("TransferHolding", 2_500_000, 6_100)
    assert (body["from_owner"], body["to_owner"]) == (MANUAL, MAKER)


@pytest.mark.long
def test_a_person_may_act_for_himself_and_for_bots_that_do_not_run(
    opened: Opened, shared: Config
) -> None:
    page = opened("market", instrument=M1.id)
    (owner,) = [one for one in page.selectbox if one.label == "For"]
    assert list(owner.options) == [MANUAL, SLOW]
    (of,) = [one for one in page.selectbox if one.label == "Of"]
    assert list(of.options) == [MANUAL]  # the bot that runs keeps what it holds
    press(page, "Flatten…")
    press(page, "Flatten the position")
    ((kind, body),) = left(shared)
    assert (kind, body["owner"]) == ("Flatten", MANUAL)
