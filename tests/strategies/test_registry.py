from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import plugins
from engine.code_digest import code_digest
from engine.domain.instruments import BotId
from engine.errors import BadInput, ConfigError
from engine.strategies import registry
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import STRATEGIES, build, entries
from tests.kit.plugins import installed_from, write

BOT = BotId("bot")


def made(**params: Any) -> MarketMaker:
    strategy = build("market_maker", params, BOT)
    assert isinstance(strategy, MarketMaker)
    return strategy


def test_every_strategy_is_registered_under_its_name() -> None:
    assert [kind.name for kind in STRATEGIES.values()] == list(STRATEGIES)
    assert "market_maker" in STRATEGIES


def test_every_strategy_builds_with_its_defaults() -> None:
    for name in STRATEGIES:
        assert build(name, {}, BOT).name == name


def test_typed_text_becomes_numbers() -> None:
    p = made(levels="3", half_spread_ticks_min="1.5", fair="microprice").parameters
    assert (p.levels, p.half_spread_ticks_min) == (3, 1.5)


def test_an_unknown_strategy_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'arbitrage'.*market_maker"):
        build("arbitrage", {}, BOT)


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(BadInput, match=r"levls=2: there is no such parameter.*levels"):
        made(levls="2")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"levels": "0"}, r"levels=0: .*\(1 … 20; quotes per side\)"),
        ({"levels": "two"}, r"levels=two: .*integer"),
        ({"size_shares": "nan"}, r"size_shares=nan: .*finite"),
        ({"fair": "guess"}, r"fair=guess: .*'reference' or 'microprice'"),
        ({"twap_window_s": "-1"}, r"twap_window_s=-1: "),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_bounds(
    params: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        made(**params)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"fair": "reference"}, "twap_window_s must be stated"),
        ({"price_min": 0.6, "price_max": 0.6}, "price_min"),
        ({"sigma_floor_bps": 60}, "sigma_floor_bps"),
        ({"sigma_floor_ticks": 30}, "sigma_floor_ticks"),
        ({"refresh_ms": 29_500}, "refresh_ms"),
        ({"size_shares": 300}, "inventory_shares_max"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    params: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        made(**params)


def test_a_wrong_parameter_is_refused_with_its_meaning_alone() -> None:
    with pytest.raises(BadInput, match=r"\(0 … 1000; ticks: book spread above.*0 = off\)$"):
        made(spread_ticks_max="-1")


def test_two_wrongs_are_both_named() -> None:
    with pytest.raises(BadInput, match=r"size_shares=0.*levels=0"):
        made(levels="0", size_shares="0")


RULE = """\"\"\"A rule.\"\"\"

from __future__ import annotations

from typing import ClassVar

{imports}
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Reads


class Reaching(BarRule):
    \"\"\"Flat.\"\"\"

    name: ClassVar[str] = "{name}"
    parameters_type: ClassVar[type[BarParameters]] = BarParameters

    def reads_of(self, parameters: BarParameters) -> Reads:
        return Reads(bars={{parameters.bars: 1}})

    def wish(self, seen: Seen) -> Wish | None:
{body}
"""


def rule_of(name: str, imports: str = "", body: str = "        return Wish(0.0)") -> str:
    return RULE.format(name=name, imports=imports, body=body)


def test_a_plugin_that_reaches_out_or_cannot_be_ended_is_refused_at_load_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catching = (
        "        try:\n            return None\n        except BaseException:\n            raise"
    )
    folder = write(
        tmp_path / "mine",
        {
            "a/strategies/plain_one.py": rule_of("plain_one"),
            "b/strategies/caller.py": rule_of("caller", "import socket"),
            "c/strategies/opener.py": rule_of("opener", body="        return open('x')"),
            "d/strategies/catcher.py": rule_of("catcher", body=catching),
        },
    )
    with installed_from(monkeypatch, folder):
        made = registry._found()
        said = {one.plugin: one.sentence for one in plugins.problems()}
        with pytest.raises(ConfigError, match="it imports socket"):
            build("caller", {}, BotId("bot"))
    assert "plain_one" in made
    assert not {"caller", "opener", "catcher"} & set(made)
    assert "caller.py:7: it imports socket: no I/O" in said["b"]
    assert "it calls open()" in said["c"]
    assert "it catches everything" in said["d"]


def test_a_plugin_that_raises_when_it_is_made_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = rule_of("unmakeable").replace("        return Reads(", "        raise SystemExit(4)\n#")
    folder = write(tmp_path / "mine", {"e/strategies/unmakeable.py": text})
    with installed_from(monkeypatch, folder):
        monkeypatch.setitem(STRATEGIES, "unmakeable", registry._found()["unmakeable"])
        with pytest.raises(BadInput, match="unmakeable cannot be made: SystemExit: 4"):
            build("unmakeable", {}, BotId("bot"))


def test_every_strategy_has_its_family_tags_author_and_version() -> None:
    found = entries()
    assert {one.category for one in found.values()} == {
        "bars", "binaries", "composed", "several instruments"
    }  # fmt: skip
    assert (found["dca"].category, found["dca"].tags) == ("bars", ("bars",))
    assert found["ensemble"].category == "composed"
    assert found["value"].category == "binaries"
    assert "Kelly" in found["value"].tags
    assert found["signal"].tags == ("outside information",)
    assert {one.author for one in found.values()} == {"Pitboss"}
    assert all(one.version and one.digest.startswith(one.version) for one in found.values())


def test_the_catalog_has_the_digest_that_each_strategy_has_once_all_are_loaded() -> None:
    digests = {name: code_digest(kind) for name, kind in STRATEGIES.items()}
    assert {name: entry.digest for name, entry in entries().items()} == digests
