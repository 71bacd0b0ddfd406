"""`python -m engine upgrade TAG`: bring a clone and its home to a version; `--back` returns.

The desk must be down. A backup is made, the tag checked out, its packages installed where the lock
differs, the state migrated by the new version's own program, and what the home holds is compared
with before. Whatever fails on the way is rolled back. `--back` returns by the same steps as long as
no engine has run since; after that a backup alone would forget orders, and `engine restore` asks
the venues for them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.cli.arguments import REPOSITORY, say
from engine.clock import WallClock
from engine.config import Config
from engine.errors import AlreadyRuns, BadInput, StorageError
from engine.locks import held, locked
from storage.backup import back_up, backup_of, take_for_newest
from storage.database import reading
from storage.files import OF_A_DATABASE, write_whole
from storage.supervisor import FAILURES, SupervisorFault, programs, socket_in

HELP = "bring the program and its home to a version, with a backup; --back returns"

NOTE = "upgrade.json"
LOCK_FILES = ("requirements.txt", "requirements-dev.txt")
STEP_S = 1_800.0
SAID_MAX = 600
FIGURES = {
    "orders": "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(filled), 0) FROM orders",
    "fills": "SELECT count(*), coalesce(sum(value_micro), 0), coalesce(sum(fee_micro), 0) "
    "FROM fills",
    "holdings": "SELECT count(*), coalesce(sum(yes_settled), 0), coalesce(sum(no_settled), 0), "
    "coalesce(sum(yes_cost_micro + no_cost_micro), 0) FROM holdings",
    "cash": "SELECT count(*), coalesce(sum(amount_micro), 0) FROM cash_moves",
    "equity": "SELECT count(*), coalesce(sum(equity_micro), 0) FROM equity",
}
"""What must be the same before and after, by what it is about."""


class UpgradeNote(msgspec.Struct, frozen=True, kw_only=True):
    """What the last upgrade did: kept in the home for the way back."""

    before: str
    """The commit that was left."""
    tag: str
    backup: str
    journal_seq: int
    """The last record of the journal then: an engine that ran since has written more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("tag", nargs="?", help="a tag or commit of the clone")
    which.add_argument("--back", action="store_true", help="return to what the last one left")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. 0 = done.

    Raises AlreadyRuns beside a desk that runs, BadInput where it cannot begin, StorageError where
    it was rolled back.
    """
    config.run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_running(config)
    upgrade = Upgrade(REPOSITORY, config)
    with (
        locked(config.run_folder / "engine.lock", "engine"),
        locked(config.run_folder / "worker.lock", "worker"),
    ):
        said = upgrade.back() if args.back else upgrade.to(args.tag)
    say(args, {"text": said}, said)
    return 0


def _refuse_running(config: Config) -> None:
    """Refuse beside any program of a desk: each has the former version's code and tables.

    Raises AlreadyRuns.
    """
    runs = any(held(config.run_folder / f"{name}.lock") for name in ("engine", "worker"))
    try:
        programs(socket_in(config.run_folder))
        runs = True
    except SupervisorFault:
        runs = True  # it answers: the desk ends, and has not ended
    except FAILURES:
        pass
    if runs:
        raise AlreadyRuns(
            f"a desk runs on {config.home}: stop it first, by `python -m engine down` (as a "
            "service: `python -m engine service stop`)"
        )


class Upgrade:
    """One clone and one home, both at rest."""

    def __init__(self, clone: Path, config: Config) -> None:
        self._clone = clone
        self._config = config
        self._note = config.home / NOTE

    def to(self, tag: str) -> str:
        """Go to a tag; return what was done. Raises BadInput, StorageError."""
        if changed := self._git("status", "--porcelain", "--untracked-files=no"):
            raise BadInput(f"the clone has changes of its own: {changed.splitlines()[0].strip()}")
        wanted = self._commit(tag)
        before = self._commit("HEAD")
        if wanted == before:
            return f"{tag} is what runs here already; nothing was changed"
        figures, name = self._figures(), self._backed_up()
        note = UpgradeNote(before=before, tag=tag, backup=name, journal_seq=self._journal_seq())
        write_whole(self._note, msgspec.json.encode(note))
        try:
            self._check_out(before, wanted)
            self._program("migrate")
            self._same(figures)
        except StorageError as error:
            self._returned(note, wanted)
            raise StorageError(f"{error}; rolled back to {before[:8]}, nothing is lost") from error
        return f"{tag} is in place; the figures are the same; backup {name}; return: --back"

    def back(self) -> str:
        """Return to what the last upgrade left. Raises BadInput, StorageError."""
        try:
            note = msgspec.json.decode(self._note.read_bytes(), type=UpgradeNote)
        except (OSError, msgspec.MsgspecError) as error:
            raise BadInput(f"there is no upgrade to return from: {error}") from error
        if self._journal_seq() != note.journal_seq:
            raise BadInput(
                f"an engine has run since the upgrade: check out {note.before[:8]}, run `make "
                f"venv`, then `engine restore {note.backup}`, which asks the venues what it lacks"
            )
        self._returned(note, self._commit("HEAD"))
        self._note.unlink()
        return f"returned to {note.before[:8]} and to the state of backup {note.backup}"

    # -- Steps -------------------------------------------------------------------------------------

    def _returned(self, note: UpgradeNote, after: str) -> None:
        """Check out what was left and put its files back; call where no engine has run since."""
        self._check_out(after, note.before)
        restored = backup_of(self._config.journal_path)
        for name in (self._config.state_path, self._config.journal_path):
            kept = self._config.backups_folder / note.backup / name.name
            if kept.is_file():
                for end in OF_A_DATABASE:
                    name.with_name(name.name + end).unlink(missing_ok=True)
                unfinished = name.with_name(f"{name.name}.tmp")
                shutil.copyfile(kept, unfinished)
                if name == self._config.journal_path and not restored:
                    take_for_newest(unfinished)
                unfinished.chmod(0o600)
                unfinished.replace(name)

    def _check_out(self, before: str, after: str) -> None:
        self._git("checkout", "--quiet", "--detach", after)
        if self._git("diff", "--name-only", before, after, "--", *LOCK_FILES):
            self._step(["make", "venv"])

    def _program(self, *words: str) -> str:
        """Run a command of the version that is checked out."""
        return self._step([sys.executable, "-m", "engine", *words])

    def _step(self, command: Sequence[str]) -> str:
        home = {"PITBOSS_HOME": str(self._config.home)}
        try:
            done = subprocess.run(  # noqa: S603 our own steps; a tag is a commit by then
                command,
                cwd=self._clone,
                capture_output=True,
                text=True,
                check=False,
                timeout=STEP_S,
                env={**os.environ, **home},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StorageError(f"`{' '.join(command)}` could not be run: {error}") from error
        if done.returncode:
            why = (done.stderr or done.stdout).strip()[-SAID_MAX:]
            raise StorageError(f"`{' '.join(command)}` failed: {why}")
        return done.stdout

    def _git(self, *words: str) -> str:
        return self._step(["git", *words]).strip()

    def _commit(self, name: str) -> str:
        if name.startswith("-"):
            raise BadInput(f"{name!r} is no tag")
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except StorageError:
            raise BadInput(f"the clone has no {name!r}: `git fetch --tags` first") from None

    # -- What must stay the same -------------------------------------------------------------------

    def _backed_up(self) -> str:
        config = self._config
        now = dt.datetime.fromtimestamp(WallClock().now_ns() // 1_000_000_000, dt.UTC)
        name = f"{now:%Y-%m-%dT%H-%M-%SZ}"
        named = (config.state_path, config.journal_path)
        files = {path.name: path for path in named if path.is_file()}
        back_up(files, config.backups_folder, name=name, on_progress=lambda *_: None)
        return name

    def _journal_seq(self) -> int:
        path = self._config.journal_path
        if not path.is_file():
            return 0
        with reading(path) as connection:
            return int(
                connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
            )

    def _figures(self) -> dict[str, object]:
        with reading(self._config.state_path) as connection:
            return {name: connection.execute(sql).fetchone() for name, sql in FIGURES.items()}

    def _same(self, before: dict[str, object]) -> None:
        after = self._figures()
        if differ := [name for name, one in before.items() if after[name] != one]:
            shown = json.dumps({name: [before[name], after[name]] for name in differ})
            raise StorageError(f"the figures differ after the migration: {shown}")
