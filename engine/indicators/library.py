"""The indicators there are, by name: of every file of this folder, and of plug-ins."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import BadInput
from engine.indicators.door import Indicator, Variant, build
from engine.plugins import found


def _found() -> dict[str, type[Indicator]]:
    """Return every indicator of this folder and of plug-ins, by name.

    Raises BrokenInvariant where two of the product have one name.
    """
    made: dict[str, type[Indicator]] = {}
    for one in found("indicators", "engine.indicators"):
        for kind in one.defined(Indicator):
            if not hasattr(kind, "name"):
                continue  # a base of others
            if kind.name in made:
                one.refuse(f"there is an indicator {kind.name!r} already", kind)
            else:
                made[kind.name] = kind
    return made


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
