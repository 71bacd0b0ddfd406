"""A public trade of somebody else's wallet, as outside information: what a feed says of it.

Its key is `wallet:VENUE/ADDRESS`. The time is the venue's own, in whole seconds where it says no
more; the number makes two equal fills of one transaction two trades.
"""

from __future__ import annotations

import re

import msgspec

from engine.domain.instruments import InstrumentId
from engine.domain.legs import Leg, Side
from engine.domain.observed_events import Observed
from engine.errors import BadInput

WALLET = re.compile(r"[a-z0-9_]{1,32}/[a-z0-9]{4,60}")
"""`polymarket/0x0123…`: the venue and the address its trades are public by, in small letters."""

KEY_BEGINS = "wallet:"
LEGS: dict[str | None, Leg] = {one.value: one for one in Leg}
SIDES: dict[str | None, Side] = {one.value: one for one in Side}


def wallet_key(wallet: str) -> str:
    """Return the key of a wallet's trades. Raises BadInput for what is no wallet."""
    if not WALLET.fullmatch(wallet):
        raise BadInput("a wallet is VENUE/ADDRESS in small letters, as polymarket/0x0123...")
    return f"{KEY_BEGINS}{wallet}"


class WalletTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of a wallet. Price in the currency, size in the instrument's own units."""

    instrument: InstrumentId
    leg: Leg
    side: Side
    price: float
    size: float
    at_ns: int
    number: str
    """Of its venue; no other trade has it."""

    def observed(self, wallet: str, now_ns: int) -> Observed:
        """Return it as what was observed; a venue's clock that is ahead says now."""
        return Observed(
            key=wallet_key(wallet),
            value={
                "instrument": self.instrument,
                "leg": self.leg.value,
                "side": self.side.value,
                "price": self.price,
                "size": self.size,
                "number": self.number,
            },
            at_ns=min(self.at_ns, now_ns),
            trust=1.0,
            source=wallet.partition("/")[0],
        )


def trade_of(event: Observed) -> WalletTrade | None:
    """Return the trade an observation tells of; None = it tells of none."""
    price, size = event.number("price"), event.number("size")
    instrument, number = event.text("instrument"), event.text("number")
    leg, side = event.text("leg"), event.text("side")
    if price is None or size is None or instrument is None or number is None:
        return None
    if not price > 0.0 or not size > 0.0 or leg not in LEGS or side not in SIDES:
        return None
    return WalletTrade(
        instrument=InstrumentId(instrument),
        leg=LEGS[leg],
        side=SIDES[side],
        price=price,
        size=size,
        at_ns=event.at_ns,
        number=number,
    )
