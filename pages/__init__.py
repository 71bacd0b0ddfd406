"""The dashboard: a file or a folder a page, found by its `PAGE`; pieces in `kit` and `shared`.

Pages read rows through `storage`, write through `storage.commands` and `storage.settings`, and know
nothing of the engine but its vocabulary. What a page shows stands in its docstring: Help and the
README tell it from there.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

GROUPS = ("Trade", "Research", "Guard", "Desk")
"""Groups of the navigation in their order; one that is not among them comes last."""

NO_RUNTIME = "No runtime found, using MemoryCacheStorageManager"
# Pages are loaded before the server stands, and Streamlit would say so for each cached function.
# It is not so: each cache is made by its first call, in the running server.
logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(
    lambda line: line.msg != NO_RUNTIME
)


class Page(NamedTuple):
    """A page of the navigation: a module beside this one declares it as `PAGE`, with `main`."""

    title: str
    icon: str
    group: str
    order: int


class FoundPage(NamedTuple):
    """A page as it was found; `name` is its address."""

    name: str
    page: Page
    draw: Callable[[], None]
    about: str
    """Its docstring."""


@cache
def found_pages() -> list[FoundPage]:
    """Return every page in the order of the navigation: `NAME.py`, or `NAME/page.py`."""
    found = []
    for one in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{one.name}")
        if one.ispkg and any(
            inner.name == "page" for inner in pkgutil.iter_modules(module.__path__)
        ):
            module = importlib.import_module(f"{__name__}.{one.name}.page")
        page = getattr(module, "PAGE", None)
        if page is not None:
            found.append(FoundPage(one.name, page, module.main, inspect.getdoc(module) or ""))
    places = {group: place for place, group in enumerate(GROUPS)}
    return sorted(
        found,
        key=lambda one: (places.get(one.page.group, len(GROUPS)), one.page.order, one.page.title),
    )
