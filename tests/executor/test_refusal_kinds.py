"""Each reason a venue refuses an order for raises the alert kind of its name, or none."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.alerts import ALERT_KINDS
from engine.domain.effects import RaiseAlert
from engine.domain.events import OrderRejected
from engine.domain.orders import MISSES, RejectReason


@pytest.mark.parametrize("reason", list(RejectReason))
def test_a_refusal_raises_the_kind_of_its_reason(rig: Any, reason: RejectReason) -> None:
    rig.quote([(4_800, 100)])
    rig.send(1)
    effects = rig.feed(rig.event(OrderRejected, 1, reason=reason, venue_text="no"))
    raised = [one for one in effects if isinstance(one, RaiseAlert) and "rejected" in one.kind]
    if reason in MISSES:
        assert raised == []
        assert f"rejected_{reason}" not in ALERT_KINDS
        return
    (alert,) = raised
    kind = ALERT_KINDS[alert.kind]
    assert (alert.kind, alert.severity) == (f"rejected_{reason}", kind.severity)
    assert alert.bot == rig.build.bot
    assert "order 1 was refused" in alert.text
