"""Fetches the listing of a venue's markets: public questions, asked without any credential."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import closing

from engine.domain.jobs.markets import MarketsJob
from engine.domain.plain import PlainView
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.runtime.discovery import fetch_listing
from engine.venues.registry import plugins
from storage.database import reading
from storage.markets import MarketStore
from storage.settings import in_force
from storage.users import ENGINE_ID


@job(MarketsJob)
def markets(job: MarketsJob, context: JobContext) -> PlainView:
    """Fetch every market a venue lists; give how many there are, and what was left out."""
    known = {name: one.listing for name, one in plugins().items() if one.listing is not None}
    venue, why = _venue(job, context, known)
    listing = known.get(venue)
    if listing is None:
        raise BadInput(f"{venue!r} lists no markets; known: {', '.join(sorted(known))}")
    setup = plugins()[venue].setup(context.config)
    made, damage = MarketStore.opened(context.config.markets_path)
    with closing(made) as store:
        if damage:
            context.alert("markets_file", damage)

        def progress(done: int, total: int, note: str) -> None:
            context.progress(done, total, "markets", note)

        result = asyncio.run(
            fetch_listing(lambda: listing(setup), store, venue, context.now_ns, progress)
        )
    return result | {"told": f"{why}{result['told']}"}


def _venue(job: MarketsJob, context: JobContext, known: Collection[str]) -> tuple[str, str]:
    """Return which venue is asked, and why it is not the usual one; empty = it is, or was named."""
    if "venue" in job.model_fields_set:
        return job.venue, ""
    with reading(context.config.state_path) as connection:
        accounts = in_force(connection, ENGINE_ID).document.accounts.values()
    there = sorted({one.venue for one in accounts} & set(known))
    if not there or job.venue in there:
        return job.venue, ""
    return there[0], f"no account is at {job.venue}, so {there[0]} was asked: "
