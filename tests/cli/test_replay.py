"""`python -m engine replay` as a person or a script meets it."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.__main__ import (
    BAD_ARGUMENTS,
    BAD_FILE,
    BROKEN,
    INTERRUPTED,
    OK,
    PROBLEM,
    STORAGE_REFUSED,
    main,
)
from engine.cli import replay_words
from engine.errors import BrokenInvariant, StorageError
from engine.lab.progress import STEPS
from engine.lab.replay import run as replay_module
from engine.lab.replay.setup import PreparedReplay
from engine.strategies.market_maker.strategy import MarketMaker
from storage import views
from storage.database import connect_writer, reading
from storage.journal import load
from storage.schema import migrate
from tests.runtime.digests import digest_of

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = {
    "frames", "markets", "gaps", "hash_checked", "hash_matched", "orders", "fills", "fees", "pnl",
    "events_per_s", "peak_rss_mb", "digest", "run", "events", "evaluations", "cancels",
    "pnl_resolved", "pnl_unresolved", "equity_start", "equity_end", "residuals", "denials",
    "sizes_inferred", "sizes_capped", "sizes_unknown", "duplicates", "out_of_order",
    "anomaly_lines", "torn", "ends", "imported", "disorder",
    "alerts", "anomalies", "per_market", "fills_inferred", "fills_unknown", "bot_errors",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return PITBOSS_HOME for a command run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr("engine.log.configure", lambda **_: None)
    return tmp_path / "home"


@pytest.fixture
def replay(home: Path, quoting: dict[str, str]) -> Callable[..., int]:
    """Return what runs the command on a path, quick options first."""
    params = [word for key, value in quoting.items() for word in ("--param", f"{key}={value}")]

    def run(path: Path, *words: str) -> int:
        quick = ["--journal", "digest", "--decisions", "off"]
        return main(["replay", str(path), *params, *quick, *words])

    return run


@pytest.fixture(scope="session")
def short(make_recording: Callable[..., Path]) -> Path:
    """A recording of a few seconds' work."""
    return make_recording(markets=1, frames=120)


Output = pytest.CaptureFixture[str]


# -- what it tells ---------------------------------------------------------------------------------


def test_json_is_one_object_with_everything_found(
    replay: Callable[..., int], short: Path, capsys: Output
) -> None:
    assert replay(short, "--json") == OK
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    summary = json.loads(out)
    assert set(summary) >= KEYS
    assert (summary["frames"], summary["markets"]) == (120, 1)
    assert (summary["hash_checked"], summary["hash_matched"]) == (120, 120)
    assert summary["orders"] > 20
    assert summary["fills"] > 5
    assert summary["pnl"] == pytest.approx(summary["equity_end"] - summary["equity_start"])
    assert summary["pnl"] == pytest.approx(summary["pnl_resolved"] + summary["pnl_unresolved"])
    assert summary["pnl"] == pytest.approx(sum(m["pnl"] for m in summary["per_market"].values()))
    assert len(summary["digest"]) == 64
    assert summary["events_per_s"] > 0
    assert summary["peak_rss_mb"] > 10


def test_words_tell_the_same_as_the_object(
    replay: Callable[..., int], short: Path, capsys: Output
) -> None:
    replay(short, "--json")
    summary = json.loads(capsys.readouterr().out)
    assert replay(short) == OK
    out = capsys.readouterr().out
    for fact in (
        "frames 120 ",
        "matched 120 of 120",
        f"orders {summary['orders']:,} ",
        f"fills {summary['fills']:,} ",
        f"PnL {summary['pnl']:+.4f} ",
        f"digest {summary['digest']}",
        f"stored as run {summary['run'] + 1}",
        "unresolved",
        "anomalies: none",
    ):
        assert fact in out


def test_only_the_largest_markets_are_shown_and_the_rest_counted(
    replay: Callable[..., int], tape: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_words, "MARKETS_SHOWN", 1)
    replay(tape)
    out = capsys.readouterr().out
    assert "… and 1 more markets (--json has all)" in out
    assert out.count("polymarket:") == 1


