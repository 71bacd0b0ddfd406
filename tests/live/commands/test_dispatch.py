"""Commands on a whole desk: orders by hand, scoped KILLs, listings, modes; answered when true."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from engine.domain.commands import (
    MANUAL,
    ApplySettings,
    CancelOrderByHand,
    Kill,
    PlaceManual,
    ReleaseLatch,
    SetMode,
    StartBot,
    StopBot,
    SyncMarkets,
)
from engine.domain.instruments import AccountId, InstrumentId, Leg, Mode, Side
from engine.domain.orders import OrderId
from storage.commands import SCOPE_PROOF, STOP_PROOF, CommandState, LeftCommand
from storage.database import connect_writer
from storage.settings import Saved, save
from storage.users import ENGINE_ID
from tests.live.programs import ACCOUNT, BOT, LONG_S, Programs, prepare
from tests.ports import free_port

DONE, REFUSED = CommandState.DONE, CommandState.REFUSED
CUT = InstrumentId("demo:rate-cut-by-march-1")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    made = Programs(tmp_path_factory.mktemp("desk"), free_port())
    prepare(made.state)
    made.demo()
    yield made
    made.end()


def assert_answer(left: LeftCommand, state: CommandState, *words: str) -> None:
    assert left.state is state, left.answer
    for word in words:
        assert word in left.answer


def by_hand(instrument: InstrumentId, **changes: Any) -> PlaceManual:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "instrument": instrument,
        "leg": Leg.YES,
        "side": Side.BUY,
        "price": 100,
        "size": 10_000_000,
    }
    return PlaceManual(**(fields | changes))


def other_market(programs: Programs) -> InstrumentId:
    """A binary market no bot of the test trades."""
    rows = programs.rows(
        "SELECT id FROM instruments WHERE series = '' AND payout_yes_micro IS NULL"
        " AND kind = 'binary' ORDER BY id"
    )
    return InstrumentId(next(str(name) for (name,) in rows if name != CUT))


@pytest.mark.long
def test_commands_on_a_trading_desk(programs: Programs) -> None:
    engine = programs.engine()
    assert_answer(programs.command(StartBot(bot=BOT)), DONE)
    programs.until(lambda: programs.live() > 0, "an order rests")
    market = other_market(programs)
    order_by_hand(programs, market)
    listings(programs)
    scoped_kill(programs, market)
    engine.kill()
    engine.wait(150)
    engine = programs.engine()
    release_after_a_crash(programs)
    account_kill(programs, market)
    modes(programs)

    # The engine's stop takes the order by hand with it.
    assert_answer(programs.command(by_hand(market)), DONE)
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(LONG_S) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven
    assert programs.live() == 0


def order_by_hand(programs: Programs, market: InstrumentId) -> None:
    """It is placed, shown as such, left alone, cancelled by hand; what cannot be is refused."""
    command = programs.command
    beside = command(by_hand(CUT))  # the bot that trades there goes on
    assert_answer(beside, DONE, "is accepted and rests")
    gone = OrderId(int(beside.answer.split()[1]))
    assert_answer(command(CancelOrderByHand(account=ACCOUNT, order=gone)), DONE)
    assert_answer(command(by_hand(market, price=101)), REFUSED, "price 1.01¢ is not legal")
    assert_answer(command(by_hand(market, account=AccountId("x"))), REFUSED, "no account 'x'")
    placed = command(by_hand(market))
    assert_answer(placed, DONE, "buy 10 yes at 1¢", "is accepted and rests")
    number = int(placed.answer.split()[1])
    shown = f"SELECT bot, state FROM orders WHERE id = {number}"
    programs.until(lambda: programs.rows(shown) == [(MANUAL, "open")], "it is shown as by hand")
    time.sleep(1.0)
    assert programs.rows(shown) == [(MANUAL, "open")]
    assert_answer(command(CancelOrderByHand(account=ACCOUNT, order=OrderId(number))), DONE)
    programs.until(lambda: programs.rows(shown) == [(MANUAL, "cancelled")], "it is cancelled")
    crossing = command(by_hand(market, price=9_900))
    assert_answer(crossing, CommandState.FAILED, "is rejected: would_cross")


def listings(programs: Programs) -> None:
    """The exchange's own listing is compared; that of others cannot be asked for."""
    command = programs.command
    assert_answer(command(SyncMarkets(venue="demo")), DONE, "0 new, 0 changed, 0 gone")
    assert_answer(command(SyncMarkets(venue="okx")), REFUSED, "'okx' cannot be fetched")


def scoped_kill(programs: Programs, market: InstrumentId) -> None:
    """KILL of one market stops the bot that trades there; an order elsewhere stays."""
    command = programs.command
    time.sleep(0.3)  # the pause after the refusal of the last order there
    rests = int(command(by_hand(market)).answer.split()[1])
    began = time.monotonic()
    killed = command(Kill(instrument=CUT))
    assert_answer(killed, DONE, f"PROVEN: nothing of instrument {CUT} is open")
    print(f"\nKILL of an instrument: PROVEN after {time.monotonic() - began:.2f} s")
    programs.until(lambda: stopped(programs), "the bot is stopped")
    assert programs.rows(f"SELECT state FROM orders WHERE id = {rests}") == [("open",)]
    assert_answer(command(by_hand(CUT)), REFUSED, f"KILL of instrument {CUT} by test is set")


