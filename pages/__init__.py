"""The dashboard: a file or a folder a page, found by its `PAGE`; pieces in `kit` and `shared`.

A plug-in's pages lie in its folder `pages`. Pages read rows through `storage`, write through
`storage.commands` and `storage.settings`, and know nothing of the engine but its vocabulary. What a
page shows stands in its docstring: Help and the README tell it from there.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from engine.plugins import found

GROUPS = ("Trade", "Research", "Guard", "Desk")
"""Groups of the navigation in their order; one that is not among them comes last."""

NO_RUNTIME = "No runtime found, using MemoryCacheStorageManager"
# Pages are loaded before the server stands, and Streamlit would say so for each cached function.
# It is not so: each cache is made by its first call, in the running server.
logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(
    lambda line: line.msg != NO_RUNTIME
)


class Page(NamedTuple):
    """A page of the navigation: its module declares it as `PAGE`, and draws it in `main`."""

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
    made: dict[str, FoundPage] = {}
    for one in found("pages", __name__):
        page = getattr(one.module, "PAGE", None)
        if page is None and not one.plugin:
            continue
        if not isinstance(page, Page):
            one.refuse("it declares no PAGE of type Page")
        elif one.name in made:
            one.refuse(f"there is a page {one.name!r} already")
        elif not callable(getattr(one.module, "main", None)):
            one.refuse("it has no function main()")
        else:
            about = inspect.getdoc(one.module) or ""
            made[one.name] = FoundPage(one.name, page, one.module.main, about)
    places = {group: place for place, group in enumerate(GROUPS)}
    return sorted(
        made.values(),
        key=lambda one: (places.get(one.page.group, len(GROUPS)), one.page.order, one.page.title),
    )
