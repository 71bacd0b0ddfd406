from heapq import heappop

import pytest

from engine.errors import BrokenInvariant
from engine.venues.paper import matching as agenda_module
from engine.venues.paper.matching import PaperAgenda, PaperDue


def popped(agenda: PaperAgenda) -> list[object]:
    return [heappop(agenda.heap)[3] for _ in range(len(agenda.heap))]


def test_equal_moments_come_in_the_order_they_were_made() -> None:
    agenda = PaperAgenda()
    for at, what in ((5, "c"), (3, "a"), (5, "d"), (4, "b"), (5, "e")):
        agenda.push(at, PaperDue.ARRIVES, what)
    assert popped(agenda) == ["a", "b", "c", "d", "e"]


def test_what_happens_is_never_compared() -> None:
    agenda = PaperAgenda()
    agenda.push(1, PaperDue.ARRIVES, object())
    agenda.push(1, PaperDue.ARRIVES, object())
    assert len(popped(agenda)) == 2


def test_an_agenda_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda_module, "AGENDA_MAX", 1)
    agenda = PaperAgenda()
    agenda.push(1, PaperDue.ARRIVES, None)
    with pytest.raises(BrokenInvariant, match="under way"):
        agenda.push(2, PaperDue.ARRIVES, None)
