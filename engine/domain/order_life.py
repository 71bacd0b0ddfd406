"""The life of an order: one table of moves, nothing else.

From a state and what happened to the next state; what the table does not have, the executor refuses
(`InvalidTransition`). Two channels of a venue (the answer to our request and the user stream) race
each other, and a fill may overtake both, so a happening may find an order already further on: those
rows keep the later state and say why. Law L: nothing else ever goes backwards.
"""

from __future__ import annotations

from enum import StrEnum

from engine.domain.orders import ORDER_ENDS, OrderState


class Happened(StrEnum):
    """What can happen to an order."""

    __hash__ = str.__hash__
    """The enum's own hash runs in Python; this one is looked up with every event."""

    NAMED = "named"
    """Its identity is in the journal, and it leaves once that is on the disk (law K)."""
    SENT = "sent"
    """In journals from when leaving was a record of its own; nothing says it any more."""
    NOT_SENT = "not_sent"
    """Certain: no effect at the venue (dropped from our queue, throttled, latched)."""
    NO_ANSWER = "no_answer"
    """Sent, and nothing readable came back; also: the engine died in between."""
    ACCEPTED = "accepted"
    DELAYED = "delayed"
    REJECTED = "rejected"
    FILLED_PART = "filled_part"
    FILLED_ALL = "filled_all"
    CANCEL_ASKED = "cancel_asked"
    CANCEL_REFUSED = "cancel_refused"
    """`not_canceled`: it may have matched. Proves nothing."""
    CANCEL_UNANSWERED = "cancel_unanswered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NOT_LISTED = "not_listed"
    """Believed live, but absent from two complete listings."""
    FOUND_OPEN = "found_open"
    """The reconciler's finding: it rests; its fills are reported apart."""
    FOUND_GONE = "found_gone"
    """The reconciler's finding: it cannot fill any more."""


S = OrderState
H = Happened

