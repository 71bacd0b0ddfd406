"""The strategies there are, by name, and how one is built from what a person typed."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from engine.domain.catalog import StrategyEntry
from engine.domain.instruments import BotId
from engine.errors import BadInput, ConfigError
from engine.strategies.door import Parameters, Strategy


def _found() -> dict[str, type[Any]]:
    """Return the strategies of this folder: a file each, or a folder with a file `strategy`."""
    found = {}
    for file in pkgutil.iter_modules(sys.modules[__package__].__path__):
        name = f"{__package__}.{file.name}{'.strategy' * file.ispkg}"
        if name == __name__:
            continue
        for kind in vars(importlib.import_module(name)).values():
            ours = getattr(kind, "__module__", "") == name
            if ours and hasattr(kind, "parameters_type"):
                found[kind.name] = kind
    return found


STRATEGIES = _found()

ELSEWHERE: dict[str, type[Any]] = {}
"""Strategies that lie in no file here, as the simulator's: no page offers them."""

KINDS = {"extra_forbidden": "there is no such parameter", "missing": "it must be given"}
"""Validation results whose own wording does not help a person."""


def build(name: str, params: Mapping[str, Any], bot: BotId) -> Strategy:
    """Return the strategy of this name with these parameters.

    Values may be text (`--param levels=2`). Raises ConfigError for an unknown strategy, BadInput
    for a parameter that is unknown or out of its bounds, naming both.
    """
    kind = STRATEGIES.get(name) or ELSEWHERE.get(name)
    if kind is None:
        known = ", ".join(sorted(STRATEGIES))
        raise ConfigError(f"there is no strategy {name!r}; known: {known}")
    try:
        parameters = kind.parameters_type.model_validate(dict(params))
    except ValidationError as error:
        raise BadInput(f"{name}: {_sentence(error, kind.parameters_type)}") from None
    strategy: Strategy = kind(parameters, bot)
    return strategy


def entries() -> dict[str, StrategyEntry]:
    return {
        name: StrategyEntry(
            parameters=kind.parameters_type.model_json_schema(),
            gates=dict(kind.gates),
            values=dict(kind.values),
        )
        for name, kind in STRATEGIES.items()
    }


def _sentence(error: ValidationError, kind: type[Parameters]) -> str:
    wrongs = []
    for wrong in error.errors(include_url=False):
        field = ".".join(str(part) for part in wrong["loc"])
        if not field:
            wrongs.append(wrong["msg"].removeprefix("Value error, "))
            continue
        text = KINDS.get(wrong["type"], wrong["msg"])
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
