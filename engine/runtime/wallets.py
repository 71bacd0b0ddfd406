"""Public trades of named wallets: which of those a venue lists are new, each once.

A venue lists them newest first, some time after they were made, and may list one a little later
than another that is newer. So what was listed within `OVERLAP_S` of the newest is remembered, and
only what is not among it is new. What is remembered is kept before a trade is handed on: after a
crash one may be missing, none comes twice.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import msgspec

from engine.domain.wallets import WalletTrade
from engine.errors import BadInput

OVERLAP_S = 300
SECOND_NS = 1_000_000_000
PAGES_MAX = 5
"""Pages of 100 that one look reads; what is older is left out, and said."""


class WalletTape(Protocol):
    """Where a venue lists the public trades of a wallet."""

    async def trades(self, address: str, cursor: str) -> tuple[list[WalletTrade], str]:
        """Return a page, the newest first, and where the next begins; empty = it was the last.

        Equal fills have the same number. Raises NotSent, OutcomeUnknown, Throttled, BadInput.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class WalletPlace(msgspec.Struct):
    """How far the trades of one wallet were read."""

    newest_ns: int = -1
    """-1 = it was never looked at."""
    seen: dict[str, int] = {}
    """Number → how often it was listed, of those within `OVERLAP_S` of the newest."""
    at_ns: dict[str, int] = {}
    """Number → when it was traded."""

    @property
    def from_ns(self) -> int:
        """The time before which nothing is new."""
        return self.newest_ns - OVERLAP_S * SECOND_NS

    def take(self, listed: list[WalletTrade]) -> list[WalletTrade]:
        """Take what was listed; return what is new, the oldest first, each by its own number.

        What a wallet traded before the first look is old.
        """
        first, count, fresh = self.newest_ns < 0, Counter[str](), list[WalletTrade]()
        for one in sorted(listed, key=lambda one: one.at_ns):
            count[one.number] += 1
            known = self.seen.get(one.number, 0)
            if count[one.number] > known and one.at_ns > self.from_ns:
                number = f"{one.number}#{count[one.number]}"
                fresh.append(msgspec.structs.replace(one, number=number))
            self.newest_ns = max(self.newest_ns, one.at_ns, 0)
        for one in listed:
            self.seen[one.number] = max(self.seen.get(one.number, 0), count[one.number])
            self.at_ns[one.number] = one.at_ns
        for number in [number for number, at_ns in self.at_ns.items() if at_ns <= self.from_ns]:
            del self.seen[number], self.at_ns[number]
        self.newest_ns = max(self.newest_ns, 0)
        return [] if first else fresh


def read_places(raw: bytes) -> dict[str, WalletPlace]:
    """Return how far each wallet was read. Raises BadInput for what is none of ours."""
    try:
        return msgspec.json.decode(raw, type=dict[str, WalletPlace])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"how far wallets were read cannot be read: {error}") from None


async def look(
    tape: WalletTape, address: str, place: WalletPlace
) -> tuple[list[WalletTrade], bool]:
    """Return what was listed since the last look, and whether more was than can be read.

    Raises what `WalletTape.trades` does: then nothing of it was taken.
    """
    found, cursor = list[WalletTrade](), ""
    for _ in range(PAGES_MAX):
        page, cursor = await tape.trades(address, cursor)
        found += page
        if not cursor or place.newest_ns < 0 or (page and page[-1].at_ns <= place.from_ns):
            return found, False
    return found, True
