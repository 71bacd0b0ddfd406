"""What Polymarket can do. A file of its own: who asks this needs neither SDK nor key."""

from __future__ import annotations

from engine.domain.orders import OrderType
from engine.venues.door import Capabilities

CAPABILITIES = Capabilities(
    heartbeat=True,
    cancel_after=False,
    batch_max=15,
    settles=True,
    order_types=frozenset(OrderType),
)