def release_after_a_crash(programs: Programs) -> None:
    """The scoped latch survives, is proven anew, and goes by a typed reason alone."""
    command = programs.command
    programs.until(lambda: receipts(programs) == 2, "the scope is proven again")
    assert_answer(command(by_hand(CUT)), REFUSED, f"KILL of instrument {CUT}")
    assert_answer(command(ReleaseLatch(reason="", instrument=CUT)), REFUSED, "type a reason")
    assert_answer(command(ReleaseLatch(reason="x", bot=BOT)), REFUSED, "no KILL of bot maker")
    words = ("command", "release-latch", "reason=looked at it", f"instrument={CUT}")
    assert programs.start(*words).wait(LONG_S) == 0
    until = time.monotonic() + 40
    placed = command(by_hand(CUT))
    while "places nothing now" in placed.answer and time.monotonic() < until:
        placed = command(by_hand(CUT))  # a start places nothing before it has asked the venue
    assert_answer(placed, DONE, "is accepted and rests")


def account_kill(programs: Programs, market: InstrumentId) -> None:
    """It cancels what was placed by hand, too; nothing starts there before the release."""
    command = programs.command
    assert_answer(command(Kill(account=ACCOUNT)), DONE, "nothing of account demo is open")
    programs.until(lambda: programs.live() == 0, "every order has its end in the projection")
    assert_answer(command(StartBot(bot=BOT)), REFUSED, "KILL of the account by test is set")
    assert_answer(command(by_hand(market)), REFUSED, "KILL of the account")
    assert_answer(command(ReleaseLatch(reason="seen", account=ACCOUNT)), DONE)
    assert_answer(command(Kill(account=ACCOUNT, bot=BOT)), REFUSED, "name one of")


def modes(programs: Programs) -> None:
    """Only a stopped bot may change its mode, and only where there is an account for it."""
    command = programs.command
    assert_answer(command(SetMode(bot=BOT, mode=Mode.LIVE)), REFUSED, "is not moved to LIVE")
    assert_answer(command(SetMode(bot=BOT, mode=Mode.DEMO)), REFUSED, "in mode demo already")
    assert_answer(command(SetMode(bot=BOT, mode=Mode.PAPER)), REFUSED, "no paper account at demo")
    assert_answer(command(StartBot(bot=BOT)), DONE)
    assert_answer(command(SetMode(bot=BOT, mode=Mode.PAPER)), REFUSED, "stop it first")
    assert_answer(command(StopBot(bot=BOT)), DONE, "proven: none of its orders is open")
    saved = with_paper_account(programs)
    assert_answer(command(SetMode(bot=BOT, mode=Mode.PAPER)), REFUSED, "saved and not applied")
    assert_answer(command(ApplySettings(version=saved)), DONE)
    moved = command(SetMode(bot=BOT, mode=Mode.PAPER))
    assert_answer(moved, DONE, "bot maker trades at paper (paper)", "what demo holds in")
    audit = f"SELECT who FROM audit WHERE what = 'settings {saved + 1} saved'"
    assert programs.rows(audit) == [("test",)]
    assert_answer(command(StartBot(bot=BOT)), DONE)
    paper = "SELECT count(*) FROM orders WHERE account = 'paper' AND mode = 'paper'"
    programs.until(lambda: programs.rows(paper) != [(0,)], "it trades at its twin")
    assert_answer(command(StopBot(bot=BOT)), DONE, "proven: none of its orders is open")
    assert_answer(command(SetMode(bot=BOT, mode=Mode.DEMO)), DONE, "trades at demo (demo)")


def with_paper_account(programs: Programs) -> int:
    """Save a version that has a paper account, too; give its number."""
    account = {"name": "paper", "venue": "demo", "mode": "paper", "starting_cash": 5_000.0}
    with closing(connect_writer(programs.state)) as connection:
        saved = save(
            connection,
            engine_id=ENGINE_ID,
            who="test",
            diff={"accounts": {"paper": account}},
            base_version=1,
            now_ns=time.time_ns(),
        )
    assert isinstance(saved, Saved)
    return saved.version


def stopped(programs: Programs) -> bool:
    return programs.rows("SELECT state FROM bots") == [("stopped",)]


def receipts(programs: Programs) -> int:
    """Count the scopes' receipts that are PROVEN; one may say first what it lacks."""
    proven = "json_extract(detail, '$.proven')"
    sql = f"SELECT count(*) FROM audit WHERE what = '{SCOPE_PROOF}' AND {proven}"
    return int(str(programs.rows(sql)[0][0]))
