"""What happens to positions of one leg, pairs and what is held long or short, owner by owner.

`storage.projected.positions` emits it, and round trips are folded from it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from engine.domain.instruments import Mode
from engine.domain.liquidations import PositionFacts
from engine.domain.owners import HoldersPast
from engine.domain.products.funding import RateType
from storage.fold import Fold
from storage.journal import Record


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
    lot: int = 1
    """What is less than so much of a pair cannot be sold: it counts as flat."""


class FundingShared(msgspec.Struct, frozen=True):
    """An owner's part of a funding is booked."""

    account: str
    instrument: str
    bot: str
    stamp_ns: int
    amount_micro: int


class HoldersRow(msgspec.Struct, kw_only=True):
    """One row of `holders_past`: who held a perpetual when stamps of funding were due."""

    account: str
    instrument: str
    past: HoldersPast


class PositionFactsRow(msgspec.Struct, kw_only=True):
    """One row of `position_facts`: what changed a position a venue may liquidate, in its order."""

    account: str
    instrument: str
    facts: PositionFacts


class FundingShareRow(msgspec.Struct, kw_only=True):
    """One row of `funding_shares`: one owner's part of a funding, by what it held."""

    account: str
    instrument: str
    stamp_ns: int
    """As in `funding`: the point of the hour grid."""
    rate_type: RateType
    bot: str
    mode: Mode
    amount_micro: int
    at_ns: int
    """When it was booked."""
    seq: int


class OwnedPosition(Protocol):
    """Whose position it is, and of what."""

    account: str
    instrument: str
    bot: str
    mode: Mode


def traded(
    fold: Fold,
    held: OwnedPosition,
    size: int,
    value: int,
    record: Record,
    *,
    fee: int = 0,
    fills: int = 0,
    liquidated: bool = False,
    lot: int = 1,
) -> None:
    """Say that what an owner holds changed by a signed size for its signed value."""
    fold.emit(
        SignedTrade(
            account=held.account,
            instrument=held.instrument,
            bot=held.bot,
            mode=held.mode,
            size=size,
            value_micro=value,
            fee_micro=fee,
            fills=fills,
            liquidated=liquidated,
            lot=lot,
        ),
        record,
    )
