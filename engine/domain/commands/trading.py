"""What a person asks of one market beside an order: to be shown it, and to be out of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.domain.commands import MANUAL, Command, Whole
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg

SLIP_MAX = 2**31
Slip = Annotated[int, msgspec.Meta(ge=0, le=SLIP_MAX)]


class FollowMarket(Command, frozen=True, kw_only=True):
    """Have an account receive a market as if a bot traded it, until it is resolved; or no more."""

    account: AccountId
    instrument: InstrumentId
    on: bool = True


class Flatten(Command, frozen=True, kw_only=True):
    """Close what an owner holds in one market now, within a slippage cap; its orders there go."""

    account: AccountId
    instrument: InstrumentId
    slippage_max: Slip
    """Price increments from the touch where it begins: beyond that nothing is paid."""
    owner: BotId = MANUAL
    """Whose position it is: `manual`, or a bot that is not running."""


class TransferHolding(Command, frozen=True, kw_only=True):
    """Give what one owner holds to another; both count it at this price. No order is placed."""

    account: AccountId
    instrument: InstrumentId
    leg: Leg
    size: Whole
    price: Whole
    """Of the leg, in its own increments."""
    from_owner: BotId
    to_owner: BotId
