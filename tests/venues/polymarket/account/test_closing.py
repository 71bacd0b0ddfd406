from __future__ import annotations

from engine.domain.events import VenueMode
from engine.venues.polymarket.account.venue import Closing

S = 1_000_000_000


def test_restart_is_tried_again_ever_later() -> None:
    closing, pauses = Closing(), []
    for _ in range(7):
        closing.shut(VenueMode.RESTARTING, 1 * S, 100 * S)
        assert closing.retry_ns is not None
        pauses.append(closing.retry_ns // S - 100)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_other_modes_last_as_long_as_the_venue_says() -> None:
    closing = Closing()
    closing.shut(VenueMode.POST_ONLY, 79 * S, 0)
    assert closing.retry_ns == 79 * S
    closing.shut(VenueMode.DISABLED, 0, 0)
    assert closing.retry_ns == 30 * S


def test_place_that_was_judged_proves_the_door_open() -> None:
    closing = Closing()
    closing.shut(VenueMode.CANCEL_ONLY, 0, 0)
    closing.passed(post_only=True)
    assert (closing.mode, closing.retry_ns) == (VenueMode.OPEN, None)


def test_post_only_order_proves_nothing_of_a_post_only_door() -> None:
    closing = Closing()
    closing.shut(VenueMode.POST_ONLY, 0, 0)
    closing.passed(post_only=True)
    assert closing.mode is VenueMode.POST_ONLY
    closing.passed(post_only=False)
    assert closing.mode is VenueMode.OPEN
