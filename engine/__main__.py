"""The command line: `python -m engine COMMAND`.

A command is a file of `cli`, or of a plug-in's `verbs`, with `HELP = "…"`, `add_arguments(parser)`
and `run(args, config)`, which gives the exit code. Only the module of the command that was asked
for is imported. Errors end here, as one sentence on standard error and a code that tells a script
what kind they are.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from engine.errors import (
    BadInput,
    BrokenInvariant,
    ConfigError,
    LeaseLost,
    PitbossError,
    StorageError,
    os_sentence,
    reason_of,
)
from engine.plugins import installed, venue_names

if TYPE_CHECKING:
    from engine.config import Config
    from engine.redaction import Redactor


class CommandModule(Protocol):
    """What the module of a command offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, config: Config) -> int: ...


RECEIVES_KILL = ("run", "kill")
"""Commands that receive KILL as a signal."""

ENDS_IN_ORDER = "run"
"""The command that, asked to end while it still starts, ends once it can prove what is open."""

STOPS = {signal.SIGTERM, signal.SIGINT}

TOLERATES_BAD_ENV = "kill"
"""The command that does what it can where `.env` cannot be read; its exit code is 1 then."""

CONNECTS = (
    "up",
    "run",
    "kill",
    "worker",
    "canary",
    "unlock",
    "selftest",
    "quotes",
    "markets",
    "command",
)
"""Commands that connect, or start what does."""

NAMES_OTHER_HOME = ("up", "kill", "doctor")
"""Commands that say where the last start of this clone had another home."""

INSTALL = "run `make venv`, then start with .venv/bin/python"

OK = 0
PROBLEM = 1
BAD_ARGUMENTS = 2
BAD_FILE = 3
STORAGE_REFUSED = 4
BROKEN = 5
FENCED = 6
INTERRUPTED = 130

EXIT_CODES = {
    OK: "done, no problem found",
    PROBLEM: "done, and it found a problem",
    BAD_ARGUMENTS: "bad configuration or arguments",
    BAD_FILE: "bad input file",
    STORAGE_REFUSED: "the disk or the database refused",
    BROKEN: "broken invariant: a bug in Pitboss",
    FENCED: "a later start of the engine has taken over; this one is not started again",
    INTERRUPTED: "interrupted from the keyboard",
}

_CODE_OF: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigError, BAD_ARGUMENTS),
    (BadInput, BAD_FILE),
    (LeaseLost, FENCED),
    (StorageError, STORAGE_REFUSED),
    (BrokenInvariant, BROKEN),
    (PitbossError, PROBLEM),
    (OSError, STORAGE_REFUSED),
)


_HELP = re.compile(r'^HELP = "(.+)"$', re.MULTILINE)


def commands() -> dict[str, str]:
    """Return every command with its help: the product's, then those of plug-ins."""
    return {name: said for name, (_, said) in _files().items()}


def _files() -> dict[str, tuple[str, str]]:
    """Return module and help of every command by its name; nothing is imported."""
    ours = [("engine.cli", file) for file in sorted((Path(__file__).parent / "cli").glob("*.py"))]
    added = [
        (f"{plugin.package}.verbs", file)
        for plugin in installed()
        if not plugin.off
        for file in plugin.files("verbs").values()
    ]
    made: dict[str, tuple[str, str]] = {}
    for package, file in (*ours, *added):
        said = _help_of(file, file.stat().st_mtime_ns)
        if said and file.stem not in made:
            made[file.stem] = (f"{package}.{file.stem}", said)
    return made


@lru_cache(maxsize=256)
def _help_of(file: Path, changed_ns: int) -> str:  # noqa: ARG001 a changed file is read anew
    """Return a command's help as its file states it, empty where the file is no command."""
    said = _HELP.search(file.read_text(encoding="utf-8", errors="replace"))
    return said[1] if said else ""


def code_of(error: BaseException) -> int:
    """Return the exit code of an error; what has no name is our own mistake."""
    return next((code for kind, code in _CODE_OF if isinstance(error, kind)), BROKEN)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Gives the exit code; never raises for an error of the command."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            code = _run(given)
        finally:
            if _asked(given) == ENDS_IN_ORDER:  # a start that failed is asked to end here
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output went away (`| head`): no one is left to read.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PROBLEM
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"engine", "storage", ""}:
            raise
        print(f"The package {error.name} is missing: {INSTALL}", file=sys.stderr)
        return BAD_ARGUMENTS
    return code


