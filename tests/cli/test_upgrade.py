"""A clone and a home with orders go to a tag and back: figures equal, a failure rolled back."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from engine.__main__ import main
from engine.cli.upgrade import FIGURES, Upgrade
from engine.config import load
from engine.errors import BadInput, StorageError
from engine.locks import locked
from storage.backup import backup_of
from storage.schema import head
from tests.fakes.supervisor import supervised
from tests.storage.homes import lay

MIGRATE = """
import sys
from pathlib import Path

for name in [name for name in sys.modules if name.split(".")[0] == "engine"]:
    del sys.modules[name]
sys.path[0] = {repository!r}
from storage.projection import bring_up_to_date

home = Path({home!r})
bring_up_to_date(home / "pitboss.db", home / "journal.db")
{more}
"""
"""What the program of a tag does here: this version's own migration, without compiling it all."""
REPOSITORY = Path(__file__).parents[2]


class Cloned:
    """A clone with two tags beside a home of schema 0021, which has orders, fills and money."""

    def __init__(self, folder: Path) -> None:
        self.home, self.clone = folder / "home", folder / "clone"
        lay("0021", self.home)
        self.clone.mkdir()
        self.git("init", "--quiet")
        self.git("config", "user.email", "t@example.org")
        self.git("config", "user.name", "t")
        self.program("one", "raise SystemExit(3)")
        self.config = load({"PITBOSS_HOME": str(self.home)})

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.clone, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def program(self, tag: str, text: str) -> None:
        """Commit a version whose `python -m engine` is this, and tag it."""
        (self.clone / "engine").mkdir(exist_ok=True)
        (self.clone / "engine" / "__init__.py").touch()
        (self.clone / "engine" / "__main__.py").write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", tag)
        self.git("tag", tag)

    def next(self, tag: str, more: str = "") -> None:
        """Make a newer tag, and return to the first one."""
        # The clone's own `engine` must not stand in the way of this repository's.
        text = MIGRATE.format(repository=str(REPOSITORY), home=str(self.home), more=more)
        self.program(tag, text)
        self.git("checkout", "--quiet", "one")

    @property
    def figures(self) -> dict[str, Any]:
        with closing(sqlite3.connect(self.home / "pitboss.db")) as connection:
            return {name: connection.execute(sql).fetchone() for name, sql in FIGURES.items()}

    @property
    def schema(self) -> str:
        with closing(sqlite3.connect(self.home / "pitboss.db")) as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])

    @property
    def startable(self) -> bool:
        """Whether a start takes the journal for the newest there is."""
        return backup_of(self.config.journal_path) == ""

    @property
    def upgrade(self) -> Upgrade:
        return Upgrade(self.clone, self.config)


@pytest.fixture
def cloned(tmp_path: Path) -> Cloned:
    return Cloned(tmp_path)


@pytest.mark.long
def test_a_home_goes_to_a_tag_and_back_with_equal_figures(cloned: Cloned) -> None:
    cloned.next("two")
    before = cloned.figures
    assert before["orders"][0] > 100
    said = cloned.upgrade.to("two")
    assert "the figures are the same" in said
    assert (cloned.schema, cloned.figures) == (head(), before)
    assert cloned.git("describe", "--tags") == "two"
    assert cloned.upgrade.to("two") == "two is what runs here already; nothing was changed"
    assert cloned.upgrade.back().startswith("returned to ")
    assert cloned.startable, "the journal is no backup that lacks what came since"
    assert (cloned.schema, cloned.figures) == ("0021", before)
    assert cloned.git("describe", "--tags") == "one"
    with pytest.raises(BadInput, match="there is no upgrade to return from"):
        cloned.upgrade.back()


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("raise SystemExit('no room')", "no room"),
        (
            "import sqlite3; c = sqlite3.connect(home / 'pitboss.db'); "
            "c.execute('DELETE FROM fills WHERE rowid < 20'); c.commit()",
            "the figures differ after the migration",
        ),
    ],
)
def test_what_fails_on_the_way_is_rolled_back(cloned: Cloned, more: str, said: str) -> None:
    cloned.next("two", more)
    before = cloned.figures
    with pytest.raises(StorageError, match="rolled back") as refused:
        cloned.upgrade.to("two")
    assert said in str(refused.value)
    assert cloned.startable
    assert (cloned.schema, cloned.figures) == ("0021", before)
    assert cloned.git("describe", "--tags") == "one"


@pytest.mark.long
def test_a_journal_that_lacks_records_still_does_after_a_return(cloned: Cloned) -> None:
    cloned.next("two")
    with closing(sqlite3.connect(cloned.config.journal_path)) as connection:
        connection.execute("INSERT INTO meta VALUES ('backup', '2026-01-01T00-00-00Z')")
        connection.commit()
    cloned.upgrade.to("two")
    cloned.upgrade.back()
    assert not cloned.startable, "it was put back from a backup before: a start must ask the venues"


@pytest.mark.long
def test_after_an_engine_ran_a_return_leads_to_restore(cloned: Cloned) -> None:
    cloned.next("two")
    cloned.upgrade.to("two")
    with closing(sqlite3.connect(cloned.home / "journal.db")) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(records)")]
        rest = ", ".join(name for name in names if name != "seq")
        connection.execute(
            f"INSERT INTO records (seq, {rest}) SELECT seq + 1, {rest} FROM records "
            "ORDER BY seq DESC LIMIT 1"
        )
        connection.commit()
    with pytest.raises(BadInput, match="engine restore"):
        cloned.upgrade.back()
    assert cloned.schema == head(), "nothing was changed"


def test_it_does_not_begin_with_an_unknown_tag_or_a_changed_clone(cloned: Cloned) -> None:
    cloned.next("two")
    with pytest.raises(BadInput, match="git fetch --tags"):
        cloned.upgrade.to("three")
    with pytest.raises(BadInput, match="is no tag"):
        cloned.upgrade.to("--force")
    (cloned.clone / "engine" / "__main__.py").write_text("changed")
    with pytest.raises(BadInput, match="changes of its own"):
        cloned.upgrade.to("two")


@pytest.mark.parametrize("words", [("v1",), ("--back",)])
@pytest.mark.parametrize("runs", ["engine.lock", "worker.lock", "supervisor.sock"])
def test_beside_any_program_of_a_desk_it_says_how_to_stop_it(
    runs: str,
    words: tuple[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TemporaryDirectory(prefix="pb") as folder:  # a socket's name has about a hundred bytes
        monkeypatch.setenv("PITBOSS_HOME", folder)
        file = Path(folder) / "run" / runs
        beside = supervised(file) if runs.endswith("sock") else locked(file, "engine")
        with beside:
            assert main(["upgrade", *words]) == 4
    said = capsys.readouterr().err
    assert "a desk runs on" in said
    assert "by `python -m engine down`" in said
