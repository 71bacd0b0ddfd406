"""The strategies there are, by name, and how one is built from what a person typed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from engine.code_digest import code_digest
from engine.domain.catalog import StrategyEntry
from engine.domain.instruments import BotId
from engine.domain.parameter_labels import labelled
from engine.domain.plain import PlainView
from engine.errors import BadInput, ConfigError
from engine.in_time import in_time
from engine.plugins import (
    PACKAGE,
    Found,
    by_the_back_door,
    found,
    impurities,
    installed,
    look_again,
    why_missing,
)
from engine.strategies.door import Parameters, Strategy, StrategyDeclared, declared_by

ROOM = "engine.strategies"


StrategyKind = type[Any]
StrategyKinds = dict[str, StrategyKind]
"""The class of each strategy, by its name."""

LOADED: dict[type[object], tuple[str, str]] = {}
"""Plug-in and digest of its files as each strategy of one was loaded from."""


def _found() -> StrategyKinds:
    """Return the strategies of this folder and of the plug-ins, by name."""
    made: StrategyKinds = {}
    digests = {plugin.name: plugin.digest for plugin in installed()}
    # All are imported before one is judged: of what one is made of others are part.
    every = [(one, one.defined(object)) for one in found("strategies", ROOM)]
    for one, defined in every:
        kinds = [kind for kind in defined if hasattr(kind, "parameters_type")]
        if not kinds and one.plugin:
            one.refuse("it defines no class with `parameters_type`, which a strategy has")
        for kind in kinds:
            if why := _refusal(one, kind, made):
                one.refuse(why, kind)
            else:
                made[one.name] = kind
                if one.plugin:
                    LOADED.setdefault(kind, (one.plugin, digests[one.plugin]))
    return made


def code_of(strategy: object) -> str:
    """Return the digest of the plug-in a strategy was loaded from; empty = it is the product's."""
    return LOADED.get(type(strategy), ("", ""))[1]


def found_again(plugin: str = "") -> StrategyKinds:
    """Look again for strategies; return those that are new, those of `plugin` anew.

    It imports what people wrote: not on the loop of an engine, which then takes them by `take_new`.
    """
    look_again(plugin)
    return {name: kind for name, kind in _found().items() if STRATEGIES.get(name) is not kind}


def take_new(kinds: StrategyKinds) -> None:
    """Have these be the strategies of their names from now on."""
    STRATEGIES.update(kinds)


def _refusal(one: Found, kind: type[Any], made: Mapping[str, type[Any]]) -> str:
    """Return why a class is no strategy a person could choose; empty = it is one."""
    if getattr(kind, "name", "") != one.name:
        return f"its name is {getattr(kind, 'name', '')!r}: file and name must be the same"
    if one.plugin and (why := "; ".join([*impurities(one.file), *by_the_back_door(one.file)])):
        return why
    if one.name in made:
        return f"there is a strategy {one.name!r} already, in {made[one.name].__module__}"
    wrong = one.tried(lambda: _entry(kind))
    return f"what it declares cannot be read: {wrong}" if wrong else ""


_MADE: dict[type[Any], StrategyEntry] = {}
"""A schema takes 3 ms: the load has made what the catalog is written from."""


def _entry(kind: StrategyKind) -> StrategyEntry:
    if (made := _MADE.get(kind)) is not None:
        return made
    return _MADE.setdefault(kind, _read(kind))


def _read(kind: StrategyKind) -> StrategyEntry:
    return StrategyEntry(
        parameters=labelled(
            kind.parameters_type.model_json_schema(), kind.name, own=not _of_plugin(kind)
        ),
        gates=dict(kind.gates),
        values=dict(kind.values),
        about=(kind.__doc__ or "").partition("\n")[0],
        idea=idea_of(kind),
        digest=code_digest(kind),
        category=category_of(kind),
        tags=tags_of(kind),
        author=kind.__module__.split(".")[1] if _of_plugin(kind) else PRODUCT,
    )


PRODUCT = "Pitboss"
FAMILIES = {"ComposedRule": "composed", "BarRule": "bars", "BinaryBet": "binaries"}
"""Category by the base a strategy is made from; one that has none of them says its own."""

CATEGORIES = {
    "market_maker": "binaries",
    "one_of_arbitrage": "binaries",
    "pairs": "several instruments",
    "rebalance": "several instruments",
    "rules": "composed",
    "signal": "composed",
}
"""Of the product's own that are made from none: here, since a word in their file would make their
evidence that of other code."""

TAGS = {
    "bars": ("bars",),
    "document": ("rule without code",),
    "key": ("outside information",),
    "kelly": ("Kelly",),
    "limit_offset": ("holds to the end",),
    "half_spread_ticks_min": ("quotes",),
    "edge_min": ("edge after fees",),
}
"""Tags by a parameter that strategies of a kind have."""


def category_of(kind: type[object]) -> str:
    """Return the family of a strategy: its own word, else that of its base."""
    said = getattr(kind, "category", "")
    if isinstance(said, str) and said:
        return said
    bases = (FAMILIES[base.__name__] for base in kind.__mro__ if base.__name__ in FAMILIES)
    return next(bases, CATEGORIES.get(getattr(kind, "name", ""), "other"))