def _run(given: Sequence[str]) -> int:
    parser, command = build_parser(given)
    if any(word.startswith("-") and word.endswith("=--") for word in given):
        parser.error("-- is not a value of an option")  # argparse would take it for an empty list
    try:
        "".join(given).encode()
    except UnicodeEncodeError:
        parser.error("an argument is not valid UTF-8 text: type it again")
    args = parser.parse_args(given)
    if command is None:
        parser.print_help()
        return BAD_ARGUMENTS

    from engine import log  # noqa: PLC0415 `--help` does without
    from engine.config import LAST_HOME, load, other_home  # noqa: PLC0415 `--help` does without
    from engine.redaction import Redactor  # noqa: PLC0415 `--help` does without

    redactor = Redactor()
    errors: list[str] | None = [] if _asked(given) == TOLERATES_BAD_ENV else None
    try:
        config = load(os.environ, Path(".env"), errors, url_keys)
        log.configure(level=config.log_level, redactor=redactor)
        for said in errors or ():
            print(f"{redactor.text(said)}; going on without it in {config.home}", file=sys.stderr)
        if _asked(given) in NAMES_OTHER_HOME and (
            other := other_home(config.home, Path(LAST_HOME))
        ):
            print(redactor.text(other), file=sys.stderr)
        if _asked(given) in CONNECTS:
            from engine.cli.network import require_network  # noqa: PLC0415 the others need none

            for said in require_network(os.environ, spared=errors is not None):
                print(f"{redactor.text(said)}; going on past it", file=sys.stderr)
        if _asked(given) in RECEIVES_KILL:
            from engine.live.handover import ask_keeper  # noqa: PLC0415 the others hold no secret

            if ask_keeper(config.run_folder, os.environ, errors):
                config = load(os.environ, Path(".env"), errors, url_keys)
        return command.run(args, config) or (PROBLEM if errors else OK)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 the top: every error leaves as a sentence and a code
        return _report_error(error, args, redactor)


def url_keys() -> tuple[str, ...]:
    from engine.venues import registry  # noqa: PLC0415 most commands do without

    return tuple(registry.url_keys())


def build_parser(given: Sequence[str]) -> tuple[argparse.ArgumentParser, CommandModule | None]:
    parser = argparse.ArgumentParser(
        prog="python -m engine",
        description="Pitboss from the command line.",
        epilog="exit codes:\n"
        + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser, default=False)
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    asked, known = _asked(given), _files()
    module = None
    alone = asked in known and given[0] == asked  # then no one asks what others there are
    for name, (where, said) in known.items():
        if alone and name != asked:
            continue
        # A command may describe --json itself; ours says the same and replaces it.
        sub = parsers.add_parser(name, help=said, description=said, conflict_handler="resolve")
        if name == asked:
            if name in RECEIVES_KILL:
                # Before any import: a library's own thread that does not know the signal would
                # be given it, and that would end the engine.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            if name == ENDS_IN_ORDER:
                signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
            module = cast("CommandModule", importlib.import_module(where))
            module.add_arguments(sub)
        # Without a default of its own a flag given before the command is not unset behind it.
        for one in (sub, *_verbs(sub)):
            _add_common(one, default=argparse.SUPPRESS)
    return parser, module


def _verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of a command's own verbs: a common flag may stand behind them, too."""
    actions = parser._actions  # noqa: SLF001 argparse tells of its verbs nowhere else
    choices = [action.choices for action in actions if isinstance(action.choices, dict)]
    return [one for group in choices for one in group.values()]


def _asked(given: Sequence[str]) -> str | None:
    return next((word for word in given if not word.startswith("-")), None)


def _add_common(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON object"
    )
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show the traceback of an error"
    )


def _report_error(error: Exception, args: argparse.Namespace, redactor: Redactor) -> int:
    code = code_of(error)
    if args.debug:
        sys.stderr.write(redactor.text("".join(traceback.format_exception(error))))
    said = str(error) or type(error).__name__
    if isinstance(error, OSError):
        said = os_sentence(error)
    elif not isinstance(error, PitbossError):
        said = f"{type(error).__name__}: {said}; this is a bug in Pitboss, --debug shows where"
    sentence = redactor.text(said)
    print(f"{type(error).__name__}: {sentence}", file=sys.stderr)
    if args.json:
        kind, reason = type(error).__name__, reason_of(error)
        print(json.dumps({"error": kind, "reason": reason, "text": sentence, "exit_code": code}))
    return code


def secrets_in(names: Iterable[str]) -> bool:
    """Say whether an environment may hold the vault's passphrase or a venue's secret."""
    prefixes = tuple(f"{name.upper()}_" for name in venue_names())
    return any(
        name in {"VAULT_PASSPHRASE", "DESK_SECRETS_FD"} or any(part in name for part in prefixes)
        for name in names
    )


if __name__ == "__main__":
    os.umask(0o077)
    if secrets_in(os.environ):
        from engine.live.handover import start_clean

        start_clean(sys.argv[1:])
    sys.exit(main())