TRANSITIONS: dict[tuple[OrderState, Happened], OrderState] = {
    # PENDING: ours alone. Nothing has left, so no venue can have said anything but a refusal.
    (S.PENDING, H.NAMED): S.SENT,
    (S.PENDING, H.SENT): S.SENT,
    (S.PENDING, H.NOT_SENT): S.REJECTED,
    (S.PENDING, H.REJECTED): S.REJECTED,  # the adapter could not even prepare it
    (S.PENDING, H.CANCEL_ASKED): S.CANCELLING,  # the gateway drops it, or cancels what it sent
    (S.PENDING, H.NO_ANSWER): S.UNKNOWN,  # the engine died after the journal: it may have left
    # SENT: anything may come first, the answer, the stream, a fill.
    (S.SENT, H.NAMED): S.SENT,  # throttled untouched: the identical order leaves again
    (S.SENT, H.SENT): S.SENT,  # throttled untouched: the identical order leaves again
    (S.SENT, H.ACCEPTED): S.OPEN,
    (S.SENT, H.DELAYED): S.DELAYED,
    (S.SENT, H.REJECTED): S.REJECTED,
    (S.SENT, H.NOT_SENT): S.REJECTED,  # throttled: refused untouched after the first byte left
    (S.SENT, H.NO_ANSWER): S.UNKNOWN,  # it may be live: never resend, only ask (law J)
    (S.SENT, H.FILLED_PART): S.PARTIAL,  # the fill overtakes the acknowledgement
    (S.SENT, H.FILLED_ALL): S.FILLED,  # the fill overtakes the acknowledgement
    (S.SENT, H.CANCEL_ASKED): S.CANCELLING,
    (S.SENT, H.CANCEL_REFUSED): S.SENT,  # a CANCEL_ALL met the order before the venue knew it
    (S.SENT, H.CANCEL_UNANSWERED): S.SENT,  # its own answer is still due and will decide
    (S.SENT, H.CANCELLED): S.CANCELLED,  # a FAK killed at once, or the stream overtook the answer
    (S.SENT, H.EXPIRED): S.EXPIRED,
    (S.SENT, H.FOUND_OPEN): S.OPEN,  # a listing overtakes the acknowledgement
    (S.SENT, H.FOUND_GONE): S.CANCELLED,
    # DELAYED: held by the venue; cannot be cancelled, so a cancel leaves it where it is.
    (S.DELAYED, H.ACCEPTED): S.OPEN,  # `unmatched`: the delay ended and it rests
    (S.DELAYED, H.DELAYED): S.DELAYED,  # both channels say it
    (S.DELAYED, H.REJECTED): S.REJECTED,  # revalidation after the delay failed
    (S.DELAYED, H.NOT_SENT): S.UNKNOWN,  # one of the two is wrong: ask
    (S.DELAYED, H.NO_ANSWER): S.UNKNOWN,  # the delay is long over and nothing was said
    (S.DELAYED, H.FILLED_PART): S.PARTIAL,
    (S.DELAYED, H.FILLED_ALL): S.FILLED,
    (S.DELAYED, H.CANCEL_ASKED): S.DELAYED,  # asked again once it rests
    (S.DELAYED, H.CANCEL_REFUSED): S.DELAYED,  # as the venue documents
    (S.DELAYED, H.CANCEL_UNANSWERED): S.DELAYED,
    (S.DELAYED, H.CANCELLED): S.CANCELLED,
    (S.DELAYED, H.EXPIRED): S.EXPIRED,
    (S.DELAYED, H.NOT_LISTED): S.UNKNOWN,
    (S.DELAYED, H.FOUND_OPEN): S.OPEN,
    (S.DELAYED, H.FOUND_GONE): S.CANCELLED,
    # UNKNOWN: only findings and fills lead out (law J).
    (S.UNKNOWN, H.FOUND_OPEN): S.OPEN,
    (S.UNKNOWN, H.FOUND_GONE): S.CANCELLED,
    (S.UNKNOWN, H.FILLED_ALL): S.FILLED,
    (S.UNKNOWN, H.FILLED_PART): S.UNKNOWN,  # it lived; whether the rest still does is not proven
    (S.UNKNOWN, H.NAMED): S.UNKNOWN,  # throttled so long that we lost patience; leaves again
    (S.UNKNOWN, H.SENT): S.UNKNOWN,
    (S.UNKNOWN, H.DELAYED): S.UNKNOWN,  # alive but undecided: keep asking
    (S.UNKNOWN, H.NO_ANSWER): S.UNKNOWN,  # already known to be unknown
    (S.UNKNOWN, H.NOT_LISTED): S.UNKNOWN,
    (S.UNKNOWN, H.CANCEL_ASKED): S.UNKNOWN,  # a cancel that was only sent proves nothing (law G)
    (S.UNKNOWN, H.CANCEL_REFUSED): S.UNKNOWN,
    (S.UNKNOWN, H.CANCEL_UNANSWERED): S.UNKNOWN,
    # OPEN: resting, nothing filled.
    (S.OPEN, H.ACCEPTED): S.OPEN,  # both channels say it
    (S.OPEN, H.DELAYED): S.OPEN,  # the slower channel tells an older state
    (S.OPEN, H.NO_ANSWER): S.OPEN,  # the stream had already reported; the answer got lost
    (S.OPEN, H.NOT_SENT): S.UNKNOWN,  # one of the two is wrong: ask
    (S.OPEN, H.REJECTED): S.UNKNOWN,  # the venue contradicts itself: ask
    (S.OPEN, H.FILLED_PART): S.PARTIAL,
    (S.OPEN, H.FILLED_ALL): S.FILLED,
    (S.OPEN, H.CANCEL_ASKED): S.CANCELLING,
    (S.OPEN, H.CANCEL_REFUSED): S.UNKNOWN,  # a cancel of an earlier life: it may have matched
    (S.OPEN, H.CANCEL_UNANSWERED): S.UNKNOWN,  # a cancel of an earlier life may have worked
    (S.OPEN, H.CANCELLED): S.CANCELLED,  # venue's own cancel (tick, funds, heartbeat, session)
    (S.OPEN, H.EXPIRED): S.EXPIRED,
    (S.OPEN, H.NOT_LISTED): S.UNKNOWN,
    (S.OPEN, H.FOUND_OPEN): S.OPEN,
    (S.OPEN, H.FOUND_GONE): S.CANCELLED,
    # PARTIAL: resting, partly filled.
    (S.PARTIAL, H.ACCEPTED): S.PARTIAL,  # the acknowledgement comes after its first fill
    (S.PARTIAL, H.DELAYED): S.PARTIAL,
    (S.PARTIAL, H.NO_ANSWER): S.PARTIAL,  # the stream had already reported; the answer got lost
    (S.PARTIAL, H.NOT_SENT): S.UNKNOWN,  # one of the two is wrong: ask
    (S.PARTIAL, H.REJECTED): S.UNKNOWN,  # the venue contradicts itself: ask
    (S.PARTIAL, H.FILLED_PART): S.PARTIAL,
    (S.PARTIAL, H.FILLED_ALL): S.FILLED,
    (S.PARTIAL, H.CANCEL_ASKED): S.CANCELLING,
    (S.PARTIAL, H.CANCEL_REFUSED): S.UNKNOWN,
    (S.PARTIAL, H.CANCEL_UNANSWERED): S.UNKNOWN,
    (S.PARTIAL, H.CANCELLED): S.CANCELLED,
    (S.PARTIAL, H.EXPIRED): S.EXPIRED,
    (S.PARTIAL, H.NOT_LISTED): S.UNKNOWN,
    (S.PARTIAL, H.FOUND_OPEN): S.PARTIAL,  # the listing is older than the fill
    (S.PARTIAL, H.FOUND_GONE): S.CANCELLED,
    # CANCELLING: asked, not proven. Everything but an end keeps waiting.
    (S.CANCELLING, H.NAMED): S.CANCELLING,  # asked before the journal had committed
    (S.CANCELLING, H.SENT): S.CANCELLING,  # asked before it left
    (S.CANCELLING, H.NOT_SENT): S.REJECTED,  # the gateway dropped it in time
    (S.CANCELLING, H.ACCEPTED): S.CANCELLING,  # the cancel may have come too early: asked again
    (S.CANCELLING, H.DELAYED): S.DELAYED,  # cannot be cancelled yet: asked again once it rests
    (S.CANCELLING, H.REJECTED): S.REJECTED,
    (S.CANCELLING, H.NO_ANSWER): S.UNKNOWN,
    (S.CANCELLING, H.FILLED_PART): S.CANCELLING,  # a fill overtakes the cancel
    (S.CANCELLING, H.FILLED_ALL): S.FILLED,  # the venue matched before it saw our cancel
    (S.CANCELLING, H.CANCEL_ASKED): S.CANCELLING,
    (S.CANCELLING, H.CANCEL_REFUSED): S.UNKNOWN,  # matched, gone or not there yet: ask
    (S.CANCELLING, H.CANCEL_UNANSWERED): S.UNKNOWN,
    (S.CANCELLING, H.CANCELLED): S.CANCELLED,
    (S.CANCELLING, H.EXPIRED): S.EXPIRED,
    (S.CANCELLING, H.NOT_LISTED): S.UNKNOWN,
    (S.CANCELLING, H.FOUND_OPEN): S.CANCELLING,  # the listing is older than the cancel
    (S.CANCELLING, H.FOUND_GONE): S.CANCELLED,
    # FILLED: the slower channel tells older news; a further fill is booked and alarmed.
    (S.FILLED, H.ACCEPTED): S.FILLED,
    (S.FILLED, H.DELAYED): S.FILLED,
    (S.FILLED, H.NO_ANSWER): S.FILLED,
    (S.FILLED, H.NOT_SENT): S.FILLED,  # the answer says it never left; its fills say that it did
    (S.FILLED, H.REJECTED): S.FILLED,  # `not found` and `duplicate` are said of filled ones, too
    (S.FILLED, H.CANCEL_REFUSED): S.FILLED,
    (S.FILLED, H.CANCEL_UNANSWERED): S.FILLED,
    (S.FILLED, H.CANCELLED): S.FILLED,  # `cancelled` of a rest that is only rounding
    (S.FILLED, H.EXPIRED): S.FILLED,
    (S.FILLED, H.FILLED_PART): S.FILLED,  # more than was asked: money is never left unbooked
    (S.FILLED, H.FILLED_ALL): S.FILLED,
    (S.FILLED, H.FOUND_GONE): S.FILLED,
    # CANCELLED: a late fill is booked; an order found live again is a revived one and asked about.
    (S.CANCELLED, H.ACCEPTED): S.CANCELLED,
    (S.CANCELLED, H.DELAYED): S.CANCELLED,
    (S.CANCELLED, H.NO_ANSWER): S.CANCELLED,
    (S.CANCELLED, H.REJECTED): S.CANCELLED,
    (S.CANCELLED, H.NOT_SENT): S.CANCELLED,
    (S.CANCELLED, H.CANCEL_ASKED): S.CANCELLED,  # the last cancel after `not found` was believed
    (S.CANCELLED, H.CANCEL_REFUSED): S.CANCELLED,
    (S.CANCELLED, H.CANCEL_UNANSWERED): S.CANCELLED,
    (S.CANCELLED, H.CANCELLED): S.CANCELLED,
    (S.CANCELLED, H.EXPIRED): S.CANCELLED,
    (S.CANCELLED, H.FILLED_PART): S.CANCELLED,  # the venue matched before it saw our cancel
    (S.CANCELLED, H.FILLED_ALL): S.FILLED,  # the venue matched before it saw our cancel
    (S.CANCELLED, H.FOUND_OPEN): S.UNKNOWN,  # revived: believed gone, listed as live
    (S.CANCELLED, H.FOUND_GONE): S.CANCELLED,
    # EXPIRED: as CANCELLED.
    (S.EXPIRED, H.ACCEPTED): S.EXPIRED,
    (S.EXPIRED, H.DELAYED): S.EXPIRED,
    (S.EXPIRED, H.NO_ANSWER): S.EXPIRED,
    (S.EXPIRED, H.NOT_SENT): S.EXPIRED,
    (S.EXPIRED, H.REJECTED): S.EXPIRED,
    (S.EXPIRED, H.CANCEL_REFUSED): S.EXPIRED,
    (S.EXPIRED, H.CANCEL_UNANSWERED): S.EXPIRED,
    (S.EXPIRED, H.CANCELLED): S.EXPIRED,  # Polymarket reports an expiry as a cancellation, too
    (S.EXPIRED, H.EXPIRED): S.EXPIRED,
    (S.EXPIRED, H.FILLED_PART): S.EXPIRED,  # matched before it expired
    (S.EXPIRED, H.FILLED_ALL): S.FILLED,  # matched before it expired
    (S.EXPIRED, H.FOUND_OPEN): S.UNKNOWN,  # revived
    (S.EXPIRED, H.FOUND_GONE): S.EXPIRED,
    # REJECTED: it never lived, unless the venue was wrong about that; then ask.
    (S.REJECTED, H.ACCEPTED): S.UNKNOWN,  # the venue contradicts itself
    (S.REJECTED, H.DELAYED): S.UNKNOWN,  # the venue contradicts itself
    (S.REJECTED, H.NO_ANSWER): S.REJECTED,
    (S.REJECTED, H.EXPIRED): S.REJECTED,
    (S.REJECTED, H.REJECTED): S.REJECTED,
    (S.REJECTED, H.NOT_SENT): S.REJECTED,
    (S.REJECTED, H.CANCEL_REFUSED): S.REJECTED,
    (S.REJECTED, H.CANCEL_UNANSWERED): S.REJECTED,
    (S.REJECTED, H.CANCELLED): S.REJECTED,  # the stream tells the killed FAK the answer refused
    (S.REJECTED, H.FILLED_PART): S.UNKNOWN,  # the refusal was wrong: book, ask about the rest
    (S.REJECTED, H.FILLED_ALL): S.FILLED,  # the refusal was wrong: book
    (S.REJECTED, H.FOUND_OPEN): S.UNKNOWN,  # revived
    (S.REJECTED, H.FOUND_GONE): S.REJECTED,
}

