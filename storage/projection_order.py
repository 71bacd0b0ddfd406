"""Where an order stands by the journal alone: each happening and the states it moves.

The executor owns the law of an order's life; this is its reading side, for rows on a page. A state
a happening does not name stays as it is, because a projection tells and never judges.
"""

from __future__ import annotations

from enum import StrEnum

from engine.domain.orders import OrderState


class Told(StrEnum):
    """What a record may tell of an order."""

    SENT = "sent"
    NOT_SENT = "not_sent"
    NO_ANSWER = "no_answer"
    ACCEPTED = "accepted"
    DELAYED = "delayed"
    REJECTED = "rejected"
    FILLED_PART = "filled_part"
    FILLED_ALL = "filled_all"
    CANCEL_ASKED = "cancel_asked"
    CANCEL_REFUSED = "cancel_refused"
    CANCEL_UNANSWERED = "cancel_unanswered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FOUND_OPEN = "found_open"
    FOUND_PART = "found_part"
    FOUND_GONE = "found_gone"


S = OrderState


def _all(to: OrderState, *states: OrderState) -> dict[OrderState, OrderState]:
    return dict.fromkeys(states, to)


_RESTING = (S.OPEN, S.PARTIAL)
_ON_THE_WAY = (S.SENT, S.DELAYED)
_LIVE = (*_ON_THE_WAY, *_RESTING, S.CANCELLING)
_GONE = (S.CANCELLED, S.EXPIRED, S.REJECTED)

MOVES: dict[Told, dict[OrderState, OrderState]] = {
    Told.SENT: {S.PENDING: S.SENT},
    Told.NOT_SENT: {
        **_all(S.REJECTED, S.PENDING, S.SENT, S.CANCELLING),
        **_all(S.UNKNOWN, S.DELAYED, *_RESTING),  # one of the two is wrong
        S.UNKNOWN: S.CANCELLED,
    },
    Told.NO_ANSWER: _all(S.UNKNOWN, S.PENDING, *_ON_THE_WAY, S.CANCELLING),
    Told.ACCEPTED: {**_all(S.OPEN, *_ON_THE_WAY, S.UNKNOWN), S.REJECTED: S.UNKNOWN},
    Told.DELAYED: {**_all(S.DELAYED, S.SENT, S.CANCELLING), S.REJECTED: S.UNKNOWN},
    Told.REJECTED: {
        **_all(S.REJECTED, S.PENDING, *_ON_THE_WAY, S.CANCELLING),
        **_all(S.UNKNOWN, *_RESTING),  # the venue contradicts itself
        S.UNKNOWN: S.CANCELLED,
    },
    Told.FILLED_PART: {
        **_all(S.PARTIAL, *_ON_THE_WAY, S.OPEN),
        S.REJECTED: S.UNKNOWN,  # the refusal was wrong
    },
    Told.FILLED_ALL: _all(S.FILLED, *S),  # a fill may overtake everything
    Told.CANCEL_ASKED: _all(S.CANCELLING, S.PENDING, S.SENT, *_RESTING),
    Told.CANCEL_REFUSED: _all(S.UNKNOWN, *_RESTING, S.CANCELLING),
    Told.CANCEL_UNANSWERED: _all(S.UNKNOWN, *_RESTING, S.CANCELLING),
    Told.CANCELLED: _all(S.CANCELLED, *_LIVE, S.UNKNOWN),
    Told.EXPIRED: {**_all(S.EXPIRED, *_LIVE), S.UNKNOWN: S.CANCELLED},
    Told.FOUND_OPEN: {**_all(S.OPEN, *_ON_THE_WAY, S.UNKNOWN), **_all(S.UNKNOWN, *_GONE)},
    Told.FOUND_PART: {**_all(S.PARTIAL, *_ON_THE_WAY, S.UNKNOWN), **_all(S.UNKNOWN, *_GONE)},
    Told.FOUND_GONE: _all(S.CANCELLED, *_LIVE, S.UNKNOWN),
}


def moved(state: OrderState, told: Told) -> OrderState:
    """Return where an order stands after a record told this of it."""
    return MOVES[told].get(state, state)
