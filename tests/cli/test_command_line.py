"""Whatever is typed at the command line is answered at once, in words, and never by a traceback.

Every option and argument of every command is found by asking its parser, so a new one is tried too.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from engine.__main__ import BAD_ARGUMENTS, BROKEN, PROBLEM, build_parser, commands, main
from engine.cli.command import kinds
from engine.cli.kill import require_home
from engine.config import load
from engine.contracts.things import Thing, things
from engine.lab import demo_bars
from engine.locks import locked
from storage.database import reading
from tests.live.programs import prepare

WAITED_S_MAX = 2.0
"""For an engine that is just beginning, a second; none of it depends on the machine's load."""
GARBAGE = [
    "", "inf", "-inf", "nan", "1e308", "0", "-1", "0.5", "1_0", "9" * 400, "9" * 22, "{}", "=",
    "--", "a\nb\x1b[31m", "x" * 20_000, "http://[", "\udcff🦄",
]  # fmt: skip
MINUTES = 3
STEP = 5
"""Not a divisor of how many there are: neighbours differ."""

NOWHERE = "/nowhere/at/all"
AT = ["--at", "2026-03-01T12:30:05Z"]
WALLET = "0x" + "ab" * 20
NEEDED: dict[str, list[str]] = {
    "command": ["kill", "--wait", "0"],
    "credentials": ["list"],
    "data demo": ["bars.csv"],
    "incident": AT,
    "quotes": ["demo", "--wait", "0"],
    "replay": [NOWHERE],
    "selftest": ["demo", "--live"],
    "simulate": ["--minutes", "0.01", "--accounts", "1"],
    "unlock": ["real"],
    "worker": ["--clean"],
}
"""What a command needs to be whole; an option is tried behind it, a position in its place."""