def test_bot_that_raises_is_told_with_the_code_of_a_problem(
    replay: Callable[..., int], home: Path, short: Path, capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def evaluate(*_: Any) -> Any:
        raise KeyError("price")

    monkeypatch.setattr(MarketMaker, "evaluate", evaluate)
    assert replay(short) == PROBLEM
    out, err = capsys.readouterr()
    assert "bot replay-market_maker stopped: KeyError in evaluate" in out
    assert err == ""
    with reading(home / "pitboss.db") as connection:
        row = views.run(connection, "replay", 1)
    assert row is not None
    assert row["status"] == "failed"
    assert "KeyError" in row["error"]


# -- what it keeps ---------------------------------------------------------------------------------


@pytest.mark.long
def test_run_is_stored_and_read_back_through_the_views(
    replay: Callable[..., int], home: Path, tape: Path, capsys: Output
) -> None:
    replay(tape, "--json", "--limit", "order_value_max=20%", "--cash", "500.5")
    summary = json.loads(capsys.readouterr().out)
    with reading(home / "pitboss.db") as connection:
        listed = views.runs(connection, "replay")
        row = views.run(connection, "replay", summary["run"])
        markets = views.run_markets(connection, "replay", summary["run"])
        equity = views.run_equity(connection, "replay", summary["run"])
    assert [run["id"] for run in listed] == [summary["run"]]
    assert row is not None
    assert (row["status"], row["kind"], row["mode"]) == ("done", "replay", "paper")
    assert (row["digest"], row["orders"], row["fills"]) == (
        summary["digest"], summary["orders"], summary["fills"],
    )  # fmt: skip
    assert row["recording"] == str(tape)
    stated = json.loads(row["parameters"])
    assert stated["limits"] == {"order_value_max": "20%"}
    assert stated["cash_micro"] == 500_500_000
    kept = json.loads(row["result"])
    assert kept == {key: value for key, value in summary.items() if key != "run"}
    assert len(markets) == 2
    assert sum(market["fills"] for market in markets) == summary["fills"]
    assert len(equity) >= 7
    assert float(equity[0][1]) == summary["equity_start"] == 500.5
    assert float(equity[-1][1]) == summary["equity_end"]


def test_journal_and_decisions_are_kept_by_default(home: Path, short: Path, capsys: Output) -> None:
    assert main(["replay", str(short), "--json"]) == OK
    summary = json.loads(capsys.readouterr().out)
    (folder,) = (home / "runs").iterdir()
    assert digest_of(load(folder / "journal.db")) == summary["digest"]
    with sqlite3.connect(folder / "decisions.db") as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert tables


@pytest.mark.parametrize("decisions", ["on", "off"])
def test_digest_alone_keeps_no_journal(
    home: Path, short: Path, capsys: Output, decisions: str
) -> None:
    words = ["--journal", "digest", "--decisions", decisions]
    assert main(["replay", str(short), *words, "--json"]) == OK
    assert "run" in json.loads(capsys.readouterr().out)
    assert not list(home.rglob("journal.db"))
    assert len(list(home.rglob("decisions.db"))) == (decisions == "on")


def test_run_is_stored_although_another_process_holds_the_database(
    replay: Callable[..., int], home: Path, short: Path, capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home.mkdir()
    migrate(home / "pitboss.db")
    program = (
        "import sqlite3, sys\n"
        "held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "held.execute('BEGIN EXCLUSIVE'); print('held', flush=True)\n"
        "sys.stdin.readline(); held.execute('ROLLBACK'); held.close()"
    )
    command = [sys.executable, "-c", program, str(home / "pitboss.db")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        let_go = threading.Timer(1.0, holder.stdin.close)
        store = PreparedReplay.store

        def locked(*given: Any) -> int:
            let_go.start()
            return store(*given)

        monkeypatch.setattr(PreparedReplay, "store", locked)
        assert replay(short, "--json") == OK
        let_go.join()
    summary = json.loads(capsys.readouterr().out)
    with reading(home / "pitboss.db") as connection:
        assert views.run(connection, "replay", summary["run"]) is not None


def test_folder_that_cannot_be_made_is_told(home: Path, short: Path, capsys: Output) -> None:
    home.mkdir()
    (home / "runs").write_text("a file stands where the runs should be")
    assert main(["replay", str(short)]) == STORAGE_REFUSED
    assert "runs" in _assert_one_sentence(capsys)


# -- what it refuses -------------------------------------------------------------------------------


def _assert_one_sentence(capsys: Output) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "bug in Pitboss" not in err
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--param", "spred=1"], "spred"),
        (["--param", "levels=0"], "levels=0"),
        (["--param", "levels=many"], "levels=many"),
        (["--param", "price_min=0.99"], "price_min must be below price_max"),
        (["--param", "levels"], "write it as name=value"),
        (["--param", "=2"], "write it as name=value"),
        (["--bot", "martingale"], "there is no strategy 'martingale'; known: "),
        (["--limit", "leverage_max=3"], "there is no limit 'leverage_max'"),
        (["--limit", "daily_loss_max=120%"], "daily_loss_max.percent=120"),
        (["--limit", "daily_loss_max=some"], "daily_loss_max.absolute=some"),
        (["--limit", "open_orders_max=-1"], "open_orders_max=-1"),
        (["--limit", "daily_loss_max"], "write it as name=value"),
        (["--cash", "lots"], "--cash 'lots'"),
        (["--cash", "nan"], "--cash 'nan'"),
        (["--cash", "inf"], "--cash 'inf'"),
        (["--cash", "0"], "--cash '0'"),
        (["--cash", "-5"], "--cash '-5'"),
        (["--cash", "0.0000001"], "--cash"),
        (["--cash", "1e30"], "--cash '1e30'"),
        (["--trade-size-cap", "p42"], "--trade-size-cap 'p42': write a number of shares"),
        (["--trade-size-cap", "-1"], "--trade-size-cap '-1': write a number of shares"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_argument_that_cannot_be_is_one_sentence_and_leaves_nothing_behind(
    home: Path, short: Path, capsys: Output, words: list[str], said: str
) -> None:
    words = [f"{words[0]}={words[1]}"] if words[1].startswith("-") else words
    assert main(["replay", str(short), *words]) == BAD_ARGUMENTS
    assert said in _assert_one_sentence(capsys)
    assert not home.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "hopeful"],
        ["--latency-ms", "soon"],
        ["--latency-ms", "-1"],
        ["--latency-ms", "9999999"],
    ],
)
def test_argument_outside_its_choices_is_refused_by_the_parser(
    home: Path, short: Path, capsys: Output, words: list[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["replay", str(short), *words])
    assert left.value.code == BAD_ARGUMENTS
    assert words[1] in capsys.readouterr().err
    assert not home.exists()


def test_missing_file_is_one_sentence(home: Path, capsys: Output) -> None:
    assert main(["replay", "nowhere.jsonl"]) == BAD_FILE
    assert "nowhere.jsonl: there is no such file or folder" in _assert_one_sentence(capsys)
    assert not home.exists()


@pytest.mark.parametrize(
    "content",
    [b'{"price": 1}\n', b"time,price\n1,2\n", b"\x89PNG\r\n\x1a\n", b""],
    ids=["other json", "csv", "picture", "empty"],
)
def test_foreign_file_is_one_sentence(
    home: Path, capsys: Output, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(content)
    assert main(["replay", str(path)]) == BAD_FILE
    assert "foreign.jsonl" in _assert_one_sentence(capsys)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_torn_recording_keeps_what_was_played_and_says_where_it_ends(
    replay: Callable[..., int], home: Path, short: Path, capsys: Output, tmp_path: Path,
    pack: Callable[[bytes], bytes],
) -> None:  # fmt: skip
    packed = pack(short.read_bytes())
    path = tmp_path / "day.jsonl.gz"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    assert replay(path, "--json", "--journal", "full") == BAD_FILE
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert err == f"BadInput: {summary['torn']}\n"
    assert summary["torn"] == f"day.jsonl.gz, line {summary['frames'] + 1}: the file is truncated"
    assert summary["orders"] > 0
    with reading(home / "pitboss.db") as connection:
        row = views.run(connection, "replay", summary["run"])
    assert row is not None
    assert (row["status"], row["error"]) == ("failed", summary["torn"])
    assert (row["digest"], row["frames"]) == (summary["digest"], summary["frames"])
    [folder] = (home / "runs").iterdir()
    assert folder.name == str(row["started_ns"])
    assert replay(path) == BAD_FILE
    out = capsys.readouterr().out
    assert f"ENDS TORN at {summary['ends']}: {summary['torn']}" in out
    assert f"digest {summary['digest']}" in out


def test_recording_torn_in_its_first_line_is_refused_and_leaves_nothing(
    replay: Callable[..., int], home: Path, short: Path, capsys: Output, tmp_path: Path
) -> None:
    path = tmp_path / "day.jsonl"
    path.write_bytes(short.read_bytes()[:200])
    assert replay(path, "--journal", "full") == BAD_FILE
    assert "day.jsonl, line 1: the file is truncated" in _assert_one_sentence(capsys)
    assert not list((home / "runs").glob("*"))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("part", "error", "code"),
    [
        ("engine.lab.replay.run.Replay.run", BrokenInvariant("planted"), BROKEN),
        ("engine.lab.replay.run.Replay.run", StorageError("the disk is full"), STORAGE_REFUSED),
        ("engine.lab.replay.run.Replay.run", KeyboardInterrupt(), INTERRUPTED),
        ("engine.lab.replay.setup.assemble", BrokenInvariant("planted"), BROKEN),
        ("engine.lab.replay.setup.DecisionLog", StorageError("it refused"), STORAGE_REFUSED),
        ("engine.lab.replay.setup.save_run", StorageError("it refused"), STORAGE_REFUSED),
        ("engine.lab.replay.setup.summarise", KeyError("planted"), BROKEN),
    ],
    ids=lambda value: str(value).rpartition(".")[2],
)
def test_run_that_fails_anywhere_leaves_no_folder(
    home: Path, short: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, part: str,
    error: BaseException, code: int,
) -> None:  # fmt: skip
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(part, fails)
    assert main(["replay", str(short)]) == code
    assert list((home / "runs").iterdir()) == []


# -- what it found in the recording ----------------------------------------------------------------


def test_frames_repeated_or_out_of_order_are_told_and_are_no_problem(
    replay: Callable[..., int], home: Path, short: Path, capsys: Output, tmp_path: Path
) -> None:
    lines = short.read_bytes().splitlines(keepends=True)
    lines[30:30] = [lines[29], lines[29]]
    lines[60:60] = [lines[50]]
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"".join(lines))
    assert replay(path, "--json") == OK
    summary = json.loads(capsys.readouterr().out)
    assert (summary["duplicates"], summary["out_of_order"], summary["anomalies"]) == (2, 1, {})
    assert replay(path) == OK
    assert "frames repeated 2, out of order 1: read, not passed on again" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["shuffled", "doubled"])
