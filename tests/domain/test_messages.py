"""Every message survives the journal: encoded, decoded by its type, equal."""

import importlib
import pkgutil
import typing

import msgspec
import pytest

from engine.domain import commands, effects, events, intents


def members(union):
    return sorted(typing.get_args(union), key=lambda kind: kind.__name__)


ALL = [
    *members(events.AnyEvent),
    *members(effects.AnyEffect),
    *members(commands.AnyCommand),
    *members(intents.Intent),
]


def declared(module, base):
    return {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and not value.__subclasses__()
    }


def test_every_declared_event_effect_and_command_is_in_its_union():
    assert declared(events, events.Event) == set(members(events.AnyEvent))
    assert declared(effects, effects.Effect) == set(members(effects.AnyEffect))
    found = declared(commands, commands.Command)
    for one in pkgutil.iter_modules(commands.__path__):
        found |= declared(
            importlib.import_module(f"{commands.__name__}.{one.name}"), commands.Command
        )
    assert found == set(members(commands.AnyCommand)) - set(commands.ADDED_COMMANDS)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_messages_are_frozen_keyword_only_and_tagged_by_name(kind):
    config = kind.__struct_config__
    assert config.frozen
    assert config.tag == kind.__name__


def test_tags_are_unique_across_all_messages():
    tags = [kind.__struct_config__.tag for kind in ALL]
    assert len(tags) == len(set(tags))


def test_an_event_decodes_to_itself():
    event = events.BookChanged(instrument="x:y", changes=(("buy", 1, 2),), exchange_ns=None)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=events.AnyEvent)
    assert back.instrument == "x:y"
    assert back.changes[0][0].value == "buy"


def test_a_message_with_a_field_of_the_wrong_kind_is_refused():
    raw = msgspec.json.encode({"type": "OrderSent", "account": "a", "order": "first"})
    with pytest.raises(msgspec.ValidationError, match="order"):
        msgspec.json.decode(raw, type=events.AnyEvent)
