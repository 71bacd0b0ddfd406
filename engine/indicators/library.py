"""The indicators there are, by name: every file of this folder that holds one, found by scan."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping

from engine.errors import BadInput, ConfigError
from engine.indicators.door import Indicator, Variant, build


def _found() -> dict[str, type[Indicator]]:
    """Return every indicator of this folder. Raises ConfigError where two have one name."""
    found: dict[str, type[Indicator]] = {}
    for file in pkgutil.iter_modules(sys.modules[__package__].__path__):
        module = f"{__package__}.{file.name}"
        if module == __name__:
            continue
        for kind in vars(importlib.import_module(module)).values():
            if not (isinstance(kind, type) and issubclass(kind, Indicator)):
                continue
            if kind.__module__ != module or not hasattr(kind, "name"):
                continue
            if kind.name in found:
                raise ConfigError(f"two indicators have the name {kind.name!r}: rename one")
            found[kind.name] = kind
    return found


INDICATORS: Mapping[str, type[Indicator]] = _found()


def kind_of(name: str) -> type[Indicator]:
    """Return the indicator of this name. Raises BadInput with the names there are."""
    kind = INDICATORS.get(name)
    if kind is None:
        raise BadInput(
            f"there is no indicator {name!r}; there are: {', '.join(sorted(INDICATORS))}"
        )
    return kind


def fresh(variant: Variant) -> Indicator:
    """Return the variant's indicator as it begins. Raises BadInput where it cannot be made."""
    return build(kind_of(variant.indicator), dict(variant.settings))
