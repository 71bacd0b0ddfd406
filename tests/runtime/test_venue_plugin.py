from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.events import BalancesListed, CashMoved, FillsListed, OrderFilled
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, Mode
from engine.domain.orders import OrderId
from engine.domain.settings import AccountSettings
from engine.errors import BadInput
from engine.runtime.recovery import executor_of
from engine.runtime.venue_plugin import AccountLink
from tests.clocks import ManualClock
from tests.venues.services import AccountServices

MINE = AccountId("mine")
S = 1_000_000_000


class CashVenue:
    """A venue whose answers take a second each and tell this cash in turn."""

    def __init__(self, clock: ManualClock, asked: list[int]) -> None:
        self._clock, self._asked = clock, asked

    async def balances(self) -> BalancesListed:
        self._clock.advance(S)
        return BalancesListed(account=MINE, cash_micro={"pUSD": self._asked.pop(0)})


def core() -> SimpleNamespace:
    """The core of an account that has booked nothing."""
    settings = AccountSettings(name=MINE, venue="demo", mode=Mode.DEMO)
    return SimpleNamespace(executor=executor_of(settings, 1)[0])


async def test_first_cash_waits_where_the_venue_knows_more_than_the_journal(tmp_path: Path) -> None:
    services: Any = AccountServices(tmp_path)
    link = AccountLink(services, AccountSettings(name=MINE, venue="demo", mode=Mode.DEMO))
    link.door = cast("Any", CashVenue(ManualClock(10 * S), [400] * 2))
    link.runner = cast("Any", SimpleNamespace(report=lambda _: None, core=core()))
    fill = OrderFilled(
        account=MINE, order=OrderId(7), fill=FillId("f"), price=1, size=1, fee_micro=0,
        liquidity=Liquidity.MAKER,
    )  # fmt: skip
    listed = FillsListed(account=MINE, since_ns=0, fills=(fill,))
    link.runner.core.executor.receive(listed, 1)

    with pytest.raises(BadInput, match="the journal is behind what its venue knows"):
        await link._fund()


async def test_first_cash_is_what_two_answers_agree_on_and_counts_from_the_second_question(
    tmp_path: Path,
) -> None:
    """What is paid while the cash is asked for is in that cash or booked by itself, never both."""
    clock, booked = ManualClock(10 * S), list[CashMoved]()
    services: Any = AccountServices(tmp_path)
    services.clock = clock
    link = AccountLink(services, AccountSettings(name=MINE, venue="demo", mode=Mode.DEMO))
    link.retry_s = (0.0, 0.0)  # type: ignore[misc]
    link.door = cast("Any", CashVenue(clock, [400, 398, 397, 397]))
    link.runner = cast("Any", SimpleNamespace(report=booked.append, core=core()))

    await link._retry(link._fund, alerts=False)

    assert [(one.amount_micro, one.paid_ns) for one in booked] == [(397, 13 * S)]
