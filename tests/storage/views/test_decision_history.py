"""A bot's evaluations over time: repeats as one stretch, filters by outcome, every plan kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.domain.decisions import Decision, Gate, Planned, Stance
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import Quotes, Target
from engine.runtime.decisions import DecisionLog
from storage.views.decision_history import every_plan, outcomes, timeline

BOT, ONE, TWO = BotId("maker"), InstrumentId("demo:one"), InstrumentId("demo:two")


def intent(number: int, bid: int) -> Quotes:
    return Quotes(
        bot=BOT, instrument=ONE, bids=((bid, 10),), valid_until_ns=10**12 + number, decision=number
    )


def entry(number: int, outcome: str, *, bid: int | None = None, of: InstrumentId = ONE) -> Decision:
    return Decision(
        number=number,
        bot=BOT,
        instrument=of,
        at_ns=number * 1_000,
        regime="quiet",
        inputs=(),
        build_up=(("fair", 0.5),),
        gates=(Gate("data_age_ms", outcome in ("quote", "hold"), 12_000.0, 5_000.0),),
        outcome=outcome,
        intent=None if bid is None else intent(number, bid),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "decisions.db"
    log = DecisionLog(made, engine_id="engine")
    for one in (
        entry(1, "quote", bid=4_000),
        entry(2, "hold"),
        entry(3, "data_age_ms", of=TWO),
        entry(4, "quote", bid=4_000),
        entry(5, "quote", bid=4_100),
        entry(6, "hold"),
        entry(7, "data_age_ms"),
        entry(8, "data_age_ms"),
        entry(9, "quote", bid=4_100),
    ):
        log.append(one)
    log.append(
        Planned(
            decision=1, account=AccountId("demo"), bot=BOT, instrument=ONE, at_ns=1_000,
            places=(), cancels=(), rests=(), left=(), rules=(),
        )
    )  # fmt: skip
    log.close()
    return made


def test_the_same_intent_stated_again_and_kept_is_one_stretch_with_its_span(path: Path) -> None:
    shown = [one for one in timeline(path, bot=BOT) if one.instrument == ONE]
    assert [(one.outcome, one.count, one.first_ns, one.last_ns) for one in shown] == [
        ("quote", 1, 9_000, 9_000),
        ("data_age_ms", 2, 7_000, 8_000),
        ("quote", 2, 5_000, 6_000),
        ("quote", 3, 1_000, 4_000),
    ]
    assert [one.intent.bids[0][0] for one in shown if isinstance(one.intent, Quotes)] == [
        4_100, 4_100, 4_000,
    ]  # fmt: skip


def test_a_timeline_is_filtered_by_quoting_and_by_reason(path: Path) -> None:
    assert {one.outcome for one in timeline(path, bot=BOT, standing=True)} == {"quote"}
    assert len(timeline(path, bot=BOT, standing=False)) == 2
    assert len(timeline(path, bot=BOT, outcome="data_age_ms", rows_max=1)) == 1
    assert timeline(path, bot="nobody") == []
    assert outcomes(path, bot=BOT) == {"quote": 4, "data_age_ms": 3, "hold": 2}


def test_a_target_stands_under_whatever_name_its_strategy_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    log = DecisionLog(path, engine_id="engine")
    wanted = Target(
        bot=BOT, instrument=ONE, position=50, limit_price=4_000, valid_until_ns=10**12, decision=1
    )
    begun = msgspec.structs.replace(entry(1, "enter_long"), gates=(), intent=wanted)
    stays = msgspec.structs.replace(entry(2, "in_position"), gates=())
    for one in (begun, stays, entry(3, "too_far")):
        log.append(one)
    log.close()
    (stands,) = timeline(path, bot=BOT, standing=True)
    assert (stands.stance, stands.count, stands.intent) == (Stance.TARGET, 2, wanted)
    (rests,) = timeline(path, bot=BOT, standing=False)
    assert (rests.stance, rests.outcome) == (Stance.BLOCKED, "too_far")
    assert outcomes(path, bot=BOT, standing=False) == {"too_far": 1}


def test_every_plan_is_given_with_its_very_bytes(path: Path) -> None:
    ((plan, body),) = every_plan(path)
    assert (plan.decision, plan.instrument) == (1, ONE)
    assert type(body) is bytes


def test_a_log_that_is_not_there_has_no_history(tmp_path: Path) -> None:
    missing = tmp_path / "decisions.db"
    assert timeline(missing, bot=BOT) == []
    assert list(every_plan(missing)) == []
