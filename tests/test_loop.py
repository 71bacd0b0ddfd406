from __future__ import annotations

from engine.bots.roster import RosterDesk
from engine.caches.markets import MarketCache
from engine.clock import ManualClock
from engine.domain.events import ModeChanged, VenueMode
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode, Side
from engine.domain.orders import Order, OrderId
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.gateway.core import GatewayCore
from engine.journal import DigestRecorder
from engine.live_meter import Meter
from engine.live_start import executor_of
from engine.loop import Shell
from engine.venues.demo.client import DemoVenue

ACCOUNT = AccountId("demo")
ORDER = Order(
    account=ACCOUNT, id=OrderId(1), bot=BotId("maker"), instrument=InstrumentId("demo:one"),
    leg=Leg.YES, side=Side.BUY, price=5_000, size=10_000_000, created_ns=1,
)  # fmt: skip


async def test_the_gateway_hears_that_the_venue_opened_again() -> None:
    settings = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO)
    executor, _ = executor_of(settings, 1)
    core = GatewayCore(account=ACCOUNT, settings=GatewaySettings())
    venue = DemoVenue("http://127.0.0.1:9", ACCOUNT)
    shell = Shell(
        desk=RosterDesk(cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None),
        core=core,
        venue=venue,
        recorder=DigestRecorder(),
        clock=ManualClock(1),
        meter=Meter(),
        alert=lambda *_: None,
        crash=lambda _: None,
    )
    for mode, veto in ((VenueMode.DISABLED, "the venue is disabled"), (VenueMode.OPEN, "")):
        shell.deliver(ModeChanged(account=ACCOUNT, mode=mode), 1)
        assert core._places.veto(ORDER) == veto
    await shell.close()
    await venue.close()
