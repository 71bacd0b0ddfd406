"""The indicators there are, by name: of every file of this folder, and of plug-ins."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import IndicatorEntry, SettingEntry
from engine.errors import BadInput
from engine.indicators.door import Indicator, Variant, build, settings_of
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


def entries() -> dict[str, IndicatorEntry]:
    """Return every indicator as pages and rules read it, by name."""
    return {name: _entry(kind) for name, kind in INDICATORS.items()}


def _entry(kind: type[Indicator]) -> IndicatorEntry:
    plain = kind()
    # What a plug-in's indicator does not say is empty here; the contract names it.
    title, formula, source, unit = (
        getattr(kind, name, "") for name in ("title", "formula", "source", "unit")
    )
    return IndicatorEntry(
        title=title or kind.name,
        about=(kind.__doc__ or "").partition("\n")[0],
        formula=formula,
        source=source,
        unit=unit,
        feed=kind.feed.value,
        settings={
            name: SettingEntry(
                default=getattr(plain, name),
                description=meta.description or "",
                low=_bound(meta.ge),
                high=_bound(meta.le),
                above=_bound(meta.gt),
                below=_bound(meta.lt),
                pattern=meta.pattern or "",
            )
            for name, meta in settings_of(kind).items()
        },
    )


def _bound(number: float | None) -> float | None:
    return None if number is None else float(number)
