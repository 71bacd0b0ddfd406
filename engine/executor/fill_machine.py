"""The life of a fill: a promise (MATCHED) that becomes money (CONFIRMED) or nothing (FAILED).

The stream and the listing of fills tell the same statuses in any order and more than once, so older
news about a fill that is further on changes nothing. The one contradiction, CONFIRMED against
FAILED, is not in the table: nobody but a person can say which is true.
"""

from __future__ import annotations

from engine.domain.fills import FillState
from engine.errors import InvalidTransition

F = FillState


class FillContradiction(InvalidTransition):
    """The venue said CONFIRMED and FAILED of the same fill. Nothing was changed."""


TRANSITIONS: dict[tuple[FillState, FillState], FillState] = {
    (F.MATCHED, F.MATCHED): F.MATCHED,  # told twice
    (F.MATCHED, F.MINED): F.MINED,
    (F.MATCHED, F.RETRYING): F.RETRYING,
    (F.MATCHED, F.CONFIRMED): F.CONFIRMED,
    (F.MATCHED, F.FAILED): F.FAILED,
    (F.MINED, F.MATCHED): F.MINED,  # older news
    (F.MINED, F.MINED): F.MINED,
    (F.MINED, F.RETRYING): F.RETRYING,  # the block was reorganised away
    (F.MINED, F.CONFIRMED): F.CONFIRMED,
    (F.MINED, F.FAILED): F.FAILED,
    (F.RETRYING, F.MATCHED): F.RETRYING,  # older news
    (F.RETRYING, F.RETRYING): F.RETRYING,
    (F.RETRYING, F.MINED): F.MINED,
    (F.RETRYING, F.CONFIRMED): F.CONFIRMED,
    (F.RETRYING, F.FAILED): F.FAILED,
    (F.CONFIRMED, F.MATCHED): F.CONFIRMED,  # older news
    (F.CONFIRMED, F.MINED): F.CONFIRMED,  # older news
    (F.CONFIRMED, F.RETRYING): F.CONFIRMED,  # older news
    (F.CONFIRMED, F.CONFIRMED): F.CONFIRMED,  # told twice: money is moved once
    (F.FAILED, F.MATCHED): F.FAILED,  # older news
    (F.FAILED, F.MINED): F.FAILED,  # older news
    (F.FAILED, F.RETRYING): F.FAILED,  # older news
    (F.FAILED, F.FAILED): F.FAILED,  # told twice: reversed once
}

FILL_ENDS = frozenset({F.CONFIRMED, F.FAILED})


def advance(state: FillState, told: FillState) -> FillState:
    """Return the state after the venue `told` one. Raises FillContradiction where it cannot be."""
    after = TRANSITIONS.get((state, told))
    if after is None:
        raise FillContradiction(f"a fill that is {state} was told to be {told}")
    return after
