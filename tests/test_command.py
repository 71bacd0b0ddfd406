"""Commands from the command line: every kind by its name, every field checked before it is left."""

from __future__ import annotations

from typing import get_args

import pytest

from engine.command import _command, kinds
from engine.domain.commands import AnyCommand, InventoryPolicy, StopBot
from engine.errors import BadInput


def test_every_command_has_its_name() -> None:
    assert set(kinds().values()) == set(get_args(AnyCommand))
    assert kinds()["cancel-order-by-hand"].__name__ == "CancelOrderByHand"


def test_fields_become_the_command() -> None:
    made = _command("stop-bot", ["bot=maker", "inventory=exit"])
    assert made == StopBot(bot="maker", inventory=InventoryPolicy.EXIT)  # type: ignore[arg-type]
    assert _command("apply-settings", ["version=3"]).version == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (["bot"], "no field=value"),
        (["bott=maker"], "has no field 'bott'; known are: bot"),
        (["bot=maker", "inventory=burn"], "stop-bot: Invalid enum value 'burn'"),
        ([], "stop-bot: Object missing required field `bot`"),
    ],
)
def test_what_is_wrong_is_named(fields: list[str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        _command("stop-bot", fields)
