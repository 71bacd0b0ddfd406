"""Fetches the listing of a venue's markets: public questions, asked without any credential."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from engine.domain.jobs.markets import MarketsJob
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.runtime.discovery import fetch_listing
from engine.venues.registry import plugins
from storage.markets import MarketStore


@job(MarketsJob)
def markets(job: MarketsJob, context: JobContext) -> Mapping[str, Any]:
    """Fetch every market a venue lists; give how many there are, and what was left out."""
    known = {name: one.listing for name, one in plugins().items() if one.listing is not None}
    listing = known.get(job.venue)
    if listing is None:
        raise BadInput(f"{job.venue!r} lists no markets; known: {', '.join(sorted(known))}")
    setup = plugins()[job.venue].setup(context.config)
    made, damage = MarketStore.opened(context.config.markets_path)
    with closing(made) as store:
        if damage:
            context.alert("markets_file", damage)

        def progress(done: int, total: int, note: str) -> None:
            context.progress(done, total, "markets", note)

        return asyncio.run(
            fetch_listing(lambda: listing(setup), store, job.venue, context.now_ns, progress)
        )
