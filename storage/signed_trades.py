"""What happens to positions that are held long or short, owner by owner.

`storage.projected.positions` emits it, and round trips are folded from it.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Mode


class SignedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner holds changed, or a fee of it was charged."""

    account: str
    instrument: str
    bot: str
    mode: Mode
    size: int
    """Above 0 bought; 0 = a fee alone."""
    value_micro: int
    """Of the sign of the size."""
    fee_micro: int = 0
    fills: int = 0
    """1 = a fill, -1 = a fill that is void, 0 = neither: a transfer, or the venue's own."""
    liquidated: bool = False
    """The venue closed it by itself."""


class FundingShared(msgspec.Struct, frozen=True):
    """An owner's part of a funding is booked."""

    account: str
    instrument: str
    bot: str
    stamp_ns: int
    amount_micro: int
