"""Public trades of a wallet, by Polymarket's index of its chain: Data API, `/v2/trades?user=`.

Its times are whole seconds, and it lags the chain by seconds to minutes (trading API, §3.6).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.wallets import WalletTrade
from engine.errors import OutcomeUnknown
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.rest import PublicRest

LEGS = {0: Leg.YES, 1: Leg.NO}
"""By `outcome_index`; 999 = the index does not know which."""


class TradeRow(msgspec.Struct):
    """One row, as far as it is read."""

    condition_id: str
    token_id: str
    side: str
    size: float
    price: float
    timestamp: int
    transaction_hash: str
    outcome_index: int = 999


class PolymarketWallets:
    """Implements `WalletTape`. Make it inside a running loop."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.counts = FeedCounts()
        self._rest = PublicRest(urls, self.counts)

    async def trades(self, address: str, cursor: str) -> tuple[list[WalletTrade], str]:
        """Return a page of a wallet's trades; see `WalletTape`."""
        rows, following = await self._rest.wallet_trades(address, cursor)
        if following == cursor and following:
            raise OutcomeUnknown("the index leads nowhere: its cursor repeats")
        found = [trade for row in rows if (trade := self._trade(row)) is not None]
        return found, following

    def _trade(self, row: object) -> WalletTrade | None:
        """Return a row as a trade; one that cannot be read is counted and left out."""
        try:
            one = msgspec.convert(row, TradeRow)
            side = Side(one.side.lower())
        except (msgspec.ValidationError, ValueError):
            self.counts.anomaly("data: a trade that cannot be read")
            return None
        leg = LEGS.get(one.outcome_index)
        if leg is None or not 0.0 < one.price < 1.0 or not one.size > 0.0 or one.timestamp <= 0:
            self.counts.anomaly("data: a trade without an outcome, a price or a size")
            return None
        parts = (
            one.transaction_hash,
            one.token_id[-8:],
            one.side,
            f"{one.price:g}",
            f"{one.size:g}",
        )
        return WalletTrade(
            instrument=InstrumentId(f"polymarket:{one.condition_id}"),
            leg=leg,
            side=side,
            price=one.price,
            size=one.size,
            at_ns=one.timestamp * 1_000_000_000,
            number=":".join(parts),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()
