from __future__ import annotations

from engine.lab.simulate.judges import MemoryRows
from storage.fold import Rows


def test_rows_in_memory_answer_whatever_a_projection_asks_of_the_state_file() -> None:
    asked = {name for name in vars(Rows) if not name.startswith("_")}
    assert asked - vars(MemoryRows).keys() == {"flush"}
