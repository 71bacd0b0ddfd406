"""Markets: what the executor must know of instruments and their books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.events import (
    BookDistrusted,
    BookMarked,
    FeedLost,
    InstrumentClosed,
    InstrumentResolved,
)
from engine.domain.instruments import InstrumentId
from engine.executor.blindness import Sight
from engine.executor.planner import ends_soon
from engine.executor.table import InstrumentState, OrderTable


class Markets:
    """Marks and the life of instruments. `marks` are the latest of each instrument."""

    def __init__(
        self, table: OrderTable, sight: Sight, *, contradiction: Callable[[str], None]
    ) -> None:
        self._table = table
        self._sight = sight
        self._contradiction = contradiction
        self.marks: dict[InstrumentId, BookMarked] = {}

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            BookMarked: self.marked,
            BookDistrusted: self._distrusted,
            FeedLost: self._feed_lost,
            InstrumentClosed: self._closed,
            InstrumentResolved: self._resolved,
        }

    def marked(self, mark: BookMarked, now_ns: int) -> None:
        """Take the state of a book; it is looked at where something is wished or works."""
        del now_ns
        table = self._table
        key = mark.instrument
        post = table.posts.get(key)
        if post is None:
            return
        old = post.mark
        post.mark = self.marks[key] = mark
        if post.wish is None and not post.working:
            return
        if old is None or old.best_bid != mark.best_bid or old.best_ask != mark.best_ask:
            table.dirty[key] = True
        else:
            table.dirty.setdefault(key, False)

    def _distrusted(self, event: BookDistrusted, now_ns: int) -> None:
        del now_ns
        self._distrust(event.instrument)

    def _feed_lost(self, event: FeedLost, now_ns: int) -> None:
        """Distrust what the feed showed: all of it, where it does not say what."""
        del now_ns
        for key in [event.instrument] if event.instrument else list(self.marks):
            self._distrust(key)

    def _distrust(self, key: InstrumentId) -> None:
        post = self._table.posts.get(key)
        mark = self.marks.get(key)
        if post is not None and mark is not None:
            post.mark = self.marks[key] = msgspec.structs.replace(mark, trusted=False)
            self._table.dirty[key] = True

    def _closed(self, event: InstrumentClosed, now_ns: int) -> None:
        del now_ns
        self._close(self._table.posts.get(event.instrument))

    def _close(self, post: InstrumentState | None) -> None:
        if post is not None:
            post.closed = True
            self._table.dirty[post.instrument.id] = True

    def _resolved(self, event: InstrumentResolved, now_ns: int) -> None:
        """Turn the tokens into cash. A second, different payout is nobody's to choose here."""
        table = self._table
        post = table.posts.get(event.instrument)
        if post is None:
            return
        self._close(post)
        ledger = table.ledger
        paid = ledger.holding(event.instrument).payout_yes_micro
        if paid is not None and paid != event.payout_yes_micro:
            self._contradiction(
                f"{event.instrument} paid {paid} micro per YES, and {event.source} says "
                f"{event.payout_yes_micro}"
            )
            return
        ledger.resolve(event.instrument, event.payout_yes_micro)
        table.moved(event.instrument, now_ns)

    def stale(self, now_ns: int, data_age_ns_max: int) -> None:
        """Mark instruments whose orders rest while their book is blind, or are to be renewed.

        Call every second.
        """
        table = self._table
        for key, post in table.posts.items():
            if post.working and (
                self._sight.post_block(post, now_ns, data_age_ns_max) is not None
                or any(ends_soon(known, now_ns) for known in post.working.values())
            ):
                table.dirty[key] = True

    def forget(self, instrument: InstrumentId) -> None:
        """Drop the mark of an instrument that is over."""
        self.marks.pop(instrument, None)
