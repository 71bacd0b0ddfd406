from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.alerts.funding import FIRST_CASH_WAITS
from engine.domain.events import (
    BalancesListed,
    CashMoved,
    Event,
    FillsListed,
    HealthChanged,
    OrderFilled,
)
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


class OpenLink(AccountLink):
    """A link that is connected at once, and has nothing more to do once it is open."""

    retry_s = (0.0, 0.0)

    async def connect(self, credential: object) -> None:
        """Do nothing."""

    async def run(self) -> None:
        """End at once."""


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
    clock, booked = ManualClock(10 * S), list[Event]()
    services: Any = AccountServices(tmp_path)
    services.clock = clock
    link = OpenLink(services, AccountSettings(name=MINE, venue="demo", mode=Mode.DEMO))
    link.door = cast("Any", CashVenue(clock, [400, 398, 397, 397]))
    link.runner = cast("Any", SimpleNamespace(report=booked.append, core=core()))

    await link._run_account(None, funded=False)

    moved = [one for one in booked if isinstance(one, CashMoved)]
    assert [(one.amount_micro, one.paid_ns) for one in moved] == [(397, 13 * S)]


class UnfundedAccount:
    """An account whose cash moves at each of its first questions, and then stands still."""

    def __init__(self, folder: Path, moves: int) -> None:
        self.clock, self.reports, self.core = ManualClock(10 * S), list[Event](), core()
        self.services: Any = AccountServices(folder)
        self.services.clock = self.clock
        settings = AccountSettings(name=MINE, venue="demo", mode=Mode.DEMO)
        self.link = OpenLink(self.services, settings)
        self.link.door = cast("Any", CashVenue(self.clock, [400, 398] * moves + [397, 397]))
        self.link.runner = cast("Any", self)

    def report(self, event: Event) -> None:
        self.reports.append(event)
        self.core.executor.receive(event, self.clock.now_ns())

    async def open(self, *, funded: bool) -> None:
        await self.link._run_account(None, funded=funded)

    @property
    def alerts(self) -> list[str]:
        return [one.text for one in self.services.alerts if one.kind == FIRST_CASH_WAITS.name]


async def test_an_account_whose_first_cash_waits_says_why_until_it_is_counted(
    tmp_path: Path,
) -> None:
    account = UnfundedAccount(tmp_path, moves=40)  # two seconds each
    why = "its cash moved while it was asked for: it is asked again"
    reasons = account.core.executor.reasons
    await account.open(funded=False)
    waits, cash, well = (one for one in account.reports if getattr(one, "source", "") != "auth")
    assert isinstance(waits, HealthChanged)
    assert (waits.healthy, waits.source, waits.reason) == (False, "first_cash", why)
    assert isinstance(cash, CashMoved)
    assert isinstance(well, HealthChanged)
    assert (well.healthy, well.source) == (True, "first_cash")
    assert account.core.executor.reasons == reasons
    assert account.alerts == [f"mine waits for its first cash: {why}"]


async def test_an_account_whose_first_cash_is_counted_within_a_minute_alerts_to_nothing(
    tmp_path: Path,
) -> None:
    account = UnfundedAccount(tmp_path, moves=3)
    await account.open(funded=False)
    assert account.alerts == []


async def test_a_wait_for_first_cash_of_an_earlier_life_ends_where_a_recovery_has_booked_it(
    tmp_path: Path,
) -> None:
    account = UnfundedAccount(tmp_path, moves=0)
    account.report(account.link.health("first_cash", "fills of its past are not settled yet"))
    await account.open(funded=True)
    assert "first_cash" not in account.core.executor.unhealthy
