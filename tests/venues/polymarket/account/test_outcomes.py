"""Each answer of the venue has exactly one outcome (the outcome policy, trading API §3.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderRejected,
)
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, OrderId, RejectReason
from engine.errors import AuthRefused, BadInput, OutcomeUnknown, Throttled, VenueClosed, VenueDown
from engine.gateway.door import Named
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.outcomes import VenueRefusal

LIVE = AccountId("polymarket-1")
NAMED = Named(order=OrderId(7), identity=Identity("0x" + "ab" * 32))
YES = {"success": True, "errorMsg": "", "orderID": NAMED.identity, "status": "live"}
R = RejectReason


def reply(**changes: Any) -> dict[str, Any]:
    return YES | changes


# -- a 200 to POST /order --------------------------------------------------------------------------

PLACED: dict[str, tuple[object, type]] = {
    "live": (reply(), OrderAccepted),
    "matched": (reply(status="matched", makingAmount="4", tradeIDs=["t"]), OrderAccepted),
    "delayed": (reply(status="delayed"), OrderDelayed),
    "null fields": (reply(errorMsg=None, tradeIDs=None, transactionsHashes=None), OrderAccepted),
    "capitals": (reply(status="LIVE", orderID=NAMED.identity.upper()), OrderAccepted),
    "a no in a 200": (reply(orderID="", errorMsg="invalid nonce"), OrderRejected),
    "a no with success false": (reply(success=False, orderID=None, errorMsg="x"), OrderRejected),
    "unmatched": (reply(status="unmatched"), OutcomeUnknown),
    "an unknown status": (reply(status="resting"), OutcomeUnknown),
    "no status": (reply(status=None), OutcomeUnknown),
    "no id": (reply(orderID=""), OutcomeUnknown),
    "both an id and a complaint": (reply(errorMsg="invalid nonce"), OutcomeUnknown),
    "neither yes nor no": ({"success": False}, OutcomeUnknown),
    "another order's id": (reply(orderID="0x" + "cd" * 32), OutcomeUnknown),
    "known already": (
        reply(orderID="", errorMsg="order 0x is invalid. Duplicated."),
        OutcomeUnknown,
    ),
    "a line that could not be inserted": (
        reply(orderID="", errorMsg="could not insert order"),
        OutcomeUnknown,
    ),
    "a line that could not be settled": (
        reply(orderID="", errorMsg="the trade contains rounding issues"),
        OutcomeUnknown,
    ),
    "a line with an error of the venue's own": (
        reply(orderID="", errorMsg="Internal server error"),
        OutcomeUnknown,
    ),
    "a line that is held": (
        reply(orderID="", errorMsg="order match delayed due to market conditions"),
        OutcomeUnknown,
    ),
    "success is a text": (reply(success="true"), OutcomeUnknown),
    "an id that is a number": (reply(orderID=5), OutcomeUnknown),
    "an array": ([YES], OutcomeUnknown),
    "null": (None, OutcomeUnknown),
    "a text": ("OK", OutcomeUnknown),
    "an empty object": ({}, OutcomeUnknown),
}


@pytest.mark.parametrize("case", PLACED)
def test_answer_to_a_place_has_one_outcome(case: str) -> None:
    body, expected = PLACED[case]
    assert outcome_of(lambda: outcomes.placed(LIVE, NAMED, body)) is expected


def outcome_of(ask: Callable[[], Any]) -> type:
    try:
        events = ask()
    except (OutcomeUnknown, Throttled, VenueClosed, AuthRefused, BadInput) as error:
        return type(error)
    (event,) = events if isinstance(events, tuple | list) else (events,)
    return type(event)


RECORDED = [
    *[("live", OrderAccepted)] * 1,
    *[("matched", OrderAccepted)] * 2,
    *[("live", OrderAccepted)] * 15,
    ("", OutcomeUnknown),
    *[("matched", OrderAccepted)] * 4,
]
"""Status and outcome of the recorded replies in their order. The one without a status is what a
client wrote down when its request failed; the order it belongs to was cancelled later, so it had
lived: taking it for a rejection would have left it behind."""


@pytest.mark.recordings
def test_every_recorded_reply_has_the_right_outcome(recordings: Path) -> None:
    file = recordings / "polymarket_fixtures_captured" / "clob_post_order_responses.json"
    if not file.exists():
        pytest.skip(f"the recorded replies are not at {file}; the cases above cover the same code")
    replies = [row["post_order_response"] for row in json.loads(file.read_text())]
    assert len(replies) == len(RECORDED) == 23
    found = [(str(reply.get("status", "")), recorded(reply)) for reply in replies]
    assert found == RECORDED


def recorded(reply: dict[str, Any]) -> type:
    own = Named(order=OrderId(7), identity=Identity(reply.get("orderID", NAMED.identity)))
    return outcome_of(lambda: outcomes.placed(LIVE, own, reply))


# -- refusals --------------------------------------------------------------------------------------

HTML = "Request to https://clob/order failed with status 403 and an unexpected HTML response body"

REFUSED: list[tuple[int, str, str, type]] = [
    (400, "Invalid order payload", "", OrderRejected),
    (400, "order match delayed due to market conditions", "", OrderRejected),
    (404, "No orderbook exists for the requested token id", "", OrderRejected),
    (400, "order 0xab is invalid. Duplicated.", "", OutcomeUnknown),
    (400, "'0xf39f' address banned", "", AuthRefused),
    (401, "Unauthorized/Invalid api key", "", AuthRefused),
    (403, HTML, "", AuthRefused),
    (408, "Request Timeout", "", OutcomeUnknown),
    (409, "Conflict", "", OutcomeUnknown),
    (425, "", "", VenueClosed),
    (429, "Too Many Requests", "", Throttled),
    (429, "Rate limit exceeded for tokenId: 7132", "", Throttled),
    (500, "could not insert order", "", OutcomeUnknown),
    (500, "there are no matching orders", "", OutcomeUnknown),
    (502, "Bad gateway", "", VenueDown),
    (503, "Trading is currently disabled. Check polymarket.com for updates", "", VenueClosed),
    (503, "post-only mode: only post-only orders", "post_only_mode", VenueClosed),
    (503, "Service is not ready", "", VenueClosed),
    (503, "Request to https://clob/order was blocked by Cloudflare", "", VenueDown),
    (504, "Gateway timeout", "", VenueDown),
    (400, "<html>maintenance</html>", "", VenueDown),
    (301, "moved", "", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "text", "code", "expected"), REFUSED)
def test_refused_place_has_one_outcome(status: int, text: str, code: str, expected: type) -> None:
    refusal = VenueRefusal(status, text, code=code)
    assert outcome_of(lambda: outcomes.place_refused(LIVE, OrderId(7), refusal)) is expected


def test_no_status_that_is_not_named_is_taken_for_a_no() -> None:
    for status in set(range(300, 600)) - outcomes.DEFINITE - {425, 429}:
        with pytest.raises(OutcomeUnknown):
            outcomes.place_refused(LIVE, OrderId(7), VenueRefusal(status, ""))


MODES = [
    (425, "", "", "restarting"),
    (503, "", "post_only_mode", "post_only"),
    (503, "post-only mode: only post-only orders and cancels are allowed", "", "post_only"),
    (503, "Trading is currently cancel-only. New orders are not accepted", "", "cancel_only"),
    (503, "Trading is currently disabled. Check polymarket.com", "", "disabled"),
    (503, "Service is not ready", "", "restarting"),
]


@pytest.mark.parametrize(("status", "text", "code", "mode"), MODES)
def test_closed_door_names_its_mode(status: int, text: str, code: str, mode: str) -> None:
    with pytest.raises(VenueClosed) as refused:
        outcomes.raise_common(VenueRefusal(status, text, code=code))
    assert refused.value.mode == mode


REASONS = {
    "order 0x is invalid. Price (0.505) breaks minimum tick size rule: 0.01": R.OFF_TICK,
    "order 0x is invalid. Size (1) lower than the minimum: 5": R.BELOW_MIN,
    "invalid amount for a marketable BUY order ($0.5), min size: $1": R.BELOW_MIN,
    "order 0x crosses the book": R.WOULD_CROSS,
    "invalid post-only order: order crosses book": R.WOULD_CROSS,
    "not enough balance / allowance: the balance is not enough -> balance: 1": R.NO_FUNDS,
    "order couldn't be fully filled. FOK orders are fully filled or killed.": R.NOT_FILLED,
    "no orders found to match with FAK order. FAK orders are partially filled": R.NOT_FILLED,
    "invalid expiration": R.EXPIRY,
    "the market is not yet ready to process new orders": R.MARKET_CLOSED,
    "No orderbook exists for the requested token id": R.MARKET_CLOSED,
    "invalid signature": R.AUTH,
    "maker address not allowed, please use the deposit wallet flow": R.AUTH,
    "the order owner has to be the owner of the API KEY": R.AUTH,
    "'0xf39f' address in closed only mode": R.AUTH,
    "order_version_mismatch": R.OTHER,
    "a sentence nobody has seen yet": R.OTHER,
}


@pytest.mark.parametrize("text", REASONS)
def test_sentence_of_the_venue_has_a_reason(text: str) -> None:
    rejected = outcomes.place_refused(LIVE, OrderId(7), VenueRefusal(400, text))
    assert (rejected.reason, rejected.venue_text) == (REASONS[text], text)


def test_throttle_waits_as_long_as_the_venue_says_and_never_not_at_all() -> None:
    for given, expected in ((0, outcomes.THROTTLED_NS), (7, 7)):
        with pytest.raises(Throttled) as refused:
            outcomes.raise_common(VenueRefusal(429, "Too Many Requests", retry_after_ns=given))
        assert refused.value.retry_after_ns == expected


def test_refused_question_is_never_answered() -> None:
    with pytest.raises(BadInput, match="Invalid token id"):
        outcomes.question_refused(VenueRefusal(400, "Invalid token id"))
    with pytest.raises(OutcomeUnknown):
        outcomes.question_refused(VenueRefusal(500, "Internal server error"))


# -- cancels ---------------------------------------------------------------------------------------


def test_cancel_says_of_each_order_what_the_venue_said() -> None:
    names = [Named(order=OrderId(n), identity=Identity(f"0x{n:064x}")) for n in (1, 2, 3)]
    body = {
        "canceled": [names[0].identity.upper().replace("0X", "0x")],
        "not_canceled": {names[1].identity: "Order already matched"},
    }
    assert outcomes.cancelled(LIVE, names, body) == (
        OrderCancelled(account=LIVE, order=OrderId(1)),
        CancelRefused(account=LIVE, order=OrderId(2), venue_text="Order already matched"),
        CancelUnanswered(account=LIVE, order=OrderId(3)),
    )


@pytest.mark.parametrize("body", [None, [], "OK", {}, {"canceled": None}, {"canceled": "0x"}])
def test_unreadable_answer_to_a_cancel_proves_nothing(body: object) -> None:
    with pytest.raises(OutcomeUnknown):
        outcomes.cancelled(LIVE, [NAMED], body)


def test_definitely_refused_cancel_left_everything_as_it_was() -> None:
    (event,) = outcomes.cancel_refused(LIVE, [NAMED], VenueRefusal(400, "Invalid orderID"))
    assert event == CancelRefused(account=LIVE, order=NAMED.order, venue_text="Invalid orderID")
