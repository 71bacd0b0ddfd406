"""Questions to Polymarket about one account: whole answers or an error, never a short list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderNotFound,
    OrderReported,
    PositionsListed,
)
from engine.domain.instruments import AccountId, Instrument
from engine.errors import BadInput
from engine.gateway.door import Named
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.listings import clob_rows, data_rows
from engine.venues.polymarket.account.memory import AccountMemory
from engine.venues.polymarket.account.outcomes import VenueRefusal
from engine.venues.polymarket.account.rows import (
    RowReader,
    balance_micro,
    holding,
    order_report,
    trade_fills,
)
from engine.venues.polymarket.account.sdk import Wire

S = 1_000_000_000
CURRENCY = "pUSD"
FILLS_OVERLAP_S = 120
"""How far a listing of fills reaches behind what was asked: the venue's index lags."""


class AccountQueries:
    """The half of the door that only asks."""

    _account: AccountId
    _wire: Wire
    _memory: AccountMemory
    _reader: RowReader

    def remember(self, orders: Sequence[Named]) -> None:
        """Know the names the journal has: without them their fills are a stranger's."""
        for named in orders:
            self._memory.name(named.identity, named.order, named.bot)

    async def open_orders(self) -> OpenOrdersListed:
        """Return every open order of the key's account, all pages, or raise."""
        rows = await self._asked(clob_rows(self._wire, "/data/orders"))
        reports = tuple(order_report(row, self._reader) for row in rows)
        return OpenOrdersListed(account=self._account, orders=reports)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        """Return what the venue knows about one order.

        The plain question answers null for an order that ended, so the listing by id is asked too.
        """
        self.remember([named])
        try:
            row = await self._wire.get(f"/data/order/{named.identity}")
        except VenueRefusal as refusal:
            if refusal.status != 404:
                outcomes.question_refused(refusal)
            row = None
        if row is None:
            rows = await self._asked(clob_rows(self._wire, "/data/orders", id=named.identity))
            row = next((row for row in rows), None)
        if row is None:
            return OrderNotFound(account=self._account, order=named.order)
        report = order_report(row, self._reader)
        if report.identity != named.identity:
            raise BadInput(f"asked about {named.identity}, the venue tells of {report.identity}")
        return OrderReported(account=self._account, report=report)

    async def fills(self, since_ns: int) -> FillsListed:
        """Return our fills since a time and of the two minutes before it, oldest first, or raise.

        The listing is not filtered by token: the venue's filter looks at the taker's alone.
        """
        after_s = max(0, since_ns // S - FILLS_OVERLAP_S)
        rows = await self._asked(clob_rows(self._wire, "/data/trades", after=str(after_s)))
        fills = tuple(fill for row in reversed(rows) for fill in trade_fills(row, self._reader))
        return FillsListed(account=self._account, since_ns=since_ns, fills=fills)

    async def balances(self) -> BalancesListed:
        """Return the wallet's cash as the venue's cache knows it; open orders are not deducted."""
        params: dict[str, str | int] = {
            "asset_type": "COLLATERAL",
            "signature_type": self._wire.signature_type,
        }
        body = await self._asked(self._wire.get("/balance-allowance", **params))
        return BalancesListed(account=self._account, cash_micro={CURRENCY: balance_micro(body)})

    async def positions(self) -> PositionsListed:
        """Return what the wallet holds by the chain's index, which lags by seconds, or raise."""
        held = []
        for status in ("OPEN", "REDEEMABLE"):
            params: dict[str, str | int] = {"user": self._wire.wallet, "status": status}
            rows = await self._asked(data_rows(self._wire, "/v2/positions", **params))
            held += [holding(row, self._memory) for row in rows]
        holdings = tuple(sorted({found for found in held if found is not None}))
        return PositionsListed(account=self._account, holdings=holdings)

    async def refresh_balance(self, instrument: Instrument | None = None) -> None:
        """Let the venue look at the chain again: after settlements, deposits, splits and merges.

        None = cash, an instrument = both its tokens. The SDK offers no such call.
        """
        kind = self._wire.signature_type
        path = "/balance-allowance/update"
        if instrument is None or instrument.tokens is None:
            await self._asked(self._wire.touch(path, asset_type="COLLATERAL", signature_type=kind))
            return
        for token in instrument.tokens:
            asset = "CONDITIONAL-V2" if self._wire.is_v2(token) else "CONDITIONAL"
            call = self._wire.touch(path, asset_type=asset, signature_type=kind, token_id=token)
            await self._asked(call)

    async def _asked(self, call: Any) -> Any:
        try:
            return await call
        except VenueRefusal as refusal:
            outcomes.question_refused(refusal)
