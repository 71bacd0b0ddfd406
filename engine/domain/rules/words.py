"""A rule in plain words, for pages and the command line."""

from __future__ import annotations

from engine.domain.rules import (
    AllOf,
    BarNumber,
    BookNumber,
    FixedNumber,
    IndicatorNumber,
    Operand,
    PositionNumber,
    RuleCondition,
    RuleDocument,
    RulePart,
    TimeNumber,
)

HEADS = {
    "entry": "Enter when",
    "exit": "Exit when",
    "close": "Close the position when",
    "emergency": "Emergency when",
}


def rule_words(document: RuleDocument) -> str:
    """Return what a rule does, a sentence for each part of it."""
    verb = "Buy" if document.direction == "long" else "Sell short (buy NO of a binary)"
    lines = [
        f"{verb} with {100 * document.share:g} % of the capital, at most "
        f"{document.slippage_bps_max:g} bps worse than the touch."
    ]
    for name, part in document.sections.items():
        rest = ""
        if name == "emergency":
            rest = f", and open nothing for {document.emergency_rest_s:g} s"
        lines.append(f"{HEADS[name]} {part_words(part)}{rest}.")
    if document.cool_down_s:
        lines.append(f"After leaving, open nothing for {document.cool_down_s:g} s.")
    return "\n".join(lines)


def part_words(part: RulePart, *, inner: bool = False) -> str:
    """Return a condition or a group in words; `inner` = in brackets where it is a group."""
    if isinstance(part, RuleCondition):
        return condition_words(part)
    joint = " and " if isinstance(part, AllOf) else " or "
    said = joint.join(part_words(one, inner=True) for one in part.parts)
    return f"({said})" if inner and len(part.parts) > 1 else said


def condition_words(condition: RuleCondition) -> str:
    """Return a condition in words: `RSI(period 14) of 5m crosses above 30`."""
    left, right = operand_words(condition.left), operand_words(condition.right)
    held = f" for {condition.for_s:g} s" if condition.for_s else ""
    return f"{left} {condition.compare} {right}{held}"


def operand_words(operand: Operand) -> str:
    """Return a number in words."""
    match operand:
        case FixedNumber(value=value):
            return f"{value:g}"
        case IndicatorNumber():
            return _indicator_words(operand)
        case BarNumber(field=field, bars=bars, ago=ago):
            when = f" {ago} bars ago" if ago > 1 else " one bar ago" if ago else ""
            return f"{field} of {bars}{when}"
        case BookNumber(field=field):
            return field if field in ("spread", "imbalance") else f"the {field}"
        case PositionNumber(field=field):
            return f"the position's {field}" if field != "seconds held" else "seconds held"
        case TimeNumber(field=field):
            return field if field == "seconds to close" else f"the {field} (UTC)"


def _indicator_words(operand: IndicatorNumber) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in operand.settings.items())
    fed = operand.bars or ("mids" if operand.mids else "")
    return (
        operand.name
        + (f"({settings})" if settings else "")
        + (f" of {fed}" if fed else "")
        + (f" beside {operand.other}" if operand.other else "")
    )
