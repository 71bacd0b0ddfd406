"""What a decision log tells over time: a bot's evaluations as a timeline, and every plan kept.

Reads the files of `storage.decisions`; a row that still counted when its file was full stands in
two of them, and the larger count is the true one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.domain.decisions import Decision, Planned, Stance
from engine.domain.intents import Intent, Quotes
from storage.decisions import StoredDecision, StoredPlan, StoredRow, decisions_of, kept, take_longer

LOOKED_AT_MAX = 10_000
"""Latest rows of the log, of every bot together, in which reasons are counted and looked for."""

STRETCHED_MAX = 1_500
"""Latest rows of one bot that are put together to stretches."""


class EvaluationSpan(msgspec.Struct, kw_only=True):
    """Consecutive evaluations of one market that said the same: one row with count and span."""

    bot: str
    instrument: str
    regime: str
    outcome: str
    """In the strategy's own word; where a gate failed, its name."""
    stance: Stance
    """HOLD only where what it holds is older than what is kept."""
    first_ns: int
    last_ns: int
    count: int
    first: Decision
    intent: Intent | None
    """What stands in it; None where nothing is wanted, or where an older intent than is kept is."""


def timeline(
    path: Path,
    *,
    bot: str,
    outcome: str | None = None,
    standing: bool | None = None,
    rows_max: int = 200,
) -> list[EvaluationSpan]:
    """Return a bot's latest evaluations as stretches, newest first.

    `outcome` = that one alone; `standing` True = with an intent that stands, False = without one;
    None = all. Raises StorageError, BadInput.
    """
    if outcome is not None or standing is False:
        # Each row is a run of its own: with an intent in between it would not be one row.
        rows = _latest(path, bot, rows_max, outcome)
        return [_begun(one.decision, one, None) for one in reversed(rows)]
    found: list[EvaluationSpan] = []
    open_of: dict[str, EvaluationSpan] = {}
    for stored in _latest(path, bot, STRETCHED_MAX, "*"):
        decision = stored.decision
        stretch = open_of.get(decision.instrument)
        if stretch is not None and _goes_on(stretch, decision):
            stretch.count += stored.count
            stretch.last_ns = stored.last_ns
            continue
        made = _begun(decision, stored, stretch)
        open_of[decision.instrument] = made
        found.append(made)
    fitting = [one for one in found if standing is None or one.stance is not Stance.BLOCKED]
    return sorted(fitting, key=lambda one: one.last_ns, reverse=True)[:rows_max]


def outcomes(path: Path, *, bot: str, standing: bool | None = None) -> dict[str, int]:
    """Return how often each outcome was among a bot's latest evaluations, most first.

    `standing` False = of those that want nothing alone, True = of the others; None = all.
    """
    counts: Counter[str] = Counter()
    for rows in _lately(path):
        for one in decisions_of(rows, bot):
            if standing is None or one.stands is standing:
                counts[one.outcome] += one.count
    return dict(counts.most_common())


def every_plan(path: Path) -> Iterator[tuple[Planned, bytes]]:
    """Give every plan that is kept with its very bytes, oldest first."""
    for rows in kept(path, oldest_first=True):
        yield from ((one.plan, one.body) for one in rows if type(one) is StoredPlan)


def _lately(path: Path) -> Iterator[tuple[StoredRow, ...]]:
    """Give the latest rows of the log, what ended last first."""
    seen = 0
    for rows in kept(path):
        yield rows
        seen += len(rows)
        if seen >= LOOKED_AT_MAX:
            return


def _latest(path: Path, bot: str, rows_max: int, outcome: str | None) -> list[StoredDecision]:
    """Return the bot's latest rows, oldest first; `outcome` `*` = all, None = without an intent."""
    found: dict[int, StoredDecision] = {}
    for rows in _lately(path):
        take_longer(found, (one for one in decisions_of(rows, bot) if _fits(one, outcome)))
        if len(found) >= rows_max:
            break
    return [found[row] for row in sorted(found)][-rows_max:]


def _fits(one: StoredDecision, outcome: str | None) -> bool:
    return outcome == "*" or (not one.stands if outcome is None else one.outcome == outcome)


def _begun(
    decision: Decision, stored: StoredDecision, before: EvaluationSpan | None
) -> EvaluationSpan:
    stance = decision.stance
    kept = before.intent if before is not None and stance is Stance.HOLD else None
    if kept is not None and before is not None:
        stance = before.stance
    return EvaluationSpan(
        bot=decision.bot,
        instrument=decision.instrument,
        regime=decision.regime,
        outcome=decision.outcome,
        stance=stance,
        first_ns=decision.at_ns,
        last_ns=stored.last_ns,
        count=stored.count,
        first=decision,
        intent=decision.intent if decision.intent is not None else kept,
    )


def _goes_on(stretch: EvaluationSpan, decision: Decision) -> bool:
    """Say whether an evaluation repeats what the stretch says: outcome, regime and levels."""
    if decision.regime != stretch.regime:
        return False
    if decision.stance is Stance.BLOCKED:
        return stretch.stance is Stance.BLOCKED and decision.outcome == stretch.outcome
    if stretch.stance is Stance.BLOCKED:
        return False
    return decision.intent is None or _levels(decision.intent) == _levels(stretch.intent)


def _levels(intent: Intent | None) -> object:
    """Return what of an intent a reader would call the same when it is stated again."""
    return (intent.bids, intent.asks) if isinstance(intent, Quotes) else intent
