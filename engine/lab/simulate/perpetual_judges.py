"""The judge of an engine's perpetuals: what it holds against the naive fold of its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

from engine.domain.events import CashKind
from engine.domain.products.position import SignedPosition
from engine.lab.simulate.bench import KnownFacts
from engine.lab.simulate.beside import SMALL_PERPETUAL
from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.perpetual_facts import PerpetualFacts

Speak = Callable[[str, str], None]


def opened_micro(positions: Iterable[SignedPosition]) -> int:
    """Return what positions were opened for, and nothing was paid for."""
    return sum(held.cost for held in positions)


def judge_perpetuals(run: EngineRun, facts: KnownFacts, speak: Speak) -> None:
    """Compare what an engine holds of perpetuals with the naive fold of its journal."""
    folded, ledger = facts.perpetuals, run.executor.ledger
    doubt = folded.doubt_micro
    for key, held in folded.net.items():
        ours = ledger.state.netted.get(key, SignedPosition())
        if ours.size != held.size or abs(ours.cost - held.cost) > doubt:
            fills = f"{held.size} for {float(held.cost):.2f}"
            speak("position", f"{ours} at the venue of {key}, by its fills {fills}")
    margin = Fraction(0)
    for (owner, key), held in folded.owned.items():
        if key not in ledger.state.instruments:
            continue
        leverage = SMALL_PERPETUAL.leverage
        margin += abs(held.cost) / leverage
        leg = ledger.owned(key, owner).yes
        if leg.settled != held.size or abs(leg.cost_settled_micro - held.cost) > doubt:
            has = f"{leg.settled} for {leg.cost_settled_micro} of {key}"
            fills = f"{held.size} for {float(held.cost):.2f}"
            speak("position", f"{owner} has {has}, its fills make {fills}")
    if ledger.state.margin_micro < margin - doubt:
        kept = ledger.state.margin_micro
        speak("margin", f"{kept} micro are kept for positions that take {float(margin):.2f}")
    _judge_exposure(run, folded, speak)
    _judge_fundings(run, folded, speak)


def _judge_exposure(run: EngineRun, folded: PerpetualFacts, speak: Speak) -> None:
    """See that whoever holds something risks what it was opened for, long or short."""
    risks = run.executor.gate.exposure.risks
    for (owner, key), held in folded.owned.items():
        risk = risks.get(key)
        if risk is None or not held.size:
            continue
        part = risk.owners.get(owner)
        micro = part.micro if part is not None else 0
        if micro <= 0 or micro < abs(held.cost) - folded.doubt_micro:
            cost = f"{held.size} of {key} for {float(held.cost):.2f}"
            speak("exposure", f"{owner} holds {cost}, and {micro} micro count as risked")
    for key, held in folded.net.items():
        risk = risks.get(key)
        together = folded.cost(key, None)
        if risk is None or not held.size:
            continue
        if risk.micro <= 0 or risk.micro < abs(together) - folded.doubt_micro:
            speak("exposure", f"{held.size} of {key} are held, {risk.micro} micro are risked")


def _judge_fundings(run: EngineRun, folded: PerpetualFacts, speak: Speak) -> None:
    """See that what fundings brought is each owner's by what it held when they were booked."""
    state = run.executor.ledger.state
    total = sum(paid.amount_micro for paid in folded.fundings.values())
    if state.income_micro.get(CashKind.FUNDING, 0) != total:
        ours = state.income_micro.get(CashKind.FUNDING, 0)
        speak("funding", f"{ours} micro of funding are booked, the journal has {total}")
    for owner in {*state.owners, *folded.funded}:
        due, doubt = folded.funded.get(owner, (Fraction(0), 0))
        totals = state.owners.get(owner)
        had = totals.income_micro.get(CashKind.FUNDING, 0) if totals is not None else 0
        if abs(had - due) > doubt:
            speak("funding", f"{owner} had {had} micro of fundings, due were {float(due):.2f}")
