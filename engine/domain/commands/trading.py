"""What a person asks of one market beside an order: to be shown it, and to be out of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.domain.commands import Command
from engine.domain.instruments import AccountId, InstrumentId

SLIP_MAX = 2**31
Slip = Annotated[int, msgspec.Meta(ge=0, le=SLIP_MAX)]


class FollowMarket(Command, frozen=True, kw_only=True):
    """Have an account receive a market as if a bot traded it, until it is resolved; or no more."""

    account: AccountId
    instrument: InstrumentId
    on: bool = True


class Flatten(Command, frozen=True, kw_only=True):
    """Close what an account holds in one market now, within a slippage cap; orders there go."""

    account: AccountId
    instrument: InstrumentId
    slippage_max: Slip
    """Price increments from the touch where it begins: beyond that nothing is paid."""
