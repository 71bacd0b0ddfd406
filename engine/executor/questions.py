"""Questions to the venue: which is due, which is under way, and when each is asked again.

At most one of a kind is waited for, by its number; one that stays out is given up and asked again.
The answer that comes late after all carries the older number and is nobody's answer any more.
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
        self._asked: dict[Question, tuple[int, int]] = {}
        """What is waited for: (when it was asked, its number)."""
        self._asked_last: dict[Question, tuple[int, int]] = {}
        self.number = 0
        """The number of the question asked last."""
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

    def next_number(self) -> int:
        """Return the number of one more question."""
        self.number += 1
        return self.number

    def take(self, now_ns: int) -> list[Question]:
        """Return what is due and note it as under way; what stays out too long is due again."""
        due: list[Question] = []
        for question in Question:
            asked = self._asked.get(question)
            if asked is not None:
                if now_ns - asked[0] < self._answer_ns_max:
                    continue
                del self._asked[question]
            elif self._next[question] > now_ns:
                continue
            self.note(question, now_ns, self.next_number())
            self._next[question] = now_ns + self._every_ns[question]
            due.append(question)
        return due

    def note(self, question: Question, now_ns: int, number: int) -> None:
        """Wait for the answer to a question asked now."""
        self.number = number
        self._asked[question] = self._asked_last[question] = (now_ns, number)

    def number_of(self, question: Question) -> int:
        """Return the number under which a question was asked the last time; 0 = never."""
        return self._asked_last.get(question, (0, 0))[1]

    def asked_last_ns(self, question: Question, number: int) -> int | None:
        """Return when a question was asked the last time; None = it was not under this number."""
        asked = self._asked_last.get(question)
        return None if asked is None or asked[1] != number else asked[0]

    def answered(self, question: Question, number: int) -> int | None:
        """Note an answer to the question with this number; return when it was asked.

        None = nobody waits for it: it may be the late answer to an older question.
        """
        asked = self._asked.get(question)
        if asked is None or asked[1] != number:
            return None
        del self._asked[question]
        return asked[0]

    def again(self, question: Question, now_ns: int, *, urgent: bool) -> None:
        """Ask again after the usual interval, or soon where something needs confirming."""
        pause = self._confirm_ns if urgent else self._every_ns[question]
        self._next[question] = now_ns + pause
        self.soon(now_ns + pause)

    def failed(self, name: str, number: int, now_ns: int) -> None:
        """Note that a question got no usable answer: ask again soon."""
        for question in Question:
            if question == name and self.answered(question, number) is not None:
                self.again(question, now_ns, urgent=True)

    def settle(self, order_ns: int | None) -> None:
        """Work out when something is due next; `order_ns` is the next question about an order."""
        due = NEVER if order_ns is None else order_ns
        for question in Question:
            asked = self._asked.get(question)
            if asked is not None:
                due = min(due, asked[0] + self._answer_ns_max)
            else:
                due = min(due, self._next[question])
        self.due_ns = due
