from __future__ import annotations

import argparse
import errno
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine import __main__ as command_line
from engine import errors
from engine.__main__ import EXIT_CODES, code_of, commands, main
from engine.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "0x" + "4c" * 32
Run = Callable[[argparse.Namespace, Config], int]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Run], None]:
    """Make `planted` the only command and let the test say what it does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("engine.log.configure", lambda **_: None)

    def plant(run: Run) -> None:
        def add_arguments(parser: argparse.ArgumentParser) -> None:
            parser.add_argument("--size", type=int, default=1)
            parser.add_argument("--json", action="store_true", help="a command's own")

        module = SimpleNamespace(add_arguments=add_arguments, run=run)
        monkeypatch.setitem(sys.modules, "engine.cli.planted", module)
        one = ("engine.cli.planted", "planted")
        monkeypatch.setattr(command_line, "_files", lambda: {"planted": one})

    return plant


def raising(error: BaseException) -> Run:
    def run(_args: argparse.Namespace, _config: Config) -> int:
        raise error

    return run


@pytest.mark.parametrize(("name", "said"), commands().items())
def test_module_of_a_command_keeps_the_contract(name: str, said: str) -> None:
    module = importlib.import_module(command_line._files()[name][0])
    assert said == module.HELP
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)


@pytest.mark.parametrize(("name", "said"), commands().items())
def test_every_command_has_help(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert said in told
    assert "--json" in told
    assert "--debug" in told


def test_help_lists_commands_and_exit_codes_and_imports_none_of_them() -> None:
    program = (
        "import sys\nfrom engine.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.partition('.')[0] in "
        "{'pydantic', 'msgspec', 'numpy', 'storage', 'structlog'}])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    assert told.endswith("[]\n")
    words = " ".join(told.split())
    for name, said in commands().items():
        assert f"{name} {said}" in words
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in words


def test_what_a_command_returns_is_the_exit_code(planted: Callable[[Run], None]) -> None:
    planted(lambda args, _config: args.size)
    assert main(["planted"]) == 1
    assert main(["planted", "--size", "7"]) == 7


def test_no_command_prints_the_help_and_is_a_bad_argument(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["bogus"], ["planted", "--size", "x"], ["planted", "--bogus"]])
def test_bad_arguments_leave_with_2(argv: list[str], planted: Callable[[Run], None]) -> None:
    planted(lambda _args, _config: 0)
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2


@pytest.mark.parametrize("argv", [["--json", "planted"], ["planted", "--json"]])
def test_flags_may_stand_before_or_behind_the_command(
    argv: list[str], planted: Callable[[Run], None]
) -> None:
    planted(lambda args, _config: 40 + args.json)
    assert main(argv) == 41
    assert main(["planted"]) == 40


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PitbossError("x"), 1),
        (errors.NotSent("x"), 1),
        (errors.AuthRefused("x"), 1),
        (errors.Throttled("x", 1), 1),
        (errors.ConfigError("x"), 2),
        (errors.BadInput("x"), 3),
        (errors.StorageError("x"), 4),
        (errors.JournalCorrupt("x"), 4),
        (OSError("disk full"), 4),
        (errors.BrokenInvariant("x"), 5),
        (errors.InvalidTransition("x"), 5),
        (KeyError("x"), 5),
    ],
)
def test_error_has_the_exit_code_of_its_kind(error: Exception, code: int) -> None:
    assert code_of(error) == code
    assert code in EXIT_CODES


def test_error_is_one_sentence_without_traceback_and_without_secrets(
    planted: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    planted(raising(errors.BadInput(f"line 7 of day.jsonl is torn, near {KEY}")))
    assert main(["planted"]) == 3
    told = capsys.readouterr()
    assert told.err == "BadInput: line 7 of day.jsonl is torn, near [hidden]\n"
    assert told.out == ""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "a file could not be written: the disk is full; free some space and do it again",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/d/x"), "/d/x: this user may not use"),
        (ConnectionError("nobody answers"), "nobody answers"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_to_do(
    error: OSError, told: str, planted: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    planted(raising(error))
    assert main(["planted"]) == 4
    said = capsys.readouterr().err
    assert told in said
    assert "Errno" not in said


def test_debug_shows_the_traceback_without_secrets(
    planted: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    planted(raising(errors.StorageError(f"refused {KEY}")))
    assert main(["planted", "--debug"]) == 4
    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert KEY not in told


def test_error_under_json_is_one_object_on_standard_output(
    planted: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    planted(raising(errors.ConfigError("no")))
    assert main(["planted", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "error": "ConfigError",
        "reason": "config_error",
        "text": "no",
        "exit_code": 2,
    }


def test_error_nobody_named_is_called_our_mistake(
    planted: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    planted(raising(ZeroDivisionError("division by zero")))
    assert main(["planted"]) == 5
    assert "ZeroDivisionError: division by zero; this is a bug in Pitboss" in (
        capsys.readouterr().err
    )


def test_interrupt_leaves_with_130(planted: Callable[[Run], None]) -> None:
    planted(raising(KeyboardInterrupt()))
    assert main(["planted"]) == 130


def test_missing_package_says_how_to_install(
    planted: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planted(lambda _args, _config: 0)
    lacking = lambda _: importlib.import_module("package_nobody_installed")  # noqa: E731
    monkeypatch.setattr(sys.modules["engine.cli.planted"], "add_arguments", lacking)
    assert main(["planted"]) == 2
    assert "package_nobody_installed is missing: run `make venv`" in capsys.readouterr().err


def test_bad_configuration_stops_the_command_before_it_runs(
    planted: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planted(raising(AssertionError("the command ran")))
    monkeypatch.setenv("PITBOSS_HOMES", "x")
    assert main(["planted"]) == 2
    assert "did you mean PITBOSS_HOME?" in capsys.readouterr().err


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """As in `python -m engine doctor | head -0`."""
    command = [sys.executable, "-m", "engine", "--help"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, told = process.communicate(timeout=150)
    assert b"Traceback" not in told
