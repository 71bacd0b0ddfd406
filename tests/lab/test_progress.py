from __future__ import annotations

import sys

import pytest

from engine.lab.progress import STEPS, ProgressLine


def test_a_log_is_told_each_twentieth_once_and_not_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ProgressLine(shown=True)
    for done in range(1, 2001):
        line(done, 2000, f"{done} seeds")
    line.end()
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[0] == "  5.0 %  100 seeds"
    assert output.err.splitlines()[-1] == " 95.0 %  1900 seeds"
    assert len(output.err.splitlines()) == STEPS - 1


def test_a_terminal_has_one_line_rewritten_and_wiped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = ProgressLine(shown=True)
    line(1, 4, "one")
    line(2, 4, "two")
    line.end()
    assert capsys.readouterr().err == "\r 25.0 %  one\x1b[K\r 50.0 %  two\x1b[K\r\x1b[K"


def test_who_asked_for_json_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine(shown=False)
    line(1, 2, "half")
    line.end()
    assert capsys.readouterr().err == ""