def tags_of(kind: type[Strategy]) -> tuple[str, ...]:
    """Return its own tags, and those of the parameters it has, each once."""
    own = (str(one) for one in getattr(kind, "tags", ()))
    fields = (TAGS.get(name, ()) for name in kind.parameters_type.model_fields)
    found = [*own, *(tag for tags in fields for tag in tags)]
    return tuple(dict.fromkeys([*found, *(["plug-in"] if _of_plugin(kind) else [])]))


def _of_plugin(kind: type[object]) -> bool:
    return kind.__module__.startswith(f"{PACKAGE}.")


def _foreign(kind: StrategyKind) -> bool:
    """Say whether a class is of a plug-in, also of one as it was when it ran."""
    return not kind.__module__.startswith(("engine.", "tests.", "bench.", "studies."))


def is_foreign(strategy: object) -> bool:
    """Say whether a strategy is a plug-in's: what it gives is looked at before it is used."""
    return _foreign(type(strategy))


def idea_of(kind: StrategyKind) -> str:
    """Return what the file of a strategy says of it: its idea, its source, when it loses."""
    return (importlib.import_module(kind.__module__).__doc__ or "").strip()


STRATEGIES: StrategyKinds = _found()

ELSEWHERE: StrategyKinds = {}
"""Strategies that lie in no file here, as the simulator's: no page offers them."""

KINDS = {"extra_forbidden": "there is no such parameter", "missing": "it must be given"}
"""Validation results whose own wording does not help a person."""


def build(name: str, params: PlainView, bot: BotId, kind: type[Any] | None = None) -> Strategy:
    """Return the strategy of this name with these parameters; `kind` = of that class.

    Values may be text (`--param levels=2`). Raises ConfigError for an unknown strategy, BadInput
    for a parameter that is unknown or out of its bounds, naming both.
    """
    kind = kind or STRATEGIES.get(name) or ELSEWHERE.get(name)
    if kind is None:
        known = ", ".join(sorted(STRATEGIES))
        why = why_missing("strategies", name) or f"known: {known}"
        raise ConfigError(f"there is no strategy {name!r}; {why}")
    if not _foreign(kind):
        return _built(kind, name, params, bot)
    return in_time(partial(_built, kind, name, params, bot), f"the making of {name}")


def _built(kind: StrategyKind, name: str, params: PlainView, bot: BotId) -> Strategy:
    try:
        parameters = kind.parameters_type.model_validate(dict(params))
    except ValidationError as error:
        raise BadInput(f"{name}: {_sentence(error, kind.parameters_type)}") from None
    try:
        strategy: Strategy = kind(parameters, bot)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        if _foreign(kind):
            raise BadInput(f"{name} cannot be made: {type(error).__name__}: {error}") from error
        raise
    return strategy


def declared_of(strategy: Strategy) -> StrategyDeclared:
    """Return what a strategy declares.

    Raises BadInput where that cannot be read, TookTooLong where that of a plug-in goes on and on.
    """
    if not _foreign(type(strategy)):
        return declared_by(strategy)
    name = getattr(type(strategy), "name", "")
    return in_time(partial(_declared, strategy, name), f"what {name} declares")


def _declared(strategy: Strategy, name: str) -> StrategyDeclared:
    try:
        return declared_by(strategy)
    except BadInput as error:
        raise BadInput(f"{name} cannot be made: {error}") from None
    except (Exception, SystemExit) as error:
        if _foreign(type(strategy)):
            said = f"what it declares raised {type(error).__name__}: {error}"
            raise BadInput(f"{name} cannot be made: {said}") from error
        raise


def restore_state(strategy: Strategy, learned: bytes) -> None:
    """Have a strategy take back what it had learned.

    Raises what it raises, TookTooLong where that of a plug-in goes on and on.
    """
    if _foreign(type(strategy)):
        in_time(partial(strategy.restore, learned), f"the restore of {strategy.name}")
    else:
        strategy.restore(learned)


def entries() -> dict[str, StrategyEntry]:
    return {name: _entry(kind) for name, kind in STRATEGIES.items()}


def _sentence(error: ValidationError, kind: type[Parameters]) -> str:
    wrongs = []
    for wrong in error.errors(include_url=False):
        field = ".".join(str(part) for part in wrong["loc"])
        if not field:
            wrongs.append(wrong["msg"].removeprefix("Value error, "))
            continue
        text = KINDS.get(wrong["type"], wrong["msg"].removeprefix("Value error, "))
        wrongs.append(f"parameter {field}={wrong['input']}: {text}{_bounds(kind, field)}")
    return "; ".join(wrongs)


def _bounds(kind: type[Parameters], field: str) -> str:
    """Return the field's bounds and help in brackets; nothing for an unknown field."""
    info = kind.model_fields.get(field)
    if info is None:
        return f" (known: {', '.join(kind.model_fields)})"
    low = next((bound.ge for bound in info.metadata if hasattr(bound, "ge")), None)
    high = next((bound.le for bound in info.metadata if hasattr(bound, "le")), None)
    limits = "" if low is None or high is None else f"{low:g} … {high:g}; "
    meaning = " ".join((info.description or "").partition("\n\n")[0].split())
    return f" ({limits}{meaning})"