FINDINGS: dict[Happened, Happened] = {
    H.ACCEPTED: H.FOUND_OPEN,
    H.CANCELLED: H.FOUND_GONE,
    H.EXPIRED: H.FOUND_GONE,
    H.REJECTED: H.FOUND_GONE,
    H.NOT_SENT: H.FOUND_GONE,
}
"""How a venue's own word about an UNKNOWN order reads as a finding: as proof it is as good as the
answer to a question, so the reconciler takes it for one."""


STAYS, QUIET, STAYS_LIVE, ENDS, REVIVES = range(5)
"""What a move means for reservations, exposure and the next plan; QUIET changes no plan."""

_ON_ITS_WAY = frozenset({S.PENDING, S.SENT})


def _meaning(before: OrderState, after: OrderState) -> int:
    if after in ORDER_ENDS:
        return STAYS if before in ORDER_ENDS else ENDS
    if before in ORDER_ENDS:
        return REVIVES
    if before is after:
        return STAYS
    # An order on its way is kept or cancelled as a resting one is, so its arrival is no news; nor
    # is that a cancel was asked: the plan itself asked it.
    arrives = before in _ON_ITS_WAY and after in {S.SENT, S.OPEN}
    return QUIET if arrives or after is S.CANCELLING else STAYS_LIVE


MOVES: dict[tuple[OrderState, Happened], tuple[OrderState, int]] = {
    (state, happened): (after, _meaning(state, after))
    for (state, happened), after in TRANSITIONS.items()
}
MOVES |= {(S.UNKNOWN, said): MOVES[S.UNKNOWN, finding] for said, finding in FINDINGS.items()}
"""The one table, read by the hot path: the state after, and what the move means. A venue's own
word about an UNKNOWN order is taken as the finding it amounts to."""


JOURNALED_STATES: dict[tuple[OrderState, Happened], OrderState] = {
    pair: TRANSITIONS[pair]
    for pair in (
        (S.PENDING, H.NAMED),
        (S.PENDING, H.SENT),
        (S.SENT, H.ACCEPTED),
        (S.OPEN, H.CANCEL_ASKED),
        (S.PARTIAL, H.CANCEL_ASKED),
        (S.OPEN, H.CANCELLED),
        (S.PARTIAL, H.CANCELLED),
        (S.CANCELLING, H.CANCELLED),
    )
}
"""Moves that the journal's record of what happened tells by itself. Whoever reads it follows these
and no others: where the executor's order then stands elsewhere, it journals an `OrderChanged`."""
