"""The catalogue of faults: what may go wrong, how often, and how often it did.

Each seed draws which faults it has and how strong each is ("swarm testing": a run with a few strong
faults finds what a run with all of them drowns). A rate is a chance per message, or per minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from random import Random

from engine.errors import ConfigError


class Fault(StrEnum):
    """Everything that can be made to go wrong."""

    # -- on the way to the venue and back, per request
    LOST_BEFORE = "lost_before"
    """The request never arrives; no answer comes."""
    LOST_AFTER = "lost_after"
    """The venue acts; its answer is lost."""
    BROKEN = "broken"
    """HTTP 500 or a cut connection: the answer says nothing, the venue may have acted."""
    REFUSED_LINE = "refused_line"
    """No connection: certain that nothing was sent."""
    LATE_REQUEST = "late_request"
    LATE_ANSWER = "late_answer"
    """The answer comes after the gateway has given up."""
    TWICE = "twice"
    """What an answer says of an order comes over the user stream as well."""
    REORDERED = "reordered"
    """An answer is overtaken by later ones."""
    THROTTLED = "throttled"
    """HTTP 429: refused untouched, with a time to wait."""
    REJECTED = "rejected"
    """The venue refuses the order for a reason of its own; every reason has its turn."""
    QUESTION_FAILED = "question_failed"
    LISTING_EMPTY = "listing_empty"
    """A successful listing that shows nothing over resting orders."""
    LISTING_CUT = "listing_cut"
    """A successful listing that lacks its second half."""
    # -- what the venue tells by itself, per report
    REPORT_LOST = "report_lost"
    REPORT_TWICE = "report_twice"
    REPORT_LATE = "report_late"
    # -- the venue itself, per minute
    RESTART = "restart"
    """HTTP 425 for a while, then post-only, then open."""
    RESTART_DROPS = "restart_drops"
    """A restart that loses every resting order."""
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    DISABLED = "disabled"
    TICK_CHANGED = "tick_changed"
    MARK_LEAPS = "mark_leaps"
    """The mark of a perpetual leaps far away for less than a second: accounts are liquidated."""
    VOIDED = "voided"
    """Settlement fails: a share of all transactions, while the run lasts."""
    RETRIED = "retried"
    # -- feeds, per minute
    FEED_LOST = "feed_lost"
    FEED_SILENT = "feed_silent"
    """Nothing comes while the socket lives."""
    FEED_STALE = "feed_stale"
    """Everything comes, seconds late."""
    FEED_GAP = "feed_gap"
    """A batch is lost; found out later."""
    FEED_CROSSED = "feed_crossed"
    """A batch that crosses the book; distrusted at once."""
    USER_FEED_DOWN = "user_feed_down"
    USER_FEED_SILENT = "user_feed_silent"
    """Reports are lost for some seconds before anybody notices."""
    BEATS_LOST = "beats_lost"
    """Heartbeats stop until the venue cancels everything."""
    # -- our own machine, per minute
    CLOCK_JUMP = "clock_jump"
    CRASH = "crash"
    """The engine ends at any return of a core."""
    ENGINE_MISTAKE = "engine_mistake"
    """A mistake of our own ends the engine, which cancels and lists at its venues before that."""
    CRASH_SENDING = "crash_sending"
    """The engine ends between the journal's commit and the first byte."""
    DISK_FULL = "disk_full"
    SECOND_ENGINE = "second_engine"
    """A hung engine comes back while its successor trades."""
    KILL = "kill"
    """The operator sets the latch; it is released after its proof."""
    KILL_PART = "kill_part"
    """The operator kills the account, a bot or an instrument, and releases it after its proof."""
    SETTINGS = "settings"
    """The operator applies other limits."""
    JOURNAL_LOST = "journal_lost"
    """The engine dies and its journal loses its end, which the projections have mostly read."""
    HOME_PUT_BACK = "home_put_back"
    """The engine dies, an earlier copy of its home is put back, and it starts on that."""
    FIRST_HOME_PUT_BACK = "first_home_put_back"
    """Likewise, a copy of before the account's first cash was booked."""
    BACKUP_RESTORED = "backup_restored"
    """The engine dies and a person restores an earlier backup, as `restore` does it."""
    PAUSED = "paused"
    """The machine sleeps, or is off, for hours, and the exchange goes on without any engine."""
    TAPE_DAMAGED = "tape_damaged"
    """The tape's folder has strange, torn or deleted files, a file in its place, or less room."""
    LISTING_OUTAGE = "listing_outage"
    """One kind of question is not answered for minutes, over deaths and starts."""
    # -- the wallet, per minute
    VENUE_REDEEMS = "venue_redeems"
    """The venue redeems for the account, whatever that has asked for itself."""
    CRASH_REDEEMING = "crash_redeeming"
    """The engine ends with the next step of an operation: asked, submitted, mined or paid."""
    TOKENS_COME = "tokens_come"
    """Tokens come from outside, and a person takes them in at a typed cost."""
    VENUE_CONVERTS = "venue_converts"
    """A person splits cash or merges pairs at the venue."""


