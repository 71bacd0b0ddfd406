"""The doctor on a running desk: it looks with the engine's credential and disturbs nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.catalog import Finding, Grade
from engine.domain.commands import ExamineAccount, StartBot
from engine.domain.instruments import AccountId, BotId
from engine.live.commands.examination import sentence
from storage.commands import CommandState, LeftCommand
from storage.database import reading
from storage.live_accounts import Examination, Examiner, examinations
from storage.users import ENGINE_ID
from tests.live.polymarket_programs import ACCOUNT, BOT, LivePrograms


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[LivePrograms]:
    made = LivePrograms(tmp_path)
    made.fake()
    yield made
    made.end()


def verdict(programs: LivePrograms) -> Examination:
    with reading(programs.state) as connection:
        return examinations(connection, ENGINE_ID)[ACCOUNT, Examiner.DOCTOR]


def examined(programs: LivePrograms) -> LeftCommand:
    """Ask until the doctor is green: an answer that a busy machine held up is a finding, too."""
    answers: list[LeftCommand] = []

    def green() -> bool:
        answers.append(programs.command(ExamineAccount(account=ACCOUNT)))
        return answers[-1].state is CommandState.DONE and verdict(programs).green

    programs.until(green, "the doctor is green")
    return answers[-1]


def test_account_that_trades_is_examined_and_trades_on(programs: LivePrograms) -> None:
    programs.prepare()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BotId(BOT))).state is CommandState.DONE
    sql = "SELECT count(*) FROM orders WHERE state IN ('open', 'partial')"
    programs.until(lambda: int(str(programs.rows(sql)[0][0])) > 1, "it quotes", 120)
    assert examined(programs).answer == f"{ACCOUNT}: the doctor is green (findings: 10)"
    found = verdict(programs)
    assert (found.green, found.who) == (True, "test")
    assert {one.name: one.grade for one in found.findings}["alone"] == "ok"
    assert engine.poll() is None
    assert programs.problems() == []


def test_locked_account_is_examined_and_stays_locked(programs: LivePrograms) -> None:
    programs.prepare(unlocked=False)
    programs.engine()
    examined(programs)
    assert programs.rows("SELECT * FROM live_unlocks") == []
    refused = programs.command(ExamineAccount(account=AccountId("nobody")))
    assert (refused.state, "not a live account" in refused.answer) == (
        CommandState.REFUSED,
        True,
    )


def test_engine_without_the_credential_says_so(programs: LivePrograms) -> None:
    programs.prepare(unlocked=False)
    programs.engine(secret=False)
    left = programs.command(ExamineAccount(account=ACCOUNT))
    assert left.state is CommandState.REFUSED
    assert f"python -m engine unlock {ACCOUNT} --check" in left.answer


def test_verdict_is_told_with_what_to_mend_first() -> None:
    good = Finding("key", Grade.OK, "known")
    bad = Finding("clock", Grade.FAIL, "20 s off", "let NTP keep it")
    made = Examination(
        account="real", examiner=Examiner.DOCTOR, wallet="0x", at_ns=1, who="me", findings=(good,)
    )
    assert sentence(made) == "real: the doctor is green (findings: 1)"
    told = Examination(
        account="real", examiner=Examiner.DOCTOR, wallet="0x", at_ns=1, who="me",
        findings=(good, bad, bad),
    )  # fmt: skip
    assert sentence(told) == ("real: NOT green: clock: 20 s off; let NTP keep it (1 more to fix)")
