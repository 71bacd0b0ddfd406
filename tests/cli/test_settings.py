"""`settings` from the command line: what a page edits, refusals with their word, a bot's life."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.cli.settings import REASONS
from engine.domain.bots import BotState
from engine.domain.settings import SettingsDocument
from engine.locks import locked
from storage.database import reading, writing
from storage.listed_markets import FILE
from storage.schema import migrate
from storage.settings import applied, edit_refusal, in_force, latest, merged, save
from storage.users import ENGINE_ID
from storage.views import audit
from tests.live.trading_desk import DEMO, Exchange, TradingDesk
from tests.storage.test_listed_markets import fetched

DOCUMENT = {"accounts": {"paper": {"name": "paper", "venue": "demo", "mode": "paper"}}}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a home with one paper account in force, as version 1."""
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    path = tmp_path / "pitboss.db"
    migrate(path)
    with writing(path) as connection:
        save(
            connection, engine_id=ENGINE_ID, who="ann", diff=DOCUMENT, base_version=0, now_ns=1
        )  # fmt: skip
        applied(connection, ENGINE_ID, 1, 1)
    return path


class Said:
    """Runs a command and gives its exit code with what it printed as JSON."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, dict[str, Any]]:
        code = main([*words, "--json"])
        return code, json.loads(self._capsys.readouterr().out)


@pytest.fixture
def said(state: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    assert state.is_file()
    return Said(capsys)


def bot(name: str = "maker", **more: Any) -> str:
    made = {"strategy": "market_maker", "account": "paper", "capital": 100, "series": ["s"]}
    return f"bots.{name}={json.dumps(made | more)}"


def test_a_change_is_saved_with_its_author_and_is_not_in_force(state: Path, said: Said) -> None:
    code, answer = said("settings", "set", bot(), "accounts.paper.limits.open_orders_max=7")
    assert (code, answer["version"], answer["saved"], answer["in_force"]) == (0, 2, True, False)
    assert {"path": "bots.maker.capital", "before": None, "after": 100.0} in answer["changes"]
    with reading(state) as connection:
        saved = latest(connection, ENGINE_ID)
        assert in_force(connection, ENGINE_ID).version == 1
        assert audit(connection, ENGINE_ID)[0]["what"] == "settings 2 saved"
    assert saved.who.startswith("cli:")
    assert saved.document.bots["maker"].capital == 100
    assert said("settings", "get", "bots.maker.name")[1]["value"] == "maker"
    assert said("settings", "show", "--version", "1")[1]["document"]["bots"] == {}
    code, answer = said("settings", "diff")
    assert (code, answer["before"], answer["after"]) == (1, 1, 2)
    assert said("settings", "diff", "2", "2") == (0, {"before": 2, "after": 2, "changes": []})


def test_alert_rules_that_cannot_be_are_refused_and_a_missing_channel_is_said(said: Said) -> None:
    for dry in ((), ("--dry-run",)):
        code, answer = said("settings", "set", "alerts.zone=Europe/Berln", *dry)
        assert (code, answer["reason"]) == (3, "invalid")
        assert "did you mean Europe/Berlin?" in answer["text"]
    code, answer = said("alerts", "rule", "nights", 'kinds=["reprot"]')
    assert code == 3
    assert "no kind of alert 'reprot'" in answer["text"]
    code, answer = said("alerts", "rule", "nights", 'channels=["gone"]')
    assert (code, answer["version"]) == (0, 2)
    (warned,) = answer["warnings"]
    assert warned.startswith("alert rule nights names gone")
    assert said("alerts", "rules")[1]["warnings"] == [warned]


def test_a_bot_of_a_market_that_is_not_listed_is_refused_or_said(state: Path, said: Said) -> None:
    one = bot(series=[], instruments=["demo:commet-visible-1"])
    code, answer = said("settings", "set", one, "--dry-run")
    assert (code, answer["saved"]) == (0, False), "nothing was fetched yet"
    fetched(state.parent, finished_ns=time.time_ns())
    for dry in ((), ("--dry-run",)):
        code, answer = said("settings", "set", one, *dry)
        assert (code, answer["reason"]) == (3, "invalid")
        assert "the nearest: demo:comet-visible-1" in answer["text"]
    (state.parent / FILE).unlink()
    code, answer = said("settings", "set", one)
    assert (code, answer["version"]) == (0, 2)
    assert answer["note"].startswith("not known yet: market demo:commet-visible-1")


def test_a_limit_changes_its_kind_in_one_step(said: Said) -> None:
    path = "accounts.paper.limits.daily_loss_max"
    assert said("settings", "set", f'{path}={{"absolute": 50}}')[0] == 0
    assert said("settings", "get", path)[1]["value"] == {"absolute": 50.0, "percent": None}


def test_a_dry_run_says_what_would_change_and_saves_nothing(state: Path, said: Said) -> None:
    code, answer = said("settings", "set", bot(), "--dry-run")
    assert (code, answer["saved"]) == (0, False)
    assert answer["changes"]
    with reading(state) as connection:
        assert latest(connection, ENGINE_ID).version == 1


@pytest.mark.parametrize(
    ("words", "reason", "sentence"),
    [
        (["set", bot(capital=-1)], "invalid", "bots.maker.capital: Input should be greater"),
        (["set", bot(account="none")], "invalid", "unknown account 'none'"),
        (["set", bot(series=[])], "invalid", "has nothing to trade"),
        (["set", bot(strategy="luck")], "invalid", "there is no strategy 'luck'"),
        (["set", bot(parameters={"levels": "x"})], "invalid", "parameter levels=x"),
        (["set", "accounts.paper.name.x=1"], "no_such_setting", "'x'"),
        (["unset", "bots.nothing"], "no_such_setting", "no setting 'bots.nothing'"),
        (["get", "accounts.other"], "no_such_setting", "known: paper"),
        (["show", "--version", "9"], "no_such_version", "no version 9"),
        (["apply", "9"], "no_such_version", "no version 9"),
        (["import", "/nowhere/at/all"], "unreadable_file", "/nowhere/at/all"),
        (["set", "no equals sign"], "config_error", "path=value"),
    ],
)
def test_a_refusal_has_a_word_and_a_sentence_and_changes_nothing(
    state: Path, said: Said, words: list[str], reason: str, sentence: str
) -> None:
    code, answer = said("settings", *words)
    assert code in {2, 3}
    assert answer["reason"] == reason
    assert reason in REASONS or reason == "config_error"
    assert sentence in answer["text"]
    with reading(state) as connection:
        assert latest(connection, ENGINE_ID).version == 1


def test_a_change_made_from_an_older_version_is_refused_with_what_changed(said: Said) -> None:
    assert said("settings", "set", bot())[0] == 0
    code, answer = said("settings", "set", "accounts.paper.redeem_above=3", "--base", "1")
    assert (code, answer["saved"], answer["reason"]) == (1, False, "stale")
    assert {one["path"] for one in answer["changes_since"]} >= {"bots.maker.capital"}
    assert said("settings", "get", "accounts.paper.redeem_above")[1]["value"] == 0


def test_without_an_engine_a_version_is_saved_and_said_to_be_no_more(said: Said) -> None:
    code, answer = said("settings", "set", bot(), "--apply", "--wait", "0")
    assert (code, answer["saved"], answer["in_force"]) == (1, True, False)
    assert answer["reason"] == "no_engine"


def test_an_engine_that_does_not_answer_is_named(state: Path, said: Said) -> None:
    engine = locked(state.parent / "run" / "engine.lock", "engine")
    try:
        code, answer = said("settings", "apply", "--wait", "0")
    finally:
        engine.close()
    assert (code, answer["reason"]) == (1, "unanswered")


def test_a_file_that_cannot_be_written_is_refused_by_its_own_name(
    said: Said, tmp_path: Path
) -> None:
    file = tmp_path / "away" / "kept.json"
    code, answer = said("settings", "export", str(file))
    assert code == 3
    assert f"{file} cannot be written: there is no folder {file.parent}" in str(answer)


def test_what_is_exported_makes_the_same_settings_again(
    state: Path, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("settings", "set", bot("one"), bot("two", series=["t"]))[0] == 0
    file = tmp_path / "kept.json"
    assert said("settings", "export", str(file))[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    with reading(state) as connection:
        before = latest(connection, ENGINE_ID).document
    assert said("settings", "unset", "bots.one")[0] == 0
    assert said("settings", "set", bot("three", series=["u"]))[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(file.read_text()))
    assert said("settings", "import", "-")[0] == 0
    with reading(state) as connection:
        assert set(latest(connection, ENGINE_ID).document.bots) == {"one", "two", "three"}
    assert said("settings", "import", str(file), "--replace")[0] == 0
    with reading(state) as connection:
        assert latest(connection, ENGINE_ID).document == before
    file.write_text('{"format": "something else", "document": {}}')
    assert said("settings", "import", str(file))[1]["reason"] == "unreadable_file"


def test_every_reason_is_told_with_its_meaning() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [one for one in REASONS if f"| `{one}` | {REASONS[one]} |" not in text] == []


def test_a_common_flag_may_stand_behind_a_verb_of_every_command(said: Said) -> None:
    """Red before: `credentials list --json` was refused."""
    assert said("credentials", "list")[0] == 0


async def test_a_bot_is_made_started_changed_stopped_and_removed_by_command_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    said = Said(capsys)
    async with TradingDesk(tmp_path, Exchange()) as desk:
        engine = locked(tmp_path / "run" / "engine.lock", "engine")

        async def typed(*words: str) -> tuple[int, dict[str, Any]]:
            task = asyncio.create_task(asyncio.to_thread(said, *words, "--wait", "30"))
            await desk.until(lambda: looked(task.done()), " ".join(words))
            return await task

        def looked(answered: bool) -> bool:
            desk.engine.tick(desk.engine.clock.now_ns())
            return answered

        try:
            desk.engine.runners[DEMO].core.executor.ledger.move_cash(10**10)
            made = bot("mine", account="demo", series=[], instruments=["polymarket:two"])
            code, answer = await typed("settings", "set", made, "--apply")
            assert (code, answer["in_force"]) == (0, True), answer.get("text")
            runner = desk.engine.bot_runners["mine"]
            assert runner.bot.state is BotState.IDLE

            code, answer = await typed("command", "start-bot", "bot=mine")
            assert (code, answer["state"]) == (0, "done"), answer
            await desk.until(lambda: looked(runner.bot.state is BotState.RUNNING), "it runs")

            code, answer = await typed("settings", "set", "bots.mine.capital=50", "--apply")
            assert (code, answer["reason"]) == (1, "refused"), answer
            assert "stop it before its settings change" in answer["text"]

            code, answer = await typed("command", "stop-bot", "bot=mine")
            assert (code, answer["state"]) == (0, "done"), answer
            code, answer = await typed("settings", "apply")
            assert (code, answer["in_force"]) == (0, True), answer.get("text")
            assert desk.engine.bot_runners["mine"].settings.capital == 50

            code, answer = await typed("settings", "unset", "bots.mine", "--apply")
            assert (code, answer["in_force"]) == (0, True), answer.get("text")
            assert "mine" not in desk.engine.bot_runners
        finally:
            engine.close()


def test_a_disabled_strategy_takes_no_new_bot_by_one_sentence_and_leaves_those_that_run(
    said: Said, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said("settings", "set", bot("old"))[0] == 0
    code, answer = said("strategies", "disable", "market_maker")
    assert (code, answer["in_force"], answer["state"], answer["bots"]) == (
        1, False, "disabled", ["old"]
    )  # fmt: skip
    main(["strategies", "disable", "market_maker"])
    assert "NOT in force: no engine is running" in (out := capsys.readouterr().out)
    assert "bots that have it go on as they are: old" in out
    why = "bot new: strategy market_maker is disabled: `strategies enable market_maker` lets new"
    assert main(["settings", "set", bot("new")]) != 0
    assert why in capsys.readouterr().err
    assert said("settings", "set", bot("old", capital=50))[0] == 0, "a bot that has it is edited"
    with reading(state) as connection:
        newest = latest(connection, ENGINE_ID).document
        after = SettingsDocument.model_validate(
            merged(newest.model_dump(mode="json"), {"bots": {"new": {
                "name": "new", "strategy": "market_maker", "account": "paper", "capital": 1}}})
        )  # fmt: skip
        refused = edit_refusal(connection, ENGINE_ID, before=newest, after=after, now_ns=1)
    assert refused.startswith(why), "pages say the same"
    said("strategies", "remove", "market_maker")
    rows = {row["name"]: row["state"] for row in said("strategies", "list")[1]["strategies"]}
    assert (rows["market_maker"], rows["grid"]) == ("removed", "enabled")
    said("strategies", "restore", "market_maker")
    said("strategies", "enable", "market_maker")
    assert said("settings", "set", bot("new"))[0] == 0
    found = said("strategies", "history", "market_maker")[1]["history"]
    assert [one["changes"][0]["path"] for one in found[:2]] == ["enabled", "removed"]
    assert (found[0]["changes"][0]["before"], found[0]["changes"][0]["after"]) == (False, True)
    assert main(["strategies", "disable", "nothing"]) == 3
