"""The guard: what the exchange takes at the moment, and whose heartbeat has stopped.

Modes and their texts: polymarket.md §5.8 and §3.3; heartbeats: §5.6. A key is armed by its first
beat and can not be disarmed; when it falls silent, every order of the key is cancelled.
"""

from __future__ import annotations

from engine.domain.events import VenueMode
from engine.domain.orders import CancelReason
from engine.errors import ConfigError, VenueClosed
from engine.venues.demo import refusals
from engine.venues.demo.accounts import Account
from engine.venues.demo.order_entry import OrderEntry
from engine.venues.demo.orders import BeatAnswer, ModeSwitched, Ticket
from engine.venues.demo.timeline import TimelineEntry

DROP_ORDERS = 1
"""Number of a mode's timer that loses all resting orders, as a restart may."""
PLACES_CLOSED = {
    VenueMode.RESTARTING: refusals.RESTARTING,
    VenueMode.CANCEL_ONLY: refusals.CANCEL_ONLY_MODE,
    VenueMode.DISABLED: refusals.DISABLED_MODE,
}
CANCELS_CLOSED = {
    VenueMode.RESTARTING: refusals.RESTARTING,
    VenueMode.DISABLED: refusals.DISABLED_MODE,
}


class Guard:
    """Mode and heartbeats of the exchange."""

    def __init__(self, desk: OrderEntry) -> None:
        rules = desk.rules
        if rules.beat_check_ns < 1 or rules.gtd_min_ns < rules.gtd_early_ns:
            raise ConfigError("demo exchange: heartbeat checks or GTD times make no sense")
        self._desk = desk
        self.mode = VenueMode.OPEN
        self.beat_count = 0
        """Heartbeats answered; makes their tokens."""

    # -- modes -------------------------------------------------------------------------------------

    def check_place(self, ticket: Ticket) -> None:
        """Raise VenueClosed where the mode does not take this ticket."""
        text = PLACES_CLOSED.get(self.mode)
        if text is None and self.mode is VenueMode.POST_ONLY and not ticket.post_only:
            text = refusals.POST_ONLY_MODE
        if text is not None:
            raise VenueClosed(text, self.mode)

    def check_cancel(self) -> None:
        """Raise VenueClosed where the mode does not take cancels."""
        text = CANCELS_CLOSED.get(self.mode)
        if text is not None:
            raise VenueClosed(text, self.mode)

    def check_question(self) -> None:
        """Raise VenueClosed where nobody answers questions about orders."""
        if self.mode is VenueMode.RESTARTING:
            raise VenueClosed(refusals.RESTARTING, self.mode)

    def switch(self, mode: VenueMode, *, drop_orders: bool = False) -> None:
        """Change the mode now, tell everybody; a restart may lose what rests."""
        if drop_orders:
            orders = sorted(self._desk.orders.values(), key=lambda order: order.number)
            self._desk.withdraw(orders, CancelReason.VENUE, refusals.RESTARTING)
        if mode is not self.mode:
            self.mode = mode
            self._desk.outbox.tell_all(ModeSwitched(mode=mode))

    def plan(self, mode: VenueMode, at_ns: int, *, drop_orders: bool = False) -> None:
        """Change the mode at a time."""
        number = DROP_ORDERS if drop_orders else 0
        self._desk.timeline.set(at_ns, TimelineEntry.MODE, mode.value, number)

    def plan_restart(
        self, at_ns: int, *, down_ns: int, post_only_ns: int, drop_orders: bool = False
    ) -> None:
        """Plan the venue's restart: nothing for a while, then post-only, then open."""
        self.plan(VenueMode.RESTARTING, at_ns, drop_orders=drop_orders)
        self.plan(VenueMode.POST_ONLY, at_ns + down_ns)
        self.plan(VenueMode.OPEN, at_ns + down_ns + post_only_ns)

    # -- heartbeats --------------------------------------------------------------------------------

    def beat(self, account: Account, key: str, token: str) -> BeatAnswer:
        """Take a heartbeat. The first of a key carries an empty token and arms it."""
        known = account.beats.get(key)
        if token != ("" if known is None else known[0]):
            return BeatAnswer(token="" if known is None else known[0], valid=False)
        self.beat_count += 1
        if self.beat_count == 1:
            self._plan_check()
        renewed = f"{account.id}-beat-{self.beat_count}"
        account.beats[key] = (renewed, self._desk.timeline.now_ns)
        return BeatAnswer(token=renewed, valid=True)

    def check_beats(self) -> None:
        """Cancel everything of every key that fell silent; look again later."""
        self._plan_check()
        latest = self._desk.timeline.now_ns - self._desk.rules.beat_timeout_ns
        for account in self._desk.accounts.values():
            for key, (_, at_ns) in account.beats.items():
                if at_ns < latest:
                    orders = [order for order in account.open.values() if order.key == key]
                    self._desk.withdraw(orders, CancelReason.HEARTBEAT)

    def _plan_check(self) -> None:
        timeline = self._desk.timeline
        timeline.set(timeline.now_ns + self._desk.rules.beat_check_ns, TimelineEntry.HEARTBEAT)