def test_a_recording_out_of_order_is_a_problem_with_its_share(
    replay: Callable[..., int], short: Path, tmp_path: Path, capsys: Output, how: str
) -> None:
    """What is out of order is not passed on: the rest is another market."""
    lines = short.read_bytes().splitlines(keepends=True)
    path = tmp_path / "day.jsonl"
    if how == "shuffled":
        Random(7).shuffle(lines)
        path.write_bytes(b"".join(lines))
    else:
        path.write_bytes(b"".join(line + line for line in lines))
    assert replay(path) == PROBLEM
    assert "% of the frames are out of order or repeated" in capsys.readouterr().out
    assert replay(path, "--json") == PROBLEM
    assert json.loads(capsys.readouterr().out)["disorder"] > 0.3


def test_hash_that_does_not_match_is_a_problem_with_file_and_line(
    replay: Callable[..., int], short: Path, capsys: Output, tmp_path: Path
) -> None:
    lines = short.read_bytes().splitlines(keepends=True)
    frame = json.loads(lines[40])
    frame["raw"]["hash"] = "0" * 40
    lines[40] = json.dumps(frame).encode() + b"\n"
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"".join(lines))
    assert replay(path, "--json") == PROBLEM
    summary = json.loads(capsys.readouterr().out)
    assert (summary["hash_checked"], summary["hash_matched"]) == (120, 119)
    assert summary["anomalies"] == {"hash mismatch": 1}
    assert summary["anomaly_lines"] == {"hash mismatch": "day.jsonl:41"}
    assert replay(path) == PROBLEM
    out = capsys.readouterr().out
    assert "anomalies: hash mismatch 1 (first at day.jsonl:41)" in out