PER_MESSAGE: dict[Fault, float] = {
    Fault.LOST_BEFORE: 0.02,
    Fault.LOST_AFTER: 0.02,
    Fault.BROKEN: 0.02,
    Fault.REFUSED_LINE: 0.02,
    Fault.LATE_REQUEST: 0.03,
    Fault.LATE_ANSWER: 0.02,
    Fault.TWICE: 0.05,
    Fault.REORDERED: 0.10,
    Fault.THROTTLED: 0.03,
    Fault.REJECTED: 0.03,
    Fault.QUESTION_FAILED: 0.08,
    Fault.LISTING_EMPTY: 0.10,
    Fault.LISTING_CUT: 0.10,
    Fault.REPORT_LOST: 0.03,
    Fault.REPORT_TWICE: 0.10,
    Fault.REPORT_LATE: 0.08,
    Fault.VOIDED: 0.05,
    Fault.RETRIED: 0.10,
}
"""Chance per request, answer, report or transaction at strength 1."""

PER_MINUTE: dict[Fault, float] = {
    Fault.RESTART: 0.25,
    Fault.RESTART_DROPS: 0.15,
    Fault.POST_ONLY: 0.25,
    Fault.CANCEL_ONLY: 0.25,
    Fault.DISABLED: 0.25,
    Fault.TICK_CHANGED: 0.5,
    Fault.MARK_LEAPS: 0.7,
    Fault.FEED_LOST: 0.4,
    Fault.FEED_SILENT: 0.4,
    Fault.FEED_STALE: 0.4,
    Fault.FEED_GAP: 1.0,
    Fault.FEED_CROSSED: 1.0,
    Fault.USER_FEED_DOWN: 0.4,
    Fault.USER_FEED_SILENT: 0.4,
    Fault.BEATS_LOST: 0.25,
    Fault.CLOCK_JUMP: 0.3,
    Fault.CRASH: 0.4,
    Fault.ENGINE_MISTAKE: 0.4,
    Fault.CRASH_SENDING: 0.3,
    Fault.DISK_FULL: 0.3,
    Fault.SECOND_ENGINE: 0.2,
    Fault.KILL: 0.15,
    Fault.KILL_PART: 0.5,
    Fault.SETTINGS: 0.3,
    Fault.JOURNAL_LOST: 0.1,
    Fault.HOME_PUT_BACK: 0.2,
    Fault.FIRST_HOME_PUT_BACK: 0.2,
    Fault.BACKUP_RESTORED: 0.1,
    Fault.PAUSED: 0.3,
    Fault.TAPE_DAMAGED: 2.0,
    Fault.LISTING_OUTAGE: 0.5,
    Fault.VENUE_REDEEMS: 1.0,
    Fault.CRASH_REDEEMING: 0.5,
    Fault.TOKENS_COME: 0.7,
    Fault.VENUE_CONVERTS: 1.0,
}
"""How often per minute at strength 1."""

