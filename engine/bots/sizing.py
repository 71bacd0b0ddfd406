"""Sizing of what a bot wants: how much of its capital the strategy is given, and what Kelly leaves.

A sizing by amount, part or volatility is what the strategy is given as its capital; it sizes within
it by itself. Kelly needs to know what is wanted at which price, so it cuts the target afterwards.
Every step stands in the decision's notes. Nothing here ever makes a position larger.
"""

from __future__ import annotations

import msgspec

from engine.domain.intents import Intent, Target
from engine.domain.money import MICRO
from engine.domain.products import opening_price
from engine.domain.settings import Sizing, SizingMethod
from engine.indicators.door import Variant
from engine.indicators.realised_volatility import RealisedVolatility
from engine.risk.sizing import kelly_part, percent_of_capital, volatility_target
from engine.strategies.door import Claim, Context, Evaluation, Reads

VOLATILITY = "sizing.volatility"
"""The name under which the sizing reads it: no strategy's name has a dot."""

SizingSteps = tuple[tuple[str, str], ...]


def sizer_of(sizing: Sizing | None) -> Sizer | None:
    """Return what sizes a bot; None = its strategy is given all of the capital."""
    if sizing is None or sizing.method is SizingMethod.CAPITAL:
        return None
    return Sizer(sizing)


class Sizer:
    """The sizing of one bot, after its settings. Keeps nothing between two evaluations."""

    def __init__(self, sizing: Sizing) -> None:
        self._sizing = sizing

    def reads(self, reads: Reads) -> Reads:
        """Return what the strategy reads, with what the sizing needs besides."""
        if self._sizing.method is not SizingMethod.VOLATILITY:
            return reads
        wanted = Variant.of(RealisedVolatility, mids=True, from_s=float(self._sizing.window_s))
        return Reads(bars=reads.bars, indicators={**reads.indicators, VOLATILITY: wanted})

    def funded(self, context: Context) -> tuple[Context, SizingSteps]:
        """Return the context with the capital the strategy may divide, and how it came about."""
        sizing, capital = self._sizing, context.capital_micro
        match sizing.method:
            case SizingMethod.FIXED:
                given = min(capital, round(sizing.amount * MICRO))
                how = f"fixed {_money(round(sizing.amount * MICRO))}"
            case SizingMethod.PERCENT:
                given = percent_of_capital(capital, sizing.percent)
                how = f"{sizing.percent:g} % of the capital"
            case SizingMethod.VOLATILITY:
                realised = context.readings.indicator(VOLATILITY)
                given = volatility_target(capital, sizing.volatility / 100.0, realised)
                seen = "not known yet" if realised is None else f"{100.0 * realised:.1f} %"
                how = f"target volatility {sizing.volatility:g} % / realised {seen}"
            case _:
                return context, ()
        text = f"{how}: {_money(given)} of the capital of {_money(capital)}"
        return msgspec.structs.replace(context, capital_micro=given), (("sizing", text),)

    def sized(self, evaluation: Evaluation, context: Context, notes: SizingSteps) -> Evaluation:
        """Return what was wanted, cut to size, with every step among the decision's notes."""
        intents, decision = evaluation.intents, evaluation.decision
        if self._sizing.method is SizingMethod.KELLY:
            made: list[Intent] = []
            for intent in intents:
                cut, said = self._cut(intent, context, evaluation.claim)
                notes += said
                made.append(cut)
                if decision.intent is intent:
                    decision = msgspec.structs.replace(decision, intent=cut)
            intents = tuple(made)
        if notes:
            decision = msgspec.structs.replace(decision, notes=(*decision.notes, *notes))
        return msgspec.structs.replace(evaluation, decision=decision, intents=intents)

    def _cut(
        self, intent: Intent, context: Context, claim: Claim | None
    ) -> tuple[Intent, SizingSteps]:
        """Return a target no larger than min(Kelly, position limit, risk); others as they are."""
        instrument, have = context.view.instrument, context.inventory.position
        if type(intent) is not Target or intent.instrument != instrument.id:
            return intent, ()
        wanted = intent.position
        kept = have if (have > 0) == (wanted > 0) else 0
        if abs(wanted) <= abs(kept):
            return intent, (("sizing", "it reduces: not sized"),)
        price = opening_price(instrument.product, intent.limit_price, long=wanted > 0)
        amount, said = self._amount(context, claim, price / instrument.price_unit, wanted > 0)
        size = int(amount * instrument.value_divisor // max(1, price))
        most = max(abs(kept), size // instrument.lot * instrument.lot)
        position = min(abs(wanted), most) * (1 if wanted > 0 else -1)
        return msgspec.structs.replace(intent, position=position), said

    def _amount(
        self, context: Context, claim: Claim | None, price: float, long: bool
    ) -> tuple[int, SizingSteps]:
        """Return the most a position may cost, and the steps in words."""
        sizing, capital = self._sizing, context.capital_micro
        limit = round(sizing.position_max * MICRO)
        risk = percent_of_capital(capital, sizing.risk_percent)
        bounds = {
            f"position limit {_money(limit)}": limit,
            f"{sizing.risk_percent:g} % of {_money(capital)} at risk = {_money(risk)}": risk,
        }
        if claim is None:
            return _least(bounds, "no edge given by the strategy, so no Kelly; ")
        if not claim.confidence >= sizing.confidence_min:
            said = f"confidence {claim.confidence:.2f} < {sizing.confidence_min:g}: nothing opened"
            return 0, (("sizing", said),)
        if context.view.instrument.product.second is None:
            return _least(bounds, "Kelly is for what pays 0 or 1; ")
        chance = claim.fair if long else 1.0 - claim.fair
        part = kelly_part(chance, price) * sizing.kelly * claim.confidence
        kelly = percent_of_capital(capital, 100.0 * part)
        text = (
            f"Kelly ({chance:.3f} - {price:.3f}) / (1 - {price:.3f}) x {sizing.kelly:g} x "
            f"confidence {claim.confidence:.2f} = {_money(kelly)}"
        )
        return _least({text: kelly, **bounds}, "")


def _least(bounds: dict[str, int], before: str) -> tuple[int, SizingSteps]:
    least = min(bounds, key=bounds.__getitem__)
    text = f"{before}least of: {'; '.join(bounds)}: {_money(bounds[least])}"
    return bounds[least], (("sizing", text),)


def _money(micro: int) -> str:
    return f"{micro / MICRO:,.2f}"
