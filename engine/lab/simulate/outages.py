"""Questions that a venue leaves unanswered for minutes, and the judge of what is made of that.

One kind of question at a time: what the exchange does not list, an engine must go on asking for;
only an answered listing may contradict its ledger. The outage lasts over deaths and starts.
"""

from __future__ import annotations

from random import Random

from engine.domain.effects import (
    AnyEffect,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    QueryRedemptions,
)
from engine.executor.executor import Executor
from engine.lab.simulate.faults import Fault, Faults
from engine.lab.simulate.venue_truth import Speak

S = 1_000_000_000

QUESTIONS = (QueryFills, QueryFills, QueryOpenOrders, QueryBalances, QueryOrder, QueryRedemptions)
"""Kinds of questions of which one stays out; the fills' listing twice as often as another."""

OUTAGE_S = (60, 240)
"""How long it stays out."""

DIFFER = (
    Fault.HOME_PUT_BACK,
    Fault.FIRST_HOME_PUT_BACK,
    Fault.BACKUP_RESTORED,
    Fault.JOURNAL_LOST,
    Fault.TOKENS_COME,
    Fault.VENUE_CONVERTS,
    Fault.VENUE_REDEEMS,
)
"""Faults after which exchange and ledger differ in truth, for a while."""


UNTRUE = ("order ", "fill ", "the ledger has ")
"""How the words of a contradiction begin that this exchange gives no cause for."""


class Outage:
    """Which question of one account is not answered, how, and until when."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._question: type[AnyEffect] | None = None
        self._until_ns = 0
        self._silent = False

    def begin(self, random: Random, now_ns: int) -> None:
        """Let one kind of question stay out for minutes: it is not answered, or fails."""
        if now_ns < self._until_ns:
            return
        self._question = random.choice(QUESTIONS)
        self._silent = random.random() < 0.5
        self._until_ns = now_ns + random.randint(*OUTAGE_S) * S

    def says(self, effect: AnyEffect, now_ns: int) -> str:
        """Return what becomes of a request: `silence`, `error`, or empty = it is answered."""
        if type(effect) is not self._question or now_ns >= self._until_ns or not self._faults.on:
            return ""
        self._faults.seen(f"out_{type(effect).__name__}")
        return "silence" if self._silent else "error"


def judge_contradictions(executor: Executor, faults: Faults, speak: Speak) -> None:
    """See that nothing contradicts the ledger: this exchange says nothing that is untrue."""
    untrue = ("order ", "fill ") if any(map(faults.rate, DIFFER)) else UNTRUE
    for why in executor.to_release:
        if why.startswith(untrue):
            speak("contradiction", why)
