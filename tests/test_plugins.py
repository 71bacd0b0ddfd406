"""Plug-ins: what is found where, and what a broken one costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine import plugins
from engine.errors import BadInput, BrokenInvariant, PluginFailed
from engine.plugins import Found, Problem, found, installed, problems, venue_names, why_missing
from tests.kit.additions import in_the_rooms
from tests.kit.plugins import installed_from, write

REPOSITORY = Path(__file__).resolve().parents[1]
ADDED = REPOSITORY / "tests/additions/plugins"


def texts() -> list[str]:
    return [one.text for one in problems()]


def test_every_kind_of_the_added_plugin_is_found_by_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with installed_from(monkeypatch, ADDED):
        (toy,) = installed()
        assert (toy.name, toy.version, toy.package, toy.off) == ("toy", "1.0", "plugins.toy", False)
        assert toy.about == "A toy: one of everything that a plug-in may bring."
        assert toy.brings["venue"] == ["toy"]
        assert toy.brings["strategies"] == ["pinger"]
        assert "toy" in venue_names()
        (pinger,) = found("strategies")
        assert (pinger.name, pinger.plugin) == ("pinger", "toy")
        assert pinger.module.__name__ == "plugins.toy.strategies.pinger"
        assert problems() == []


def test_files_of_the_product_come_first_and_one_that_breaks_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"one/jobs/canary.py": "x = 1"})
    with installed_from(monkeypatch, tmp_path):
        names = [(one.name, one.plugin) for one in found("jobs", "engine.domain.jobs")]
    assert ("canary", "") in names
    assert names[-1] == ("canary", "one")
    import engine.domain.jobs as room

    write(tmp_path, {"room/torn.py": "1 / 0"})
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path / "room")])
    with pytest.raises(ZeroDivisionError):
        list(found("jobs", "engine.domain.jobs"))


def test_a_file_that_cannot_be_imported_is_told_with_its_line_and_the_others_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(
        tmp_path,
        {
            "bad/strategies/raises.py": "x = 1\n\nraise ValueError('no')",
            "bad/strategies/syntax.py": "def f(:\n",
            "bad/strategies/leaves.py": "import sys\nsys.exit(3)",
            "bad/strategies/lacks.py": "import package_nobody_installed",
            "bad/strategies/Wrong-Name.py": "",
            "bad/strategies/_helper.py": "1 / 0",
            "bad/strategy/one.py": "",
            "good/strategies/works.py": "x = 1",
            "Bad Name/strategies/x.py": "",
        },
    )
    with installed_from(monkeypatch, folder):
        assert [one.name for one in found("strategies")] == ["works"]
        told = {(one.plugin, one.file.name, one.line): one.text for one in problems()}
    assert told["bad", "raises.py", 3] == "ValueError: no"
    assert "invalid syntax" in told["bad", "syntax.py", 1]
    assert told["bad", "leaves.py", 2] == "SystemExit: 3"
    assert "package_nobody_installed" in told["bad", "lacks.py", 1]
    assert told["bad", "strategy", 0] == "there is no kind 'strategy': did you mean strategies?"
    assert plugins.NAME_RULE in told["bad", "Wrong-Name.py", 0]
    assert plugins.NAME_RULE in told["Bad Name", "Bad Name", 0]
    assert len(told) == 7


def test_of_two_plugins_with_one_name_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "first", {"toy/pages/a.py": ""})
    other = write(tmp_path / "other", {"toy/pages/b.py": "", "more/pages/c.py": ""})
    with installed_from(monkeypatch, first, other):
        assert [one.name for one in installed()] == ["toy", "more"]
        assert [one.name for one in found("pages")] == ["a", "c"]
        (problem,) = problems()
    assert (problem.file, str(first / "toy") in problem.text) == (other / "toy", True)


def test_one_that_is_switched_off_is_not_imported_and_says_why_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "there", {"toy/strategies/pinger.py": "1 / 0"})
    write(tmp_path, {"home/plugins.off": "other\ntoy\n"})
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    with installed_from(monkeypatch, folder):
        assert list(found("strategies")) == []
        assert problems() == []
        assert "engine plugins on toy" in why_missing("strategies", "pinger")
        assert why_missing("strategies", "unheard") == ""
    (tmp_path / "home/plugins.off").unlink()
    with installed_from(monkeypatch, folder):
        assert list(found("strategies")) == []
        assert "pinger.py:1: ZeroDivisionError" in why_missing("strategies", "pinger")


def test_the_hash_follows_every_byte_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest() -> str:
        with installed_from(monkeypatch, tmp_path):
            return installed()[0].digest

    write(tmp_path, {"toy/pages/a.py": "x = 1", "toy/picture.svg": "<svg/>"})
    first = digest()
    write(tmp_path, {"toy/pages/__pycache__/a.cpython-311.pyc": "compiled"})
    assert digest() == first
    write(tmp_path, {"toy/picture.svg": "<svg />"})
    second = digest()
    (tmp_path / "toy/pages/a.py").rename(tmp_path / "toy/pages/b.py")
    assert len({first, second, digest()}) == 3


def test_a_package_that_a_distribution_names_is_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        {
            "site/bought/__init__.py": '"""Bought."""\n',
            "site/bought/alerts/rows.py": "from engine.domain.alerts import AlertKind\n"
            "LATE = AlertKind('late', 'Late', '')\n",
            "site/bought-2.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: bought\n"
            "Version: 2.5\n",
            "site/bought-2.5.dist-info/entry_points.txt": "[pitboss.plugins]\nbought = bought\n"
            "gone = package_nobody_installed.inner\n",
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with installed_from(monkeypatch, tmp_path / "none"):
        (bought,) = installed()
        assert (bought.name, bought.version, bought.about) == ("bought", "2.5", "Bought.")
        (rows,) = found("alerts")
        assert (rows.module.__name__, rows.plugin) == ("bought.alerts.rows", "bought")
        assert [one.plugin for one in problems()] == ["gone"]


def test_the_file_env_names_folders_as_the_environment_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {".env": f"PITBOSS_PLUGINS={tmp_path}/mine\n", "mine/toy/pages/a.py": ""})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PITBOSS_PLUGINS", raising=False)
    plugins.forget()
    try:
        assert plugins.folders()[1:] == [tmp_path / "mine"]
    finally:
        plugins.forget()


def thing(text: str, folder: Path, plugin: str = "toy") -> Found:
    """Return a file of a plug-in, imported."""
    from types import ModuleType

    file = folder / "thing.py"
    file.write_text(text)
    module = ModuleType("thing")
    module.__file__ = str(file)
    exec(compile(text, str(file), "exec"), vars(module))
    return Found("thing", module, file, plugin)


def test_what_a_plugin_raises_has_its_line_and_what_it_names_goes_through(tmp_path: Path) -> None:
    given: dict[str, Any] = {"error": KeyError("lost")}
    one = thing("def run(given):\n    raise given['error']\n", tmp_path)
    with pytest.raises(PluginFailed, match=r"plug-in toy: .*thing\.py:2: KeyError: 'lost'"):
        one.guarded(one.module.run)(given)
    for error in (BadInput("refused"), OSError("disk"), ValueError("named")):
        with pytest.raises(type(error), match=str(error)):
            one.guarded(one.module.run, ValueError)({"error": error})


def test_a_refusal_of_the_products_own_file_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(BrokenInvariant, match="is no page"):
        thing("", tmp_path, plugin="").refuse("it is no page")


def test_a_problem_is_one_sentence_with_its_place() -> None:
    assert Problem("toy", Path("a.py"), 3, "why").sentence == "plug-in toy: a.py:3: why"
    assert Problem("toy", Path("a.py"), 0, "why").sentence == "plug-in toy: a.py: why"


BROKEN = {
    "bad/strategies/raises.py": "raise ValueError('half a strategy')",
    "bad/strategies/other_name.py": "class A:\n    name = 'a'\n    parameters_type = int\n",
    "bad/pages/no_page.py": "",
    "bad/jobs/no_run.py": "from engine.domain.jobs import JobArguments\n\n\n"
    "class LoneJob(JobArguments):\n    pass\n",
    "bad/jobs/again.py": "from engine.domain.jobs import JobArguments\n\n\n"
    "class BackupJob(JobArguments):\n    pass\n\n\ndef run(job, context):\n    return {}\n",
    "bad/commands/again.py": "from engine.domain.commands import Command\n\n\n"
    "class Kill(Command, frozen=True, kw_only=True):\n    pass\n\n\n"
    "def run(engine, command, who):\n    return ''\n",
    "bad/commands/odd.py": "from engine.domain.commands import Command\n\n\n"
    "class Odd(Command, frozen=True, kw_only=True):\n    at: complex\n\n\n"
    "def run(engine, command, who):\n    return ''\n",
    "bad/commands/heavy.py": "from engine.live.commands.registry import Done\n",
    "bad/alerts/again.py": "from engine.domain.alerts import AlertKind\n"
    "KILL = AlertKind('kill', 'x', '')\n",
    "bad/venue/plugin.py": "PLUGIN = 1",
    "bad/verbs/kill.py": 'HELP = "mine"\n',
    "bad/verbs/mute.py": "",
    "bad/indicators/torn.py": "1 / 0",
    "bad/projected/no_noun.py": "",
    "bad/projected/named.py": "from storage.fold import Noun, ProjectedTable\n"
    "from storage.projected.orders import OrderRow\n"
    "NOUN = Noun((ProjectedTable(OrderRow, 'orders', ('id',)),), {})\n",
}
SAID = {
    "raises.py:1": "half a strategy",
    "other_name.py:1": "file and name must be the same",
    "no_page.py": "it declares no PAGE of type Page",
    "no_run.py:4": "no function run(arguments, context)",
    "jobs/again.py:4": "there is a job 'backup' already",
    "commands/again.py:4": "there is a command Kill already",
    "odd.py:4": "its fields cannot be read from JSON",
    "heavy.py:1": "imports of the product engine.domain alone on top",
    "alerts/again.py": "there is a kind of alert 'kill' already",
    "venue/plugin.py": "it declares no PLUGIN of type VenuePlugin",
    "verbs/kill.py": "there is a command 'kill' already",
    "mute.py": "it has no line `HELP",
    "torn.py:1": "ZeroDivisionError",
    "no_noun.py": "it declares no NOUN of type Noun",
    "named.py": "call its table bad__orders",
}


def listed(folders: list[Path], home: Path) -> tuple[int, dict[str, Any]]:
    """Return exit code and answer of `engine plugins --json` in a program of its own."""
    given = {"PITBOSS_PLUGINS": ":".join(map(str, folders)), "PITBOSS_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "engine", "plugins", "--json"],
        cwd=REPOSITORY, env={**os.environ, **given}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_way_to_be_broken_is_told_beside_a_plugin_that_works(tmp_path: Path) -> None:
    assert len(SAID) == len(BROKEN)
    if in_the_rooms():
        pytest.skip("the additions lie in the rooms: they are no plug-in here")
    there = "toy" in {one.name for one in installed()}  # laid into `plugins` already
    folders = [write(tmp_path / "broken", BROKEN), *[ADDED] * (not there)]
    code, answer = listed(folders, tmp_path / "home")
    rows = {row["name"]: row for row in answer["plugins"]}
    assert code == 1
    assert rows["toy"]["wrong"] == []
    assert set(rows["toy"]["brings"]) >= {"venue", "strategies", "pages", "jobs", "commands"}
    said = rows["bad"]["wrong"]
    for place, words in SAID.items():
        assert any(f"{place}: " in one and words in one for one in said), (place, said)
    assert len(said) == len(SAID)


def test_a_command_of_a_plugin_is_journaled_so_that_it_is_read_without_it(tmp_path: Path) -> None:
    if in_the_rooms():
        pytest.skip("the additions lie in the rooms: their commands are the product's")
    program = (
        "import msgspec\n"
        "from engine.domain.commands import COMMANDS, AddedCommand, journaled\n"
        "from storage.journal_writer import KINDS, NAMES\n"
        "(kind,) = [one for one in COMMANDS if one.__name__ == 'CountOpenOrders']\n"
        "kept = journaled(kind(account='demo'))\n"
        "assert kept == AddedCommand(plugin='toy', name='CountOpenOrders', "
        'fields=\'{"account":"demo"}\'), kept\n'
        "assert 'CountOpenOrders' not in KINDS and NAMES[AddedCommand] == 'AddedCommand'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY, env={**os.environ, "PITBOSS_PLUGINS": str(ADDED)}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