MAKERS_ONLY = frozenset({Fault.KILL_PART})
"""Faults that came later: only worlds of makers draw them, so that seeds which the tests
describe keep their runs."""

GATHERING_ONLY = frozenset(
    {
        Fault.SETTINGS,
        Fault.JOURNAL_LOST,
        Fault.VENUE_REDEEMS,
        Fault.CRASH_REDEEMING,
        Fault.VENUE_CONVERTS,
    }
)
"""Likewise: only worlds whose faults gather draw them."""

PUT_BACK_ONLY = frozenset({Fault.HOME_PUT_BACK, Fault.BACKUP_RESTORED})
"""Likewise: only worlds in which homes are put back draw them."""

FIRST_HOMES_ONLY = frozenset({Fault.FIRST_HOME_PUT_BACK})
"""Likewise: only worlds in which homes of before their first cash are."""

PAUSES_ONLY = frozenset({Fault.PAUSED})
"""Likewise: only worlds with long pauses have them."""

GIVEN_ONLY = frozenset({Fault.TOKENS_COME})
"""Likewise: only worlds in which tokens come from outside."""

TAPES_ONLY = frozenset({Fault.TAPE_DAMAGED})
"""Likewise: only worlds whose engines write a tape."""

OUTAGES_ONLY = frozenset({Fault.LISTING_OUTAGE})
"""Likewise: only worlds in which a listing stays out for minutes."""

MISTAKES_ONLY = frozenset({Fault.ENGINE_MISTAKE})
"""Likewise: only worlds whose engines make mistakes."""

ALWAYS = MISTAKES_ONLY | FIRST_HOMES_ONLY | PAUSES_ONLY | GIVEN_ONLY | TAPES_ONLY | OUTAGES_ONLY
"""What its worlds always have."""

ALONE_ONLY = PUT_BACK_ONLY | FIRST_HOMES_ONLY | GIVEN_ONLY | {Fault.JOURNAL_LOST}
"""What a person does about these is played for one account alone, not for a crowd."""

MARGINED_ONLY = frozenset({Fault.MARK_LEAPS})
"""Likewise: only worlds with a perpetual."""

FAULTS_SHARE = 0.6
"""Share of the faults a seed has."""

STRENGTHS = (0.3, 1.0, 1.0, 2.5)

NAMED_STRENGTH = 4.0
"""How strong faults are that were asked for by name, so that a short run has them."""


class Faults:
    """The faults of one run: asked by everything that can fail, counted where they happen."""

    def __init__(
        self,
        random: Random,
        only: Iterable[Fault] | None = None,
        *,
        makers: bool = False,
        gathers: bool = False,
        puts_back: bool = False,
        first_homes: bool = False,
        pauses: bool = False,
        given: bool = False,
        tapes: bool = False,
        mistakes: bool = False,
        outages: bool = False,
        margined: bool = False,
        crowded: bool = False,
    ) -> None:
        """Draw the faults of a seed; `only` fixes which there are, all of them strong."""
        self._random = random
        self.counts: Counter[str] = Counter()
        self.on = True
        """False at the end of a run, when the world must come to rest."""
        self._rates: dict[Fault, float] = {}
        chosen = None if only is None else frozenset(only)
        kinds = {
            GATHERING_ONLY: gathers,
            PUT_BACK_ONLY: puts_back,
            FIRST_HOMES_ONLY: first_homes,
            PAUSES_ONLY: pauses,
            GIVEN_ONLY: given,
            TAPES_ONLY: tapes,
            OUTAGES_ONLY: outages,
            MISTAKES_ONLY: mistakes,
            MARGINED_ONLY: margined,
        }
        lacking = frozenset(fault for kind, has in kinds.items() if not has for fault in kind)
        lacking -= chosen or frozenset()
        if not makers and chosen is None:
            lacking |= MAKERS_ONLY
        if crowded:
            lacking |= ALONE_ONLY
        for fault in Fault:
            if fault in lacking:
                continue
            has = random.random() < FAULTS_SHARE or fault in ALWAYS
            strength = random.choice(STRENGTHS)
            if chosen is not None:
                has, strength = fault in chosen, NAMED_STRENGTH
            if has:
                self._rates[fault] = strength * (PER_MESSAGE.get(fault) or PER_MINUTE[fault])

    def rate(self, fault: Fault) -> float:
        """Return the chance per message, or the number per minute; 0 = this run has it not."""
        return self._rates.get(fault, 0.0)

    def hit(self, fault: Fault) -> bool:
        """Say whether it happens to this message, and count it."""
        rate = self._rates.get(fault)
        if rate is None or not self.on or self._random.random() >= rate:
            return False
        self.counts[fault] += 1
        return True

    def seen(self, what: str) -> None:
        """Count something that happened by itself."""
        self.counts[what] += 1


