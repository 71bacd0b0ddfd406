"""Jobs and recordings: what is shown of them, and the commands that leave the pages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import StrategyEntry
from engine.domain.commands import AnyCommand, CancelJob, RunJob, StartRecording, StopRecording
from engine.domain.commands.rounds import RunRound
from engine.domain.instruments import InstrumentId, Mode
from engine.domain.jobs import JOB_KINDS, ExportJob, arguments_of
from pages import jobs
from pages.jobs import in_words, speed
from pages.kit.forms import bounds, label_of
from pages.shared.backtest import pairs
from pages.shared.job import amount, brought
from storage.catalog import put_catalog
from storage.database import reading, transaction, writing
from storage.datasets import (
    Checked,
    DataKind,
    DatasetWriter,
    DataTrust,
    Judgement,
    NamedFile,
    RowCounts,
)
from storage.feeds import put_title
from storage.files import said_bytes
from storage.jobs import (
    JobProgress,
    JobState,
    RecordingFigures,
    ScheduleSeen,
    begin_recording,
    claim,
    find,
    finish,
    note_figures,
    put_schedule,
    queue,
    report_progress,
)
from storage.own_files import keep
from storage.rounds import RoundSeen, put_rounds
from storage.settings import latest
from storage.users import ENGINE_ID
from tests.pages.seen import texts
from tests.storage.books import add_account

S = 1_000_000_000
Opened = Callable[..., AppTest]
RAIN = "polymarket:0x" + "ab" * 32
CATALOG = {
    "market_maker": StrategyEntry(
        parameters={"properties": {"levels": {"type": "integer", "default": 1}}},
        gates={},
        values={},
    )
}


def run_engine(config: Config) -> None:
    """Write the heartbeat of an engine that lives: this process."""
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO engine_state VALUES (?, 'RUNNING', ?, 1, ?, '1', 0, '{}')",
            (ENGINE_ID, time.time_ns() + 10**9, os.getpid()),
        )
        put_catalog(connection, ENGINE_ID, StrategyEntry, CATALOG, 1)


def run_worker(config: Config) -> None:
    config.run_folder.mkdir(exist_ok=True)
    (config.run_folder / "worker.lock").touch()


def queued(config: Config, kind: str = "backup", **arguments: Any) -> int:
    with writing(config.state_path) as connection:
        return queue(
            connection, engine_id=ENGINE_ID, kind=kind, arguments=json.dumps(arguments),
            who="ann", now_ns=time.time_ns(),
        )  # fmt: skip


def under_way(config: Config) -> int:
    """Claim the oldest job ten seconds ago and have it tell that a quarter is done."""
    now = time.time_ns()
    with writing(config.state_path) as connection:
        job = claim(connection, ENGINE_ID, now - 10 * S)
        assert job is not None
        progress = JobProgress(done=25_000_000, total=100_000_000, unit="bytes", note="events")
        assert report_progress(connection, ENGINE_ID, job, progress, now)
    return job.id


def left(config: Config) -> list[AnyCommand]:
    with reading(config.state_path) as connection:
        rows = connection.execute("SELECT body FROM commands ORDER BY created_ns").fetchall()
    return [msgspec.json.decode(body, type=AnyCommand) for (body,) in rows]


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception, page.exception


def test_without_a_job_the_page_says_what_to_do_and_who_is_missing(opened: Opened) -> None:
    shown = texts(opened("jobs"))
    assert "There are no jobs yet" in shown
    assert "NO WORKER IS RUNNING" in shown
    assert "No engine is running" in shown
    assert "No schedule has been reported" in shown


def test_a_worker_that_lives_is_said(opened: Opened, config: Config) -> None:
    run_worker(config)
    assert "The worker was active" in texts(opened("jobs"))


def test_a_running_job_shows_share_rate_and_time_left(opened: Opened, config: Config) -> None:
    queued(config, "replay", path="day")
    under_way(config)
    [row] = opened("jobs").dataframe[0].value.to_dict("records")
    assert (row["kind"], row["state"], row["share"]) == ("replay", "running", "25 %")
    told = texts(opened("jobs"))
    assert "25.0 MB of 100.0 MB" in told
    assert "2.5 MB/s" in told
    assert "30 s left" in told


def test_a_job_is_cancelled_by_a_command(opened: Opened, config: Config) -> None:
    run_engine(config)
    number = queued(config)
    page = opened("jobs")
    page.button(key=f"cancel_{number}").click().run()
    assert left(config) == [CancelJob(job=number)]


def test_no_engine_means_no_button_that_would_do_nothing(opened: Opened, config: Config) -> None:
    number = queued(config)
    assert opened("jobs").button(key=f"cancel_{number}").disabled


def test_a_failed_job_says_why_and_a_done_one_what_it_brought(
    opened: Opened, config: Config
) -> None:
    with writing(config.state_path) as connection:
        for state, result, error in (
            (JobState.FAILED, "", "there is no recording 'x'"),
            (JobState.DONE, '{"run": 7, "fills": 12}', ""),
        ):
            queued(config, "replay", path="x")
            job = claim(connection, ENGINE_ID, time.time_ns())
            assert job is not None
            finish(
                connection, ENGINE_ID, job, state=state, now_ns=time.time_ns(), result=result,
                error=error,
            )  # fmt: skip
    page = opened("jobs")
    assert "there is no recording" in page.dataframe[0].value["words"].iloc[1]
    page.session_state["chosen:jobs"] = 2
    page.run()
    shown = texts(page)
    assert "/runs?run=7" in shown
    assert "Fills" in shown
    page.session_state["chosen:jobs"] = 1
    page.run()
    assert page.error[0].value == "It failed: there is no recording 'x'. Nothing else was changed."


def test_a_backup_is_asked_for_with_its_arguments(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("jobs", kind="backup")
    page.number_input(key="job_backup_keep").set_value(5)
    press(page, "Start backup")
    assert left(config) == [RunJob(job="backup", arguments='{"keep": 5}')]


@pytest.mark.long
def test_what_the_form_asked_for_is_followed_to_its_end(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("jobs", kind="replay")
    page.text_input(key="job_replay__path").set_value("day")
    press(page, "Start replay")
    [asked] = left(config)
    assert isinstance(asked, RunJob)
    queued(config, asked.job, **json.loads(asked.arguments))
    st.cache_data.clear()
    page.run()
    assert [one.value for one in page.info] == ["Job 1 is waiting until the worker is free."]
    under_way(config)
    st.cache_data.clear()
    page.run()
    assert [one.value for one in page.info] == ["Job 1 is running: 25.0 MB of 100.0 MB."]
    with writing(config.state_path) as connection:
        job = find(connection, ENGINE_ID, 1)
        assert job is not None
        finish(
            connection, ENGINE_ID, job, state=JobState.DONE, now_ns=time.time_ns(),
            result='{"mode": "paper", "run": 7, "pnl": -1.5, "currency": "pUSD", "fills": 12}',
        )  # fmt: skip
    st.cache_data.clear()
    page.run()
    told = "Job 1 is done: mode PAPER, run 7, PnL \N{MINUS SIGN}1.50 pUSD, fills 12"
    assert ([one.value for one in page.info], page.success[0].value) == ([], told)
    assert "/runs?run=7" in texts(page)


def test_an_argument_out_of_its_bounds_is_refused_in_words(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("jobs", kind="backup")
    page.number_input(key="job_backup_keep").set_value(0)
    press(page, "Start backup")
    assert "keep" in page.error[0].value
    assert left(config) == []


def test_a_moment_is_asked_for_in_words(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("jobs", kind="incident")
    at, account = page.text_input
    (around,) = [one for one in page.number_input if one.key == "job_incident_around_s"]
    assert (at.label, account.label) == ("Moment, UTC", "Only the account")
    assert around.label == "Seconds before and after (1 … 3,600)"
    at.set_value("2026-03-01T12:30:05Z")
    press(page, "Start incident")
    assert left(config) == [RunJob(job="incident", arguments='{"at": "2026-03-01T12:30:05Z"}')]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("10 8 1 * *", "day 1 of each month 08:10 UTC"),
        ("5 8 * * mon", "each Monday 08:05 UTC"),
        ("0 8 1 1 *", "0 8 1 1 * UTC"),
    ],
)
def test_when_a_schedule_is_due_is_said_in_words(cron: str, words: str) -> None:
    assert in_words(cron) == words


def test_every_argument_of_a_job_is_asked_for_in_words() -> None:
    for kind, model in JOB_KINDS.items():
        schema = model.model_json_schema().get("properties", {})
        for name in {*schema} - {"strategy", "parameters", "limits"}:
            label = label_of(name, schema[name])
            assert label[0].isupper(), f"{kind}.{name}"


def test_a_replay_of_nothing_is_refused_in_words(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("jobs", kind="replay")
    press(page, "Start replay")
    assert page.error[0].value == (
        "Not started: job replay: Recording, path: it must not be empty. Nothing was changed."
    )
    assert left(config) == []


def test_a_field_is_labelled_by_its_own_title_not_by_one_made_of_its_name() -> None:
    assert label_of("around_s", {"title": "Seconds before and after"}) == "Seconds before and after"
    assert label_of("around_s", {"title": "Around S"}) == "Around, s"
    assert label_of("around_s", {}) == "Around, s"


def test_the_result_of_an_export_in_its_row_is_not_crowded_out_by_a_path() -> None:
    result = {"file": "/home/ann/var/exports/fills.csv", "rows": 1_200}
    assert brought(result) == "file fills.csv, rows 1,200"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1, 3_600_000, " (1 … 3,600,000)"),
        (0.000001, 1e12, " (from 0.000001)"),
        (0.5, 1000, " (0.5 … 1,000)"),
    ],
)
def test_bounds_are_said_as_they_are_typed(low: float, high: float, said: str) -> None:
    assert bounds({"minimum": low, "maximum": high}) == said


def test_an_export_is_asked_for_by_day(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("jobs", kind="export")
    page.text_input(key="job_export_since").set_value("2026-03-01")
    page.selectbox(key="job_export_what").set_value("orders")
    press(page, "Start export")
    [command] = left(config)
    assert isinstance(command, RunJob)
    assert json.loads(command.arguments) == {"since": "2026-03-01", "what": "orders"}


def test_an_export_is_of_the_mode_that_is_looked_at(opened: Opened, config: Config) -> None:
    run_engine(config)
    with writing(config.state_path) as connection:
        add_account(connection)
    page = opened("jobs", kind="export")
    assert page.selectbox(key="job_export_mode").value == "demo"
    press(page, "Start export")
    [command] = left(config)
    assert isinstance(command, RunJob)
    job = arguments_of(command.job, command.arguments)
    assert isinstance(job, ExportJob)
    assert job.mode is Mode.DEMO


def exported(opened: Opened, config: Config, name: str, rows: int) -> AppTest:
    """Have an export done that wrote a file of this name; gives the page with it opened."""
    number = queued(config, "export")
    result = {"file": str(config.home / name), "rows": rows, "bytes": 9}
    with writing(config.state_path) as connection:
        job = claim(connection, ENGINE_ID, time.time_ns())
        assert job is not None
        finish(
            connection, ENGINE_ID, job, state=JobState.DONE, now_ns=time.time_ns(),
            result=json.dumps(result), error="",
        )  # fmt: skip
    return opened("jobs", state={"chosen:jobs": number})


def test_an_export_is_offered_for_download(opened: Opened, config: Config) -> None:
    (config.home / "exports").mkdir()
    (config.home / "exports" / "fills.csv").write_text("a,b\n1,2\n")
    page = exported(opened, config, "exports/fills.csv", 1)
    assert [one.label for one in page.get("download_button")] == ["Download fills.csv"]
    assert not any("file is empty" in one.value for one in page.warning)


def test_an_export_without_a_row_or_a_file_says_so(opened: Opened, config: Config) -> None:
    page = exported(opened, config, "exports/gone.csv", 0)
    assert not page.get("download_button")
    assert any("file is empty" in one.value for one in page.warning)
    assert "no longer on this machine" in texts(page)


def test_no_file_but_an_export_is_ever_offered(config: Config) -> None:
    (config.home / "exports").mkdir()
    secret = config.home / "secret.csv"
    secret.write_text("x")
    for path in (secret, config.home / "exports" / ".." / "secret.csv", config.state_path):
        assert jobs.file_of({"file": str(path)}) is None


def test_a_replay_is_asked_for_with_its_strategys_parameters(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    page = opened("jobs", kind="replay", path="day")
    page.number_input(key="job_market_maker_levels").set_value(3)
    page.text_input(key="job_limits").set_value("exposure_instrument_max=20%")
    press(page, "Start replay")
    [command] = left(config)
    assert isinstance(command, RunJob)
    assert json.loads(command.arguments) == {
        "path": "day",
        "strategy": "market_maker",
        "parameters": {"levels": 3},
        "limits": {"exposure_instrument_max": "20%"},
    }


def test_the_schedule_shows_what_is_next(opened: Opened, config: Config) -> None:
    entry = ScheduleSeen(
        name="backup", cron="10 2 * * *", what="job backup", next_ns=time.time_ns() + S
    )
    with writing(config.state_path) as connection, transaction(connection):
        put_schedule(connection, ENGINE_ID, (entry,), 1)
    page = opened("jobs")
    [row] = page.dataframe[0].value.to_dict("records")
    assert (row["name"], row["when"]) == ("backup", "daily 02:10 UTC")
    page.session_state["chosen:schedule"] = "backup"
    page.run()
    assert "no command can be sent" in texts(page)


def scheduled(opened: Opened, config: Config) -> AppTest:
    run_engine(config)
    entry = ScheduleSeen(name="backup", cron="10 2 * * *", what="job backup", next_ns=None)
    with writing(config.state_path) as connection, transaction(connection):
        put_schedule(connection, ENGINE_ID, (entry,), 1)
    page = opened("jobs")
    page.session_state["chosen:schedule"] = "backup"
    page.run()
    return page


def test_an_entry_is_asked_for_now(opened: Opened, config: Config) -> None:
    press(scheduled(opened, config), "Start backup now")
    assert left(config) == [RunJob(job="backup", arguments="{}")]


def test_an_entry_is_changed_as_a_setting_with_its_diff(opened: Opened, config: Config) -> None:
    page = scheduled(opened, config)
    page.text_input(key="cron_backup").set_value("30 4 * * *")
    page.checkbox(key="on_backup").uncheck()
    press(page, "Show what changes")
    shown = texts(page)
    assert "Schedule backup" in shown
    assert "30 4 * * *" in shown
    press(page, "Save these changes")
    with reading(config.state_path) as connection:
        saved = latest(connection, ENGINE_ID).document.schedule
    assert (saved["backup"].cron, saved["backup"].on) == ("30 4 * * *", False)
    assert saved["compact"].on


@pytest.mark.parametrize(
    ("typed", "words"),
    [("tonight", "five fields are needed"), ("0 25 * * *", "it must be from 0 to 23")],
)
def test_a_time_that_can_never_be_is_refused_at_the_form(
    opened: Opened, config: Config, typed: str, words: str
) -> None:
    page = scheduled(opened, config)
    page.text_input(key="cron_backup").set_value(typed)
    press(page, "Show what changes")
    assert "Nothing was changed" in page.error[0].value
    assert words in page.error[0].value
    assert "Schedule backup" not in texts(page)


def record(config: Config, name: str = "day") -> None:
    with writing(config.state_path) as connection:
        begin_recording(
            connection, engine_id=ENGINE_ID, name=name, instruments=("btc-updown-5m",),
            who="ann", now_ns=time.time_ns(),
        )  # fmt: skip
        with transaction(connection):
            figures = RecordingFigures(
                events=1_234, bytes=5_600_000, gaps=1, first_ns=S, last_ns=61 * S
            )
            note_figures(connection, ENGINE_ID, name, figures, time.time_ns())


def test_recordings_say_what_to_do_where_there_is_none(opened: Opened) -> None:
    assert "Nothing has been recorded yet" in texts(opened("recordings"))


def test_a_recording_is_listed_with_size_span_and_gaps(opened: Opened, config: Config) -> None:
    record(config)
    [row] = opened("recordings").dataframe[0].value.to_dict("records")
    assert (row["state"], row["what"], row["span"]) == ("RECORDING", "btc-updown-5m", "60 s")
    assert (row["events"], row["size"], row["gaps"]) == (1_234, "5.6 MB", 1)


def test_a_recording_is_stopped_and_offered_for_a_replay(opened: Opened, config: Config) -> None:
    run_engine(config)
    record(config)
    page = opened("recordings")
    page.session_state["chosen:recordings"] = "day"
    page.run()
    assert "/jobs?kind=replay&amp;path=day" in texts(page)
    page.button(key="stop_day").click().run()
    assert left(config) == [StopRecording(name="day")]
    # Beside the button, in the part its click draws anew.
    shown = texts(page)
    assert shown.index("Command: **queued**") < shown.index("New recording")


def test_a_recording_is_begun_of_what_is_known(opened: Opened, config: Config) -> None:
    run_engine(config)
    assert "No market is known yet" in texts(opened("recordings"))
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT INTO instruments VALUES (?, 'demo:a', 'binary', 'pUSD', 4, 6, 100, 1, 'm', "
            "'btc-updown-5m', NULL, NULL, '{}', 1)",
            (ENGINE_ID,),
        )
        connection.execute(
            "INSERT INTO instruments VALUES (?, ?, 'binary', 'pUSD', 4, 6, 100, 1, 'm', "
            "'', NULL, NULL, '{}', 1)",
            (ENGINE_ID, RAIN),
        )
        put_title(connection, ENGINE_ID, RAIN, title="Will it rain in Oslo?", slug="rain", now_ns=1)
    st.cache_data.clear()
    page = opened("recordings")
    page.text_input[0].set_value("day")
    assert page.multiselect[0].options == ["btc-updown-5m", "Will it rain in Oslo?", "a"]
    page.multiselect[0].set_value(["btc-updown-5m", RAIN])
    press(page, "Start recording")
    assert left(config) == [StartRecording(name="day", instruments=("btc-updown-5m", RAIN))]  # type: ignore[arg-type]


def test_a_choice_outlives_a_market_that_closes_meanwhile(opened: Opened, config: Config) -> None:
    run_engine(config)
    insert = (
        "INSERT INTO instruments VALUES (?, ?, 'binary', 'pUSD', 4, 6, 100, 1, 'm', "
        "'', NULL, NULL, '{}', 1)"
    )
    with writing(config.state_path) as connection:
        connection.executemany(insert, [(ENGINE_ID, "demo:a"), (ENGINE_ID, "demo:b")])
    page = opened("recordings")
    page.text_input[0].set_value("day")
    page.multiselect[0].set_value(["demo:a"])
    with writing(config.state_path) as connection:
        connection.execute("DELETE FROM instruments")
        connection.execute(insert, (ENGINE_ID, "demo:c"))
    st.cache_data.clear()
    press(page, "Start recording")
    assert left(config) == [StartRecording(name="day", instruments=(InstrumentId("demo:a"),))]
    assert page.multiselect[0].options == ["c", "a"]


def test_amounts_and_speeds_are_words() -> None:
    assert (amount(2_500_000, "bytes"), amount(1_500, "rows")) == ("2.5 MB", "1,500 rows")
    assert (amount(999_000_000, "bytes"), amount(10**10, "bytes")) == ("999.0 MB", "10.00 GB")
    row = {"done": 0, "total": 9, "unit": "rows", "started_ns": 0, "heard_ns": 5 * S}
    assert speed(row) == ("\N{EN DASH}", "\N{EN DASH}")
    assert speed({**row, "done": 3}) == ("1 rows/s", "10 s")
    assert speed({**row, "done": 3, "total": 0}) == ("1 rows/s", "\N{EN DASH}")


def test_pairs_are_read_from_one_line() -> None:
    assert pairs(" a=1, b = 20% ,") == {"a": "1", "b": "20%"}
    assert pairs("") == {}


def test_a_job_found_by_the_worker_is_the_one_that_was_asked_for(config: Config) -> None:
    number = queued(config, "export", what="orders")
    with writing(config.state_path) as connection:
        job = find(connection, ENGINE_ID, number)
    assert job is not None
    assert (job.kind, json.loads(job.arguments)) == ("export", {"what": "orders"})


# -- imported data ---------------------------------------------------------------------------------


def imported(config: Config) -> None:
    rows = [(n * S, 100_000_000 + n, 50_000_000, 1, n) for n in range(1, 6)]
    counts = RowCounts()
    counts.gap(2 * S, 3 * S)
    with DatasetWriter(config.data_folder, "btc", DataKind.TRADES) as writer:
        writer.part(NamedFile("a.csv", "0" * 64, Checked.NONE, "plain_trades"), counts, rows)
        judgement = Judgement(at_ns=S, trust=DataTrust.GAPS, reason="1 times of missing trade ids")
        writer.finish("binance:BTC/USDT", judgement, RowCounts())


def test_a_data_set_is_listed_with_its_trust_proven_and_deleted(
    opened: Opened, config: Config
) -> None:
    assert "Nothing has been imported yet" in texts(opened("recordings"))
    imported(config)
    page = opened("recordings")
    [row] = page.dataframe[0].value.to_dict("records")
    assert (row["name"], row["venue"], row["kind"], row["rows"]) == ("btc", "binance", "trades", 5)
    assert row["trust"] == "gaps: 1 times of missing trade ids"
    page.session_state["chosen:datasets"] = "btc"
    page.run()
    assert "/runs?path=btc" in texts(page)
    page.button(key="verify_btc").click().run()
    assert "Every byte of 1 part is as it was imported" in page.success[0].value
    page.checkbox(key="sure_btc").check().run()
    page.button(key="delete_btc").click().run()
    assert "Nothing has been imported yet" in texts(page)
    assert not list(config.data_folder.iterdir())


def test_a_file_of_bars_is_listed_with_the_way_to_a_backtest_on_it(
    opened: Opened, config: Config
) -> None:
    keep(config.data_folder, "three-days.csv.gz", b"x" * 1_000)
    page = opened("recordings")
    [row] = page.dataframe[0].value.to_dict("records")
    assert (row["name"], row["size"]) == ("three-days.csv.gz", said_bytes(1_000))
    page.session_state["chosen:bar_files"] = "three-days.csv.gz"
    page.run()
    assert "/runs?path=three-days.csv.gz" in texts(page)


def test_an_import_and_its_preview_leave_as_jobs(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("recordings")
    page.session_state["fold_import"] = True
    page.run()
    page.text_input(key="import_path_").set_value("trades.csv")
    page.text_input(key="import_market").set_value("binance:BTC/USDT")
    press(page, "Preview")
    [command] = left(config)
    given = {
        "path": "trades.csv", "instrument": "binance:BTC/USDT", "name": "", "rows": "",
        "columns": "", "only": "", "sort": False, "look": True,
    }  # fmt: skip
    assert command == RunJob(job="import", arguments=json.dumps(given))


def test_rounds_and_entries_are_shown_with_their_last_run_and_asked_for_now(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    entry = ScheduleSeen(name="backup", cron="10 2 * * *", what="job backup", next_ns=None)
    looked = RoundSeen(
        name="health", every_s=30, last_ns=time.time_ns(), took_us=1_500, well=False,
        text="feed demo: no socket", next_ns=time.time_ns() + S,
    )  # fmt: skip
    with writing(config.state_path) as connection:
        with transaction(connection):
            put_schedule(connection, ENGINE_ID, (entry,), 1)
            put_rounds(connection, ENGINE_ID, [looked])
        queue(
            connection, engine_id=ENGINE_ID, kind="backup", arguments="{}", who="schedule", now_ns=1
        )
        made = claim(connection, ENGINE_ID, 2 * S)
        assert made is not None
        finish(connection, ENGINE_ID, made, state=JobState.DONE, now_ns=5 * S, result='{"bytes":7}')
    page = opened("jobs")
    rows = {row["name"]: row for row in page.dataframe[1].value.to_dict("records")}
    health, backup = rows["health"], rows["backup"]
    assert (health["when"], health["took"], health["words"], health["problem"]) == (
        "every 30 s", "1.5 ms", "feed demo: no socket", "read its result",
    )  # fmt: skip
    assert (backup["took"], backup["words"], backup["problem"]) == ("3.0 s", "bytes 7", "on")
    page.session_state["chosen:schedule"] = "health"
    page.run()
    press(page, "Start health now")
    assert left(config) == [RunRound(round="health")]