@pytest.mark.long
def test_sizes_read_from_falling_levels_are_said_to_contain_cancels_and_can_be_capped(
    replay: Callable[..., int], home: Path, short: Path, capsys: Output
) -> None:
    summaries = []
    for words in ([], ["--trade-size-cap", "p50"], ["--trade-size-cap", "10"]):
        assert replay(short, "--json", *words) == OK
        summaries.append(json.loads(capsys.readouterr().out))
    free, capped, same = summaries
    assert free["sizes_inferred"] + free["sizes_unknown"] == 119
    assert (free["sizes_capped"], capped["sizes_inferred"]) == (0, free["sizes_inferred"])
    assert capped["sizes_capped"] > 50
    assert capped["digest"] == same["digest"] != free["digest"]
    with reading(home / "pitboss.db") as connection:
        row = views.run(connection, "replay", capped["run"])
    assert row is not None
    assert json.loads(row["parameters"])["trade_size_cap"] == 10_000_000
    assert replay(short, "--trade-size-cap", "p50") == OK
    out = capsys.readouterr().out
    assert "inferred from shrinking levels, so they include cancels" in out
    assert f"({capped['sizes_capped']} capped, see --trade-size-cap)" in out


def test_line_that_cannot_be_read_is_a_problem(
    replay: Callable[..., int], short: Path, capsys: Output, tmp_path: Path
) -> None:
    lines = short.read_bytes().splitlines(keepends=True)
    lines[40] = b"garbage\n"
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"".join(lines))
    assert replay(path) == PROBLEM
    assert "anomalies: broken json 1 (first at day.jsonl:41)" in capsys.readouterr().out


