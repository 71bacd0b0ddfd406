"""A proof from beside: what is left of ours, and what stands there of others."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.effects import CancelScope
from engine.domain.events import OpenOrdersListed, VenueEvent
from engine.domain.instruments import AccountId, InstrumentId, Leg, Mode, Side
from engine.domain.orders import Identity, OrderReport, OrderState
from engine.domain.settings import AccountSettings
from engine.domain.unread import UnreadRow
from engine.live import kill_bare, venue_sweep
from engine.live.kill_bare import BareProof
from tests.executor.conftest import Rig

REAL = AccountId("real")


def resting(name: str, *, ours: bool) -> OrderReport:
    return OrderReport(
        identity=Identity(name), order=None, ours=ours, instrument=InstrumentId("venue:m1"),
        leg=Leg.YES, side=Side.BUY, price=4_800, size=10**7, filled=0, state=OrderState.OPEN,
    )  # fmt: skip


class Venue:
    """Cancels what is ours at the second attempt; opens itself, too."""

    def __init__(self, *orders: OrderReport) -> None:
        self.orders = orders
        self.asked = 0

    def unaskable(self, _: AccountSettings) -> str:
        return ""

    async def venue(self, _: AccountSettings) -> Venue:
        return self

    async def cancel_all(self, _: CancelScope) -> list[VenueEvent]:
        self.asked += 1
        if self.asked == 2:
            self.orders = tuple(one for one in self.orders if not one.ours)
        return []

    async def open_orders(self) -> OpenOrdersListed:
        return OpenOrdersListed(account=REAL, orders=self.orders)

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("APART_S", "RETRY_S"):
        monkeypatch.setattr(venue_sweep, pause, 0.001)
    monkeypatch.setattr(kill_bare, "RETRY_S", 0.001)
    monkeypatch.setattr(kill_bare, "PATIENCE_S", 1.0)


async def proven(*orders: OrderReport, executor: Any = None) -> Any:
    settings = AccountSettings(name=REAL, venue="polymarket", mode=Mode.LIVE)
    proof = BareProof(settings, Venue(*orders), executor)  # type: ignore[arg-type]
    await proof.wait()
    return proof.proof(0)


async def test_orders_of_others_are_listed_and_hold_no_proof_up() -> None:
    theirs = resting("theirs", ours=False)
    proof = await proven(resting("mine", ours=True), theirs)
    assert proof.missing == ()
    assert (proof.listings, proof.live, proof.foreign) == (2, 0, (theirs,))


@pytest.mark.parametrize("ours", [True, False])
async def test_a_row_that_cannot_be_read_holds_the_proof_up_where_it_may_be_ours(
    monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    row = UnreadRow(row="0x7", reason="its status 'ASLEEP' is not known", ours=ours)

    async def listed(_: Venue) -> OpenOrdersListed:
        return OpenOrdersListed(account=REAL, orders=(), unread=(row,))

    monkeypatch.setattr(Venue, "open_orders", listed)
    proof = await proven()
    assert any("0x7" in why for why in proof.missing) is ours
    assert bool(proof.missing) is ours


async def test_an_order_of_another_key_that_the_journal_has_is_ours() -> None:
    rig = Rig()
    rig.rest([(4_800, 100)])
    proof = await proven(resting("id1", ours=False), executor=rig.executor)
    assert (proof.live, proof.foreign) == (1, ())
    assert proof.missing != ()