DESK = {"command", "credentials", "incident", "explain", "quotes", "selftest", "unlock"}
"""Commands tried on a desk; the others where what is accepted finds no desk, or a lock held."""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A desk whose engine never answers, and the home of one where everything is taken already."""
    desk, taken = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("taken")
    prepare(desk / "pitboss.db")
    with ExitStack() as stack:
        for name in ("run/desk.lock", "demo/lock", "run/worker.lock"):
            stack.enter_context(locked(taken / name, "test"))
        stack.enter_context(locked(desk / "run/engine.lock", "test"))  # it never answers
        yield {"desk": desk, "taken": taken}


class Line:
    """The command line in this process, with what it prints."""

    def __init__(
        self,
        homes: dict[str, Path],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.homes = homes
        self._patch = monkeypatch
        self._capsys = capsys
        self._waited_s = 0.0
        self.failures: list[str] = []
        sleep, rest = time.sleep, asyncio.sleep

        def slept(seconds: float) -> None:
            self._waited_s += seconds
            sleep(seconds)

        async def rested(seconds: float, result: object = None) -> object:
            self._waited_s += seconds
            return await rest(seconds, result)

        monkeypatch.setattr(argparse, "_", str)  # it looks for a translation of each word, anew
        monkeypatch.setattr(time, "sleep", slept)
        monkeypatch.setattr(asyncio, "sleep", rested)

    def run(self, words: list[str], home: str) -> tuple[int, float, str]:
        """Give the exit code, for how many seconds it asked to wait, and what was said."""
        self._patch.setenv("PITBOSS_HOME", str(self.homes[home]))
        self._patch.setenv("PITBOSS_DATA", str(self.homes["desk"]))  # days of data would be played
        self._patch.setattr(sys, "stdin", io.StringIO(""))
        self._waited_s = 0.0
        try:
            code = main(words)
        except SystemExit as ended:  # how argparse refuses
            code = int(ended.code or 0)
        output = self._capsys.readouterr()
        return code, self._waited_s, output.out + output.err

    def refuses(self, words: list[str], home: str) -> None:
        """Note what is wrong with the answer to these words."""
        code, waited_s, output = self.run(words, home)
        shown = " ".join(word if len(word) < 60 else f"{word[:20]}…" for word in words)
        if code not in range(BROKEN):
            self.failures.append(f"{shown!r} ends with {code}: {output[-300:]}")
        elif "Traceback" in output or not output.strip():
            self.failures.append(f"{shown!r} says {output[-300:]!r}")
        elif code and waited_s > WAITED_S_MAX:
            self.failures.append(f"{shown!r} waits for {waited_s:g} s: {output[-300:]}")


@cache
def one_thing() -> list[Thing]:
    """Return one of the things that are found: to find them takes longer than most commands."""
    return [one for one in things() if (one.kind, one.name) == ("strategies", "rebalance")]


@pytest.fixture
def line(
    homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Line:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # nobody's .env
    # `strategies new inf` is a name like any other: its skeleton is no plug-in of this clone.
    monkeypatch.setattr("engine.cli.strategies.folders", lambda: [tmp_path / "plugins"])
    # `strategies check --` checks all there are, as tests/contracts does: here one is enough.
    monkeypatch.setattr("engine.contracts.things.things", one_thing)
    # Asked of the terminal, argparse would learn how wide it is once for each of its arguments.
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    # `data demo FILE` plays hours, as tests/lab/test_demo_bars.py does: here minutes are enough.
    played = demo_bars.demo_bars
    monkeypatch.setattr(
        demo_bars, "demo_bars", lambda seed, at_ns, _minutes: played(seed, at_ns, MINUTES)
    )
    return Line(homes, monkeypatch, capsys)


def parser_of(name: str) -> argparse.ArgumentParser:
    parser, _ = build_parser([name])
    commands = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return commands.choices[name]


def tries(parser: argparse.ArgumentParser, command: str) -> Iterator[list[str]]:
    """Give the words that follow a command, one argument of them garbage."""
    needed, position = NEEDED.get(command, []), 0
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                for words in tries(inner, f"{command} {name}"):
                    yield [name, *words]
        elif action.option_strings:
            words = GARBAGE if action.nargs != 0 else GARBAGE[-3:]
            yield from ([*needed, f"{action.option_strings[-1]}={word}"] for word in words)
        else:
            for word in GARBAGE:
                yield [*needed[:position], word, *needed[position + 1 :]]
            position += 1
    yield [*needed, "surplus", "more"]


@pytest.mark.sampled(10)
@pytest.mark.parametrize("name", commands())
def test_garbage_in_any_argument_is_answered_at_once_in_words(name: str, line: Line) -> None:
    home = "desk" if name in DESK else "taken"
    line.run([name, "--help"], home)  # what it imports is not what it waits for
    for words in tries(parser_of(name), name):
        line.refuses([name, *words], home)
    assert line.failures == []


def test_garbage_in_place_of_a_command_is_answered_at_once_in_words(line: Line) -> None:
    for word in GARBAGE:
        line.refuses([word], "taken")
        line.refuses([word, "status"], "taken")
    assert line.failures == []


@pytest.mark.sampled(12)
@pytest.mark.parametrize("kind", kinds())
def test_garbage_in_any_field_of_a_command_is_answered_at_once_in_words(
    kind: str, line: Line
) -> None:
    fields = kinds()[kind].__struct_fields__
    for shift in range(len(GARBAGE)):
        words = [GARBAGE[(shift + STEP * n) % len(GARBAGE)] for n in range(len(fields))]
        given = [f"{field}={word}" for field, word in zip(fields, words, strict=True)]
        line.refuses(["command", "--wait", "0", kind, *given], "desk")
    assert line.failures == []


def test_command_where_no_engine_runs_says_so_and_leaves_nothing(
    tmp_path: Path, line: Line
) -> None:
    prepare(tmp_path / "pitboss.db")
    line.homes["still"] = tmp_path
    code, waited_s, output = line.run(["command", "start-bot", "bot=maker"], "still")
    assert code == PROBLEM
    assert f"no engine is running on {tmp_path}, and nothing was queued" in output
    assert waited_s < WAITED_S_MAX
    with reading(tmp_path / "pitboss.db") as connection:
        assert connection.execute("SELECT count(*) FROM commands").fetchone() == (0,)


def test_command_says_what_it_waits_for(line: Line) -> None:
    code, _, output = line.run(["command", "kill", "--wait", "1.5"], "desk")
    assert code == PROBLEM
    assert (
        "Kill is pending: the engine has not reported yet; waiting for its answer, 1.5 s" in output
    )


@pytest.mark.parametrize("made", [False, True])
def test_kill_where_no_desk_lives_says_so_and_makes_nothing(
    made: bool, tmp_path: Path, line: Line
) -> None:
    home = tmp_path / "mistyped"
    if made:
        home.mkdir()
        (home / "letters.txt").write_text("not a desk\n")
    line.homes["mistyped"] = home
    code, _, output = line.run(["kill"], "mistyped")
    assert code == BAD_ARGUMENTS
    assert f"there is no desk in {home}, and NOTHING was killed" in output
    assert "no order is placed" not in output
    assert [path.name for path in home.glob("*")] == (["letters.txt"] if made else [])


@pytest.mark.parametrize("left", ["journal.db", "pitboss.db", "vault.json", "run/engine.lock"])
def test_kill_takes_whatever_is_left_of_a_desk_for_one(left: str, tmp_path: Path) -> None:
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_bytes(b"damaged")
    require_home(load({"PITBOSS_HOME": str(tmp_path)}))


@pytest.mark.parametrize("minutes", ["inf", "nan", "1e308", "0", "-1"])
def test_minutes_without_end_are_refused_in_words(minutes: str, line: Line) -> None:
    code, _, output = line.run(["simulate", "--minutes", minutes], "taken")
    assert code == BAD_ARGUMENTS
    assert f"argument --minutes: '{minutes}' is not a number from 0.001 to 44,640" in output


@pytest.mark.parametrize("url", ["GARBAGE", "http://", "http://[", "ftp://a", "http://a:0"])
@pytest.mark.parametrize("name", ["run", "kill"])
def test_garbage_for_the_demo_exchange_is_refused_at_once(name: str, url: str, line: Line) -> None:
    code, _, output = line.run([name, "--demo", url], "taken")
    assert code == BAD_ARGUMENTS
    assert f"argument --demo: '{url}' is not an address" in output
