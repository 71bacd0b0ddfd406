"""Everything that is installed keeps the contract of what it is; no name stands here by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.contracts.things import Thing, check_channel, things
from engine.plugins import KINDS
from engine.venues.registry import plugins
from engine.watch.channels import channels
from tests.kit.plugins import write

REPOSITORY = Path(__file__).resolve().parents[2]
TOY = REPOSITORY / "tests/additions/plugins/toy"


THINGS = things()
PLAYED = [one for one in THINGS if one.kind in {"strategies", "indicators"} and not one.plugin]
"""The product's own whose check plays a market: samples of them run in `make test`."""


def named(thing: Thing) -> str:
    return f"{thing.kind}-{thing.name}"


@pytest.mark.parametrize("thing", [one for one in THINGS if one not in PLAYED], ids=named)
def test_it_keeps_its_contract(thing: Thing) -> None:
    assert list(thing.check()) == []


@pytest.mark.sampled(12)
@pytest.mark.parametrize("thing", PLAYED, ids=named)
def test_a_strategy_or_indicator_of_the_product_keeps_its_contract(thing: Thing) -> None:
    assert list(thing.check()) == []


def test_every_kind_is_checked() -> None:
    assert {one.kind for one in THINGS} == set(KINDS) | {"limits"}


def checked(folder: Path, home: Path) -> tuple[int, dict[str, Any], str]:
    """Return what `engine plugins check` says of a folder that is not installed."""
    environment = {key: value for key, value in os.environ.items() if key != "PITBOSS_PLUGINS"}
    done = subprocess.run(
        [sys.executable, "-m", "engine", "plugins", "--json", "check", str(folder)],
        cwd=REPOSITORY, env={**environment, "PITBOSS_HOME": str(home)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_every_addition_keeps_its_contract(tmp_path: Path) -> None:
    if "toy" in plugins():
        pytest.skip("the additions are installed: each is held to its contract above")
    code, answer, error = checked(TOY, tmp_path)
    assert code == 0, (answer, error)
    kinds = [row["kind"] for row in answer["checked"]]
    brought = {folder.name for folder in TOY.iterdir() if folder.name in KINDS}
    assert set(kinds) == brought


BAD = {
    "bad/strategies/hasty.py": (TOY / "strategies/pinger.py").read_text()
    .replace("Pinger", "Hasty").replace('"pinger"', '"hasty"')
    .replace("from ..indicators.middle import middle", "import time\n")
    .replace("at = context.view.instrument, middle(context.view.book)",
             "at = context.view.instrument, int(time.time_ns() % 5_000) + 300"),
    "bad/pages/bare.py": "from pages import Page\nPAGE = Page('Bare', '', 'Toys', 0)\n\n\n"
    "def main():\n    1 / 0\n",
    "bad/commands/odd.py": "import engine.clock\n"
    "from engine.domain.commands import Command\n\n\n"
    "class Odd(Command, frozen=True, kw_only=True):\n    at: int\n\n\n"
    "def run(engine, command, who):\n    return ''\n",
    "bad/alerts/odd.py": "from engine.domain.alerts import AlertKind\n"
    "ODD = AlertKind('Odd', 'odd.', 'do it')\n",
    "bad/verbs/odd.py": 'HELP = "Does it."\n\n\ndef add_arguments(parser):\n'
    "    parser.add_argument('--x')\n\n\ndef run(args, config):\n    return 0\n",
    "bad/indicators/odd.py": "from engine.indicators.door import PriceIndicator\n\n\n"
    "class Odd(PriceIndicator):\n    name = 'odd'\n    seen: list[float] = []\n\n"
    "    def on_price(self, price, now_ns):\n        self.seen = [*self.seen, price]\n\n"
    "    def value(self, now_ns):\n        return 1.0\n",
}  # fmt: skip
WRONG = {
    ("pages", "bare"): (
        "first line of its docstring",
        "over an empty home it raises",
        "its icon is ''",
    ),
    ("commands", "Odd"): ("import it inside `run`", "no docstring"),
    ("alerts", "Odd"): ("small letters", "without a full stop", "begins with a capital"),
    ("verbs", "odd"): ("a line in the imperative", "--x has no help"),
    ("indicators", "odd"): ("its title", "before anything came", "its memory grows"),
}


@pytest.mark.long
def test_what_breaks_a_contract_is_named(tmp_path: Path) -> None:
    write(tmp_path, BAD)
    code, answer, error = checked(tmp_path / "bad", tmp_path / "home")
    assert code == 1, error
    said = {(row["kind"], row["name"]): "\n".join(row["wrong"]) for row in answer["checked"]}
    assert set(said) >= set(WRONG), answer["wrong"]
    # A strategy that is not pure is not even taken: nothing may run it.
    assert any("hasty.py" in one and "it imports time" in one for one in answer["wrong"])
    for thing, words in WRONG.items():
        for word in words:
            assert word in said[thing], (thing, said[thing])


@pytest.mark.long
def test_a_path_that_is_no_plugin_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", write(tmp_path, {"empty/readme.txt": ""}) / "empty"):
        code, _, error = checked(folder, tmp_path / "home")
        assert code == 3
        assert "docs/extend" in error


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"help": "get a key"}, "in a sentence"),
        ({"example": {"url": "x"}}, "its own example is refused"),
        ({"fields": ()}, "none of its fields is hidden"),
    ],
)
def test_a_channel_that_breaks_its_contract_is_told(changed: dict[str, Any], words: str) -> None:
    good = channels()["webhook"]
    file = Path(str(sys.modules[good.deliver.__module__].__file__))
    assert list(check_channel(good, file)) == []
    bad = msgspec.structs.replace(good, **changed)
    assert any(words in one for one in check_channel(bad, file))
