"""Live accounts on the Settings page: what is missing next, what was found, who unlocked it."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import Finding, Grade
from pages.settings.live_accounts import AccountFacts, steps
from storage.database import transaction, writing
from storage.live_accounts import Examination, Examiner, Unlock, put_examination, unlock
from storage.settings import latest, save
from tests.pages.test_asking import beat, left, press, texts, words

Opened = Callable[..., AppTest]
WALLET = "0x" + "ab" * 20
GOOD = Finding("key", Grade.OK, "the venue knows our API key")
BAD = Finding("clock", Grade.FAIL, "20.0 s off the venue's", "let the system keep its time by NTP")
GREEN = Examination(
    account="real", examiner=Examiner.DOCTOR, wallet=WALLET, at_ns=5, who="cli:ann",
    findings=(GOOD,),
)  # fmt: skip
RED = msgspec.structs.replace(GREEN, findings=(GOOD, BAD))
TESTED = msgspec.structs.replace(GREEN, examiner=Examiner.SELFTEST)
UNLOCK = Unlock(account="real", wallet=WALLET, doctor_ns=5, phrase_ns=7, who="cli:ann")
NOTHING = AccountFacts(
    account="real", key_wallet="", doctor=None, selftest=None, unlock=None, engine_started_ns=None
)
ALL = AccountFacts(
    account="real", key_wallet=WALLET, doctor=GREEN, selftest=TESTED, unlock=UNLOCK,
    engine_started_ns=9,
)  # fmt: skip


def done(known: AccountFacts) -> list[str]:
    return [step.name for step in steps(known) if step.done]


def test_steps_stand_in_their_order_and_each_needs_its_proof() -> None:
    names = ["Key", "Doctor", "Phrase", "Self-test", "Start"]
    assert [step.name for step in steps(NOTHING)] == names
    assert done(NOTHING) == []
    assert done(ALL) == names


@pytest.mark.parametrize(
    ("changes", "missing", "said"),
    [
        ({"doctor": RED}, "Doctor", "to fix: clock"),
        ({"doctor": None}, "Doctor", "not run yet"),
        ({"unlock": None}, "Phrase", "not here"),
        ({"selftest": None}, "Self-test", "stop the engine first"),
        ({"engine_started_ns": 6}, "Start", "restart it"),
        ({"engine_started_ns": None}, "Start", "no engine is running"),
    ],
)
def test_what_is_missing_is_said(changes: dict[str, object], missing: str, said: str) -> None:
    found = {step.name: step for step in steps(ALL._replace(**changes))}
    assert not found[missing].done
    assert said in found[missing].said


def test_account_that_was_opened_without_a_restart_has_started() -> None:
    early = ALL._replace(engine_started_ns=6)
    assert "Start" not in done(early._replace(beat_ns=6))
    assert "Start" in done(early._replace(beat_ns=8))
    assert "Start" not in done(early._replace(beat_ns=8, unlock=None))


def test_verdicts_of_another_wallet_prove_nothing() -> None:
    other = ALL._replace(key_wallet="0x" + "cd" * 20)
    assert done(other) == ["Key", "Start"]


def test_key_of_the_environment_is_known_by_the_doctors_verdict() -> None:
    assert done(NOTHING._replace(doctor=GREEN)) == ["Key", "Doctor"]


@pytest.fixture
def desk(config: Config) -> Config:
    """A home with a live account in its settings."""
    with writing(config.state_path) as connection:
        account = {"name": "real", "venue": "polymarket", "mode": "live"}
        save(
            connection,
            engine_id="pitboss",
            who="ann",
            diff={"accounts": {"real": account}},
            base_version=latest(connection, "pitboss").version,
            now_ns=5,
        )
    return config


def test_new_live_account_says_what_comes_first(opened: Opened, desk: Config) -> None:
    beat(desk)
    page = opened("settings")
    told = texts(page)
    assert "locked: it does not trade" in words(page)
    assert "credentials set real --wallet" in told
    assert "unlock real --check" in told
    press(page, "Run the doctor on real")
    assert left(desk) == [("ExamineAccount", {"type": "ExamineAccount", "account": "real"})]
    assert "Command: **queued**" in words(page)


def test_verdict_is_shown_with_the_sentence_that_mends_it(opened: Opened, desk: Config) -> None:
    at_ns = time.time_ns()
    with writing(desk.state_path) as connection, transaction(connection):
        for found in (RED, TESTED):
            fresh = msgspec.structs.replace(found, at_ns=at_ns)
            put_examination(connection, "pitboss", fresh)
        unlock(connection, "pitboss", UNLOCK)
    page = opened("settings")
    told = texts(page)
    assert "let the system keep its time by NTP" in told
    labels = [one.label for one in page.expander]
    assert any(label.startswith("Doctor: NOT green, 1 to fix") for label in labels)
    assert any(label.startswith("Self-test: green") for label in labels)
    assert f"by cli:ann for {WALLET}" in words(page)
    button = next(one for one in page.button if one.label.startswith("Run the doctor"))
    assert button.disabled, "no engine is running"


def test_desk_without_a_live_account_has_no_such_part(opened: Opened) -> None:
    assert "Live accounts" not in [one.value for one in opened("settings").subheader]