# -- Kinds of worlds: which seeds have what few worlds have, by the remainder of their number ------

MAKERS_EVERY, MAKERS_AT = 7, 4
"""Every seventh seed is a world of market makers beside the restless, with KILLs of parts."""

PUT_BACK_EVERY, PUT_BACK_AT = 13, 7
"""Every thirteenth gathering seed is a world in which homes are put back."""

FIRST_HOMES_EVERY, FIRST_HOMES_AT = 31, 8
"""Every thirty-first gathering seed is one in which homes of before their first cash are."""

PAUSES_EVERY, PAUSES_AT = 17, 3
"""Every seventeenth gathering seed is a world whose machine pauses for hours."""

TAPES_EVERY, TAPES_AT = 23, 9
"""Every twenty-third gathering seed is a world whose engines write a tape; machines pause there."""

MISTAKES_EVERY, MISTAKES_AT = 29, 9
"""Every twenty-ninth gathering seed is one whose engines end by mistakes of their own."""

GIVEN_EVERY, GIVEN_AT = 19, 5
"""Every nineteenth gathering seed is a world in which tokens come from outside."""

OUTAGES_EVERY, OUTAGES_AT = 11, 3
"""Every eleventh gathering seed is a world in which a listing stays out for minutes."""


def has_makers(seed: int) -> bool:
    return seed % MAKERS_EVERY == MAKERS_AT


def faults_of(
    seed: int,
    rng: Random,
    only: Iterable[Fault] | None,
    *,
    gathers: bool,
    perp: bool,
    crowded: bool,
) -> Faults:
    """Return the faults that a seed draws among those its kind of world has."""
    tapes = gathers and seed % TAPES_EVERY == TAPES_AT
    return Faults(
        rng,
        only,
        makers=has_makers(seed),
        gathers=gathers,
        puts_back=gathers and seed % PUT_BACK_EVERY == PUT_BACK_AT,
        first_homes=gathers and seed % FIRST_HOMES_EVERY == FIRST_HOMES_AT,
        pauses=tapes or (gathers and seed % PAUSES_EVERY == PAUSES_AT),
        tapes=tapes,
        mistakes=gathers and seed % MISTAKES_EVERY == MISTAKES_AT,
        outages=gathers and seed % OUTAGES_EVERY == OUTAGES_AT,
        given=gathers and seed % GIVEN_EVERY == GIVEN_AT,
        margined=perp,
        crowded=crowded,
    )


def faults_named(text: str) -> tuple[Fault, ...]:
    """Return the faults of a list like `crash,kill`; `all` and `none` are understood.

    Raises ConfigError for a name that is none.
    """
    if text == "all":
        return tuple(Fault)
    if text == "none":
        return ()
    try:
        return tuple(Fault(word.strip()) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{error}; there are: {', '.join(Fault)}") from None
