"""Questions to the venue: which is due, which is under way, and when each is asked again.

At most one of a kind is under way, so an answer belongs to the last time it was asked; one that
stays out is given up and asked again.
"""

from __future__ import annotations

from enum import StrEnum

from engine.executor.settings import MS, ExecutorSettings

NEVER = 2**63 - 1
"""A time that does not come."""


class Question(StrEnum):
    """What is asked of the whole account."""

    LISTING = "QueryOpenOrders"
    FILLS = "QueryFills"
    BALANCES = "QueryBalances"


class Questions:
    """The agenda of questions. `due_ns` is when `take` or an order's question is next due."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self._delays_ns = tuple(delay * MS for delay in settings.ask_delays_ms)
        self._delay_ns_max = settings.ask_delay_ms_max * MS
        self._confirm_ns = settings.listing_confirm_ms * MS
        self._answer_ns_max = settings.answer_ms_max * MS
        self._every_ns = {
            Question.LISTING: settings.listing_interval_ms * MS,
            Question.FILLS: settings.fills_interval_ms * MS,
            Question.BALANCES: settings.balances_interval_ms * MS,
        }
        self._asked: dict[Question, int] = {}
        self._asked_last: dict[Question, int] = {}
        self._next: dict[Question, int] = dict.fromkeys(Question, NEVER)
        self.due_ns = NEVER
        self.fills_ok_ns = -1
        """When the last listing of fills that came back had been asked for; -1 = never."""
        self.fills_reach_ns = -1
        """When fills had last been listed before this start; -1 = never."""
        self.fills_since_ns = 0
        """How far back the last listing of fills was asked to reach."""

    def pause_ns(self, asks: int) -> int:
        """Return the pause before the next question about an order that was asked `asks` times."""
        delays = self._delays_ns
        if asks < len(delays):
            return delays[asks]
        doubled = delays[-1] << min(asks - len(delays) + 1, 30)
        return min(doubled, max(self._delay_ns_max, delays[-1]))

    def start(self, now_ns: int) -> None:
        """Ask everything now."""
        self._asked.clear()
        self.fills_reach_ns = max(self.fills_ok_ns, self.fills_reach_ns)
        self.fills_ok_ns = -1
        self._next = dict.fromkeys(Question, now_ns)
        self.due_ns = now_ns

    def soon(self, at_ns: int) -> None:
        """See that something is looked at no later than this."""
        self.due_ns = min(self.due_ns, at_ns)

    def want(self, question: Question, now_ns: int) -> None:
        """Ask as soon as possible, once, unless it is under way."""
        if question not in self._asked:
            self._next[question] = min(self._next[question], now_ns)
            self.soon(now_ns)

    def take(self, now_ns: int) -> list[Question]:
        """Return what is due and note it as under way; what stays out too long is due again."""
        due: list[Question] = []
        for question in Question:
            asked_ns = self._asked.get(question)
            if asked_ns is not None:
                if now_ns - asked_ns < self._answer_ns_max:
                    continue
                del self._asked[question]
            elif self._next[question] > now_ns:
                continue
            self._asked[question] = self._asked_last[question] = now_ns
            self._next[question] = now_ns + self._every_ns[question]
            due.append(question)
        return due

    def note(self, question: Question, now_ns: int) -> None:
        """Take for under way what somebody else asked: a past that is told again."""
        self._asked[question] = self._asked_last[question] = now_ns

    def asked_last_ns(self, question: Question) -> int | None:
        """Return when a question was asked the last time; None = never."""
        return self._asked_last.get(question)

    def answered(self, question: Question) -> int | None:
        """Note an answer; return when it was asked for, None = nobody had asked."""
        return self._asked.pop(question, None)

    def again(self, question: Question, now_ns: int, *, urgent: bool) -> None:
        """Ask again after the usual interval, or soon where something needs confirming."""
        pause = self._confirm_ns if urgent else self._every_ns[question]
        self._next[question] = now_ns + pause
        self.soon(now_ns + pause)

    def failed(self, name: str, now_ns: int) -> None:
        """Note that a question got no usable answer: ask again soon."""
        for question in Question:
            if question == name and self._asked.pop(question, None) is not None:
                self.again(question, now_ns, urgent=True)

    def settle(self, order_ns: int | None) -> None:
        """Work out when something is due next; `order_ns` is the next question about an order."""
        due = NEVER if order_ns is None else order_ns
        for question in Question:
            asked_ns = self._asked.get(question)
            if asked_ns is not None:
                due = min(due, asked_ns + self._answer_ns_max)
            else:
                due = min(due, self._next[question])
        self.due_ns = due
