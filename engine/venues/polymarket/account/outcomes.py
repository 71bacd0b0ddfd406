"""What a venue's answer proves: the outcome policy of the trading API, §3.3. Pure.

A request ends in one of: what it proved, as events; NotSent; OutcomeUnknown; Throttled;
VenueClosed(mode); AuthRefused. Definite refusals are 400, 401, 403, 404 and a 200 that says why,
unless what it says is an error of the venue's own; everything that is not named here is
OutcomeUnknown: ask, never resend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from engine.domain import events as ev
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, OrderId, RejectReason
from engine.domain.readings import plain_text
from engine.errors import (
    AuthRefused,
    BadInput,
    OutcomeUnknown,
    Throttled,
    VenueClosed,
    VenueDown,
)
from engine.gateway.door import Named

S = 1_000_000_000
THROTTLED_NS = 1 * S
"""How long a refusal for its rate keeps us away where the venue does not say."""
TEXT_MAX = 300

DOWN = frozenset({502, 503, 504, *range(520, 531)})
"""What proxies answer for a venue that is not there (520-530: Cloudflare's own)."""

DEFINITE = frozenset({400, 401, 403, 404})

_REASONS: tuple[tuple[str, RejectReason], ...] = (
    ("crosses the book", RejectReason.WOULD_CROSS),
    ("order crosses book", RejectReason.WOULD_CROSS),
    ("minimum tick size rule", RejectReason.OFF_TICK),
    ("lower than the minimum", RejectReason.BELOW_MIN),
    ("invalid amount for a marketable", RejectReason.BELOW_MIN),
    ("not enough balance", RejectReason.NO_FUNDS),
    ("fok orders are fully filled", RejectReason.NOT_FILLED),
    ("no orders found to match with fak", RejectReason.NOT_FILLED),
    ("invalid expiration", RejectReason.EXPIRY),
    ("not yet ready to process", RejectReason.MARKET_CLOSED),
    ("no orderbook exists", RejectReason.MARKET_CLOSED),
    ("market not found", RejectReason.MARKET_CLOSED),
    ("invalid signature", RejectReason.AUTH),
    ("order owner has to be", RejectReason.AUTH),
    ("order signer address has to be", RejectReason.AUTH),
    ("maker address not allowed", RejectReason.AUTH),
    ("closed only mode", RejectReason.AUTH),
)
"""A piece of the venue's sentence, in small letters → our word for it."""

_UNDECIDED = (
    "could not insert order",
    "there are no matching orders",
    "the trade contains rounding issues",
    "has a discrepancy greater than allowed",
    "internal server error",
    "order match delayed",
)
"""Pieces of sentences that leave open whether the order lives. Alone they come with a 500; in a
line of a batch, whose status is everybody's 200, nothing else tells them from a no."""

_MODES: tuple[tuple[str, ev.VenueMode], ...] = (
    ("post-only mode", ev.VenueMode.POST_ONLY),
    ("cancel-only", ev.VenueMode.CANCEL_ONLY),
    ("trading is currently disabled", ev.VenueMode.DISABLED),
    ("service is not ready", ev.VenueMode.RESTARTING),
)


class VenueRefusal(Exception):
    """An answer that is not a 2xx, before anybody judged it.

    `retry_after_ns` 0 = the venue named no time.
    """

    def __init__(self, status: int, text: str, *, code: str = "", retry_after_ns: int = 0) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = plain_text(text[:TEXT_MAX])
        self.code = code
        self.retry_after_ns = retry_after_ns


class HeartbeatRefused(VenueRefusal):
    """The heartbeat carried another id than the venue waits for: `expected`."""

    def __init__(self, expected: str) -> None:
        super().__init__(400, "Invalid Heartbeat ID")
        self.expected = expected


# -- a refused request -----------------------------------------------------------------------------


def reason_of(text: str) -> RejectReason:
    """Return our word for the venue's sentence."""
    small = text.lower()
    return next((reason for piece, reason in _REASONS if piece in small), RejectReason.OTHER)


def mode_of(refusal: VenueRefusal) -> ev.VenueMode | None:
    """Return the mode a refusal announces; None = it announces none."""
    if refusal.status == 425:
        return ev.VenueMode.RESTARTING
    if refusal.status != 503:
        return None
    if refusal.code == "post_only_mode":
        return ev.VenueMode.POST_ONLY
    small = refusal.text.lower()
    return next((mode for piece, mode in _MODES if piece in small), None)


def raise_common(refusal: VenueRefusal) -> None:
    """Raise what a refusal means whatever was asked; return where it is a definite no.

    Raises Throttled, VenueClosed, AuthRefused, OutcomeUnknown.
    """
    text = f"Polymarket answered {refusal.status}: {refusal.text}"
    if refusal.status == 429:
        raise Throttled(text, refusal.retry_after_ns or THROTTLED_NS)
    mode = mode_of(refusal)
    if mode is not None:
        raise VenueClosed(text, mode, refusal.retry_after_ns)
    if refusal.status == 401:
        raise AuthRefused(f"{text}. Check the API key, and the clock of this machine")
    if refusal.status == 403:
        raise AuthRefused(f"{text}. The venue does not take orders from this place or address")
    if "address banned" in refusal.text.lower():
        raise AuthRefused(text)
    if refusal.status not in DEFINITE:
        raise OutcomeUnknown(text)


def place_refused(account: AccountId, order: OrderId, refusal: VenueRefusal) -> ev.OrderRejected:
    """Return the rejection of an order. Raises as `raise_common`; VenueDown for a proxy's page."""
    page = refusal.text.lstrip().lower().startswith(("<html", "<!doctype"))
    try:
        raise_common(refusal)
    except OutcomeUnknown as error:
        if refusal.status in DOWN or page:
            raise VenueDown(str(error), refusal.retry_after_ns) from None
        raise
    if page:  # a proxy's no says nothing of the order behind it
        text = f"Polymarket answered {refusal.status} with a page: {refusal.text}"
        raise VenueDown(text, refusal.retry_after_ns)
    return _rejected(account, order, refusal.text)


def cancel_refused(
    account: AccountId, orders: Sequence[Named], refusal: VenueRefusal
) -> tuple[ev.CancelRefused, ...]:
    """Say that nothing was cancelled. Raises as `raise_common`."""
    raise_common(refusal)
    return tuple(
        ev.CancelRefused(account=account, order=named.order, venue_text=refusal.text)
        for named in orders
    )


def question_refused(refusal: VenueRefusal) -> NoReturn:
    """Raise what the refusal of a question means: there is no answer."""
    raise_common(refusal)
    raise BadInput(f"Polymarket refused the question with {refusal.status}: {refusal.text}")


def _rejected(account: AccountId, order: OrderId, text: str) -> ev.OrderRejected:
    small = text.lower()
    if "is invalid. duplicated" in small:
        # The venue has this very digest: an earlier send arrived. It may rest, it may be filled.
        raise OutcomeUnknown(f"the venue knows order {order} already: {text[:TEXT_MAX]}")
    return ev.OrderRejected(
        account=account, order=order, reason=reason_of(text), venue_text=text[:TEXT_MAX]
    )


# -- a 200 -----------------------------------------------------------------------------------------


def placed(account: AccountId, named: Named, body: object) -> tuple[ev.VenueEvent, ...]:
    """Return what a 200 to POST /order proves. Raises OutcomeUnknown.

    Null and missing fields are taken as empty. `matched` is an acceptance: the user channel and
    `fills` report fills. `unmatched` is documented as resting and treated by the SDK as
    refused, so it is asked about.
    """
    if not isinstance(body, Mapping):
        raise OutcomeUnknown(f"the answer to order {named.order} is not an object")
    error = _text(body, "errorMsg")
    identity, status = _text(body, "orderID"), _text(body, "status").lower()
    if error and not identity:
        if any(piece in error.lower() for piece in _UNDECIDED):
            raise OutcomeUnknown(f"order {named.order}: {error[:TEXT_MAX]}")
        return (_rejected(account, named.order, error),)
    if body.get("success") is not True or error or not identity:
        raise OutcomeUnknown(f"the answer to order {named.order} says neither yes nor no: {error}")
    if identity.lower() != named.identity:
        raise OutcomeUnknown(
            f"the venue calls order {named.order} {identity}, we named it {named.identity}"
        )
    if status in {"live", "matched"}:
        return (ev.OrderAccepted(account=account, order=named.order),)
    if status == "delayed":
        return (ev.OrderDelayed(account=account, order=named.order),)
    raise OutcomeUnknown(f"order {named.order} is {status[:TEXT_MAX]!r}, which says too little")


def cancelled(
    account: AccountId, orders: Sequence[Named], body: object
) -> tuple[ev.VenueEvent, ...]:
    """Return what the answer to a cancel says of each order; silence is CancelUnanswered."""
    gone, refused = _cancel_lists(body)
    return tuple(_cancel_verdict(account, named, gone, refused) for named in orders)


def _cancel_verdict(
    account: AccountId, named: Named, gone: set[Identity], refused: Mapping[Identity, str]
) -> ev.VenueEvent:
    if named.identity in gone:
        return ev.OrderCancelled(account=account, order=named.order)
    if named.identity in refused:
        text = refused[named.identity]
        return ev.CancelRefused(account=account, order=named.order, venue_text=text)
    return ev.CancelUnanswered(account=account, order=named.order)


def names_in(body: object) -> list[Identity]:
    """Return whom the answer to a cancel of a scope names, the cancelled ones first."""
    gone, refused = _cancel_lists(body)
    return list(dict.fromkeys([*sorted(gone), *sorted(refused)]))


def _cancel_lists(body: object) -> tuple[set[Identity], dict[Identity, str]]:
    if not isinstance(body, Mapping):
        raise OutcomeUnknown("the answer to a cancel is not an object")
    gone, refused = body.get("canceled"), body.get("not_canceled")
    if not isinstance(gone, list) or not isinstance(refused or {}, Mapping):
        raise OutcomeUnknown("the answer to a cancel does not say what was cancelled")
    named = {_identity(name) for name in gone}
    why = {
        _identity(name): plain_text(str(text)[:TEXT_MAX])
        for name, text in dict(refused or {}).items()
    }
    return named, {name: text[:TEXT_MAX] for name, text in why.items()}


def _identity(name: object) -> Identity:
    return Identity(plain_text(str(name)).lower())


def _text(body: Mapping[Any, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise OutcomeUnknown(f"{name} of the answer is not a text")
    return plain_text(value)
