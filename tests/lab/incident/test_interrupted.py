"""A life in which calls of a strategy were ended from outside is lived again, and ends."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.inputs import KIND, BotFailed, unpack_input
from engine.lab.incident.run import ComparedRuns, incident
from engine.runtime.tape import read
from engine.runtime.tape_format import block_bytes
from engine.strategies.registry import ELSEWHERE
from storage.incidents import journal_span
from storage.journal import decode, load
from storage.tape_blocks import FILE_MAGIC, segment_name, segments
from tests.lab.conftest import write_recording
from tests.live.programs import LONG_S, Programs
from tests.ports import free_port

SOURCE = (
    Path(__file__).resolve().parents[2] / "additions/plugins/toy/strategies/pinger.py"
).read_text(encoding="utf-8")
LOOPS = """
    def _loops(self) -> None:
        self.calls += 1
        while self.calls > 5:
            pass
"""
WHERE = {"evaluate": "context, now_ns", "receive": "event, now_ns"}
HOUR_NS = 3_600 * 1_000_000_000


def looping(where: str) -> str:
    """Return the toy strategy, which loops for ever in the sixth call of a method."""
    text = SOURCE.replace("from ..indicators.middle import middle\n", "").replace(
        "middle(context.view.book)", "(context.view.best_bid or 100) + 100"
    )
    text = text.replace("self._bot = bot\n", "self._bot = bot\n        self.calls = 0\n")
    head, mark, tail = text.partition(f"    def {where}(self")
    signature, body = tail.split("\n", 1)
    doc, rest = body.split("\n", 1)
    looped = text.replace(text, f"{head}{mark}{signature}\n{doc}\n        self._loops()\n{rest}")
    return looped.replace('"pinger"', '"looper"') + LOOPS


@pytest.fixture(scope="module", params=sorted(WHERE))
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home in which a plug-in looped and its bot was stopped, and the plug-in's file."""
    folder, home = tmp_path_factory.mktemp("plugins"), tmp_path_factory.mktemp("looped")
    file = folder / "looper" / "strategies" / "looper.py"
    file.parent.mkdir(parents=True)
    file.write_text(looping(request.param), encoding="utf-8")
    recording = write_recording(folder / "day.jsonl", markets=1, frames=80)
    programs = Programs(home, free_port())
    programs.fork = False
    try:
        words = ("run", "--feed", f"tape:{recording}", "--speed", "max", "--bot", "looper")
        program = programs.start(*words, PITBOSS_PLUGINS=str(folder))
        assert program.wait(LONG_S) == 0, (home / "run.log").read_text(encoding="utf-8")
    finally:
        programs.end()
    return home, file


@pytest.fixture
def past(life: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A copy of that home where the same plug-in is known."""
    home, file = life
    shutil.copytree(home, tmp_path / "home")
    spec = importlib.util.spec_from_file_location("looper", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "looper", module)
    spec.loader.exec_module(module)
    kind = next(one for name, one in vars(module).items() if name == "Pinger")
    monkeypatch.setitem(ELSEWHERE, "looper", kind)
    return Config(home=tmp_path / "home")


def compared(past: Config) -> ComparedRuns:
    span = journal_span(past.journal_path)
    middle = (span.first_ns + span.last_ns) // 2
    return incident(past, at_ns=middle, around_ns=HOUR_NS, show=lambda *_: None).compared


def error_of(past: Config) -> str:
    alerts = [decode(one) for one in load(past.journal_path) if one.kind == "RaiseAlert"]
    (error,) = [one.text for one in alerts if one.kind == "bot_error"]
    return str(error)


@pytest.mark.long
def test_a_call_that_was_ended_is_not_made_again_and_its_words_are_those_of_then(
    past: Config,
) -> None:
    entries = [unpack_input(one.payload) for one in read(past.tape_folder, warn=print)
               if one.kind == KIND]  # fmt: skip
    (failed,) = [one for one in entries if isinstance(one, BotFailed)]
    assert failed.within
    assert "TurnOverdue in _loops, line " in failed.error
    assert failed.error in error_of(past)
    found = compared(past)
    assert found.difference is None, found.sentence()
    assert found.effects > 5
    assert found.evaluations > 0 or failed.event is not None


@pytest.mark.sampled(1)
def test_a_tape_of_before_ends_too_and_says_the_same(past: Config) -> None:
    """Without what ended the call it is made again, and is ended again."""
    entries = list(read(past.tape_folder, warn=print))
    for segment in segments(past.tape_folder):
        segment.unlink()
    queued = [
        ("other" if one.kind == KIND and type(unpack_input(one.payload)) is BotFailed else one.kind,
         one.at_ns, one.payload)
        for one in entries
    ]  # fmt: skip
    path = past.tape_folder / segment_name(entries[0].position)
    path.write_bytes(FILE_MAGIC + block_bytes(entries[0].position, queued))
    found = compared(past)
    assert found.difference is None, found.sentence()
