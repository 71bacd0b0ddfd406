"""Every parameter has a label with words: the product's by its table, a plug-in's by its title."""

from __future__ import annotations

from pydantic import Field

from engine.domain.labels import is_made
from engine.domain.parameter_labels import LABELS, labelled
from engine.strategies.door import Parameters
from engine.strategies.registry import STRATEGIES, entries


class Given(Parameters):
    """A plug-in's: one with a title, one without, one named as a parameter of the product is."""

    wait: float = Field(5.0, title="Waits before it buys, s")
    wait_s: float = 5.0
    share: float = 0.5


def titles(*, own: bool) -> list[str]:
    schema = labelled(Given.model_json_schema(), "toy", own=own)
    return [field["title"] for field in schema["properties"].values()]


def test_a_plug_in_says_its_own_title_and_else_is_read_by_name() -> None:
    assert titles(own=False) == ["Waits before it buys, s", "Wait, s", "Share"]
    assert titles(own=True)[2] == LABELS["share"]


def test_no_parameter_of_a_strategy_is_labelled_by_its_bare_name() -> None:
    for strategy, entry in entries().items():
        for name, field in entry.parameters["properties"].items():
            assert not ("_" in name and is_made(field["title"], name)), f"{strategy}.{name}"
            assert field["title"][:1].isupper(), f"{strategy}.{name}"


def test_two_parameters_of_a_strategy_never_have_one_label() -> None:
    for strategy, entry in entries().items():
        found = [field["title"] for field in entry.parameters["properties"].values()]
        assert len(set(found)) == len(found), (strategy, sorted(found))


def test_a_label_is_of_a_parameter_there_is() -> None:
    known = {
        one
        for strategy, kind in STRATEGIES.items()
        for name in kind.parameters_type.model_fields
        for one in (name, f"{strategy}.{name}")
    }
    assert set(LABELS) <= known, sorted(set(LABELS) - known)