def test_mark_at_the_beginning_of_the_file_costs_nothing(
    replay: Callable[..., int], short: Path, capsys: Output, tmp_path: Path
) -> None:
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + short.read_bytes())
    assert replay(short, "--json") == OK
    plain = json.loads(capsys.readouterr().out)
    assert replay(path, "--json") == OK
    marked = json.loads(capsys.readouterr().out)
    assert (marked["digest"], marked["frames"]) == (plain["digest"], plain["frames"])


def test_error_is_an_object_where_one_was_asked_for(home: Path, capsys: Output) -> None:
    assert main(["replay", "nowhere.jsonl", "--json"]) == BAD_FILE
    summary = json.loads(capsys.readouterr().out)
    assert (summary["error"], summary["exit_code"]) == ("BadInput", BAD_FILE)


@pytest.mark.long
def test_refusal_reaches_the_shell_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", "replay", "nowhere.jsonl", "--cash", "lots"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={"PITBOSS_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (BAD_ARGUMENTS, "")
    assert done.stderr.startswith("ConfigError: --cash 'lots'")
    assert done.stderr.count("\n") == 1


# -- progress --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make progress due all the time."""
    monkeypatch.setattr(replay_module, "BLOCK_EVENTS", 20)
    monkeypatch.setattr(replay_words, "PROGRESS_EVERY_S", 0.0)


def test_progress_is_one_line_that_is_wiped_before_the_result(
    eager: None, replay: Callable[..., int], short: Path, capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert replay(short) == OK
    written = terminal.getvalue()
    assert "\n" not in written
    assert "frames" in written
    assert "\r100.0 %" in written
    assert written.endswith("\r\x1b[K")
    assert "stored as run 1" in capsys.readouterr().out


@pytest.mark.parametrize("stream", [Terminal, io.StringIO], ids=["a terminal", "a log"])
def test_progress_is_silent_for_who_wants_json(
    eager: None, replay: Callable[..., int], short: Path, monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
) -> None:  # fmt: skip
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    assert replay(short, "--json") == OK
    assert written.getvalue() == ""


def test_progress_in_a_log_is_a_line_per_twentieth(
    eager: None, replay: Callable[..., int], short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    assert replay(short) == OK
    lines = log.getvalue().splitlines()
    assert 1 <= len(lines) < STEPS
    assert all("frames" in line and "\r" not in line for line in lines)


def test_progress_of_a_refused_recording_leaves_a_clean_line_for_the_sentence(
    eager: None, replay: Callable[..., int], short: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "torn.jsonl"
    path.write_bytes(short.read_bytes()[:-30])
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert replay(path) == BAD_FILE
    assert "\r\x1b[KBadInput: torn.jsonl, line 120" in terminal.getvalue()


def test_writer_of_the_state_is_closed_after_the_run(
    replay: Callable[..., int], home: Path, short: Path
) -> None:
    assert replay(short, "--json") == OK
    connection = connect_writer(home / "pitboss.db", busy_ms=1)
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.long
def test_sets_of_one_reading_are_told_a_line_each(
    home: Path, tape: Path, quoting: dict[str, str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("first", "second"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"parameters": quoting}))
    given = [f"--set={tmp_path / name}.json" for name in ("first", "second")]
    assert main(["replay", str(tape), *given]) == OK
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["set", "first", "second", "frames"]
    assert said[1].split()[1] == "1"
    assert said[1].split()[-1] == said[2].split()[-1]
    assert main(["replay", str(tape), *given, "--json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert [one["set"] for one in found] == ["first", "second"]
    assert found[0].keys() >= KEYS | {"set"}
    assert found[0]["imported"]
    assert main(["replay", str(tape), "--set", str(tmp_path / "gone.json")]) == BAD_ARGUMENTS
    assert "gone.json" in capsys.readouterr().err
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())
