from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from engine.domain.events import BalancesListed, CashMoved
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings
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
    link.runner = cast("Any", type("Runner", (), {"report": booked.append}))

    await link._retry(link._fund, alerts=False)

    assert [(one.amount_micro, one.paid_ns) for one in booked] == [(397, 13 * S)]
