"""Why: one decision of a strategy and what the executor made of it, as blocks a person can check.

Takes records of the decision file and gives HTML. Everything shown stands in a record; what is
missing is said to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import msgspec

from engine.domain.bars import bar_spec, closes_ns
from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Decision, Gate, Planned, Rule, Unit, Verdict
from engine.domain.instruments import Leg, Side
from engine.domain.intents import Basket, Intent, Quotes, Target
from engine.domain.words import LEFT
from engine.errors import BadInput
from pages.kit.data import ask, engine_id
from pages.kit.names import base, price
from pages.kit.names import cents as names_cents
from pages.kit.names import price_raw as _price
from pages.kit.names import size_raw as _size
from pages.kit.words import age, micro, moment
from storage.catalog import strategies
from storage.views import Row

RULES = {
    "latched": "KILL latch is not set",
    "kill_drawdown": "drawdown below the KILL limit",
    "drawdown": "drawdown below the limit that stops the account",
    "daily_loss": "today's loss budget is not used up",
    "stale_data": "age of the book",
    "open_orders": "open orders",
    "order_too_small": "smallest order",
    "order_too_large": "largest order value",
    "exposure_instrument": "worst-case loss, instrument",
    "exposure_market": "worst-case loss, market",
    "exposure_bot": "worst-case loss, bot",
    "exposure_account": "worst-case loss, account",
    "rate_unknown": "rates of accounts in other currencies",
    "exposure_total": "worst-case loss, all accounts of the mode",
}

MARKS = {
    Verdict.PASSED: ("ok", "passed"),
    Verdict.SHRANK: ("warn", "shrank it"),
    Verdict.DENIED: ("bad", "DENIED"),
    Verdict.NOT_ASKED: ("dim", "not checked"),
}


class Vocabulary(msgspec.Struct, frozen=True):
    """What strategies call their gates and values; an undeclared name stays as it is."""

    gates: dict[str, GateWords]
    values: dict[str, ValueWords]

    def gate(self, name: str) -> GateWords:
        own = plain(name)
        return self.gates.get(name) or GateWords(
            own, f"{own} holds", "{value} against {limit}", sign="/"
        )

    def against(self, gate: Gate) -> str:
        """Return a gate's value held against its limit; empty where it only holds or does not."""
        words = self.gate(gate.name)
        if not words.sign:
            return ""
        value = amount(gate.value, words.unit)
        if gate.name == "started":
            return f"in {value}" if gate.value < 0 else value
        return f"{value} {words.sign} {amount(gate.limit, words.unit)}"

    def condition(self, gate: Gate) -> str:
        """Return what a failed gate waits for: `would trade if: the book is fresh again (…)`."""
        words = self.gate(gate.name)
        text = words.broken.format(
            value=amount(gate.value, words.unit),
            limit=amount(gate.limit, words.unit),
            missing=amount(gate.limit - gate.value, words.unit),
        )
        return f"would trade if: {words.would}{f' ({text})' if text else ''}"

    def value(self, name: str, number: float, row: Row) -> tuple[str, str]:
        """Return a value's label and its text in the units of a row's instrument."""
        words = self.values.get(name) or ValueWords(plain(name))
        cents = names_cents(row)
        match words.unit:
            case ValueUnit.PRICE:
                text = price(number, in_cents=cents)
            case ValueUnit.PRICE_PART if cents:
                text = f"{amount(number * 100)}¢"
            case ValueUnit.SIZE if not cents and row.get("instrument"):
                text = f"{amount(number)} {base(row['instrument'])}"
            case ValueUnit.SIZE:
                text = f"{amount(number)} shares"
            case ValueUnit.PRICE_PART | ValueUnit.MONEY:
                text = f"{amount(number)} {row.get('currency') or ''}".rstrip()
            case _:
                text = f"{amount(number, words.unit)}{words.after}"
        return words.label, text


def vocabulary() -> Vocabulary:
    found = list(ask(strategies, engine_id()).values())
    return Vocabulary(
        {name: words for one in found for name, words in one.gates.items()},
        {name: words for one in found for name, words in one.values.items()},
    )


def amount(value: float, unit: ValueUnit = ValueUnit.PLAIN) -> str:
    """Return a number with the digits that mean something at its size; a time as an age."""
    if unit in (ValueUnit.SECONDS, ValueUnit.MILLISECONDS):
        return age(round(abs(value) * (1e6 if unit is ValueUnit.MILLISECONDS else 1e9)))
    text = f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.4g}"
    return text.removesuffix(".0").replace("-", "\N{MINUS SIGN}")


def plain(name: str) -> str:
    return name.replace("_", " ")


def number_of(decision: int) -> str:
    """Return a decision's number as a person reads it: start of the engine, then its count."""
    start, count = decision >> 32, decision & 0xFFFFFFFF
    return f"{start}.{count}" if start else f"{count:,}"  # "1.55,980" reads as no number


def blocks(parts: Iterable[tuple[str, str]]) -> str:
    made = "".join(
        f'<section class="pb-block"><h4>{escape(title)}</h4>{body}</section>'
        for title, body in parts
        if body
    )
    return f'<div class="pb-blocks">{made}</div>'


def _table(rows: Sequence[str]) -> str:
    return f'<table class="pb-facts pb-tight">{"".join(rows)}</table>' if rows else ""


def _row(name: str, value: str, mark: str = "", tone: str = "", hint: str = "") -> str:
    last = f'<td class="pb-{tone}"><b>{escape(mark)}</b></td>' if mark else ""
    head = f'<tr title="{escape(hint)}"><th{"" if value else " colspan=2"}>{escape(name)}</th>'
    return (
        f'{head}<td class="pb-num">{escape(value)}</td>{last}</tr>'
        if value
        else head + last + "</tr>"
    )


def _said(name: str, text: str) -> str:
    """Return a row whose words are sentences: they wrap, as numbers must not."""
    return f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"


def because(decision: Decision, plan: Planned | None, row: Row, words: Vocabulary) -> str:
    """Return the whole story in a sentence or two."""
    intent = decision.intent
    wants = "kept what it wanted"
    if isinstance(intent, Quotes):
        levels = [f"bid {_price(p, row)} for {_size(s, row)}" for p, s in intent.bids]
        levels += [f"ask {_price(p, row)} for {_size(s, row)}" for p, s in intent.asks]
        wants = f"wants {', '.join(levels)}" if levels else "wants no quotes"
    elif isinstance(intent, Target):
        wants = f"wants to hold {_target(intent, row)}"
    elif isinstance(intent, Basket):
        wants = f"wants to hold {' and '.join(_target(one, row) for one in intent.targets)}"
    fair = dict(decision.build_up).get("fair")
    seen = "" if fair is None else f" at a fair value of {price(fair, in_cents=names_cents(row))}"
    passed = sum(gate.passed for gate in decision.gates)
    text = f"{decision.bot} {wants}{seen}; {passed} of {len(decision.gates)} gates passed"
    no = would_trade(decision, words)
    text += f" ({no})." if no else "."
    if plan is not None:
        shrunk = any(rule.verdict is Verdict.SHRANK for rule in plan.rules)
        denied = any(rule.verdict is Verdict.DENIED for rule in plan.rules)
        risk = "denied a part" if denied else "allowed less" if shrunk else "allowed it"
        text += (
            f" Risk {risk}; compared with resting orders the plan placed {len(plan.places)}, kept "
            f"{len(plan.rests)} and cancelled {len(plan.cancels)}."
        )
    return text


def _target(target: Target, row: Row) -> str:
    return f"{_size(target.position, row)}, no worse than {_price(target.limit_price, row)}"


# -- the decision ----------------------------------------------------------------------------------


def decided(decision: Decision, row: Row, words: Vocabulary) -> list[tuple[str, str]]:
    """Return what the strategy saw, how its fair value came about, its gates and its intent."""
    return [
        ("1 · Inputs", _values(decision.inputs, row, words)),
        ("2 · Fair value", _values(decision.build_up, row, words)),
        ("3 · Strategy gates", gates(decision.gates, words)),
        ("4 · What it wants", wanted(decision.intent, row)),
        ("Notes", _table([_said(plain(name), text) for name, text in decision.notes])),
    ]


def _values(found: Sequence[tuple[str, float]], row: Row, words: Vocabulary) -> str:
    return _table([_row(*words.value(name, value, row), hint=name) for name, value in found])


def gates(found: Sequence[Gate], words: Vocabulary) -> str:
    """Return gates in the order they were looked at; the first that fails ends the list."""
    return _table(
        [
            _row(
                words.gate(gate.name).holds,
                words.against(gate),
                "passed" if gate.passed else "NO",
                "ok" if gate.passed else "bad",
                gate.name,
            )
            for gate in found
        ]
    )


def would_trade(decision: Decision, words: Vocabulary) -> str:
    """Return what keeps a bot from trading, as a condition; empty where nothing does."""
    no = next((gate for gate in decision.gates if not gate.passed), None)
    return "" if no is None else words.condition(no)


def last_bar(decision: Decision, bars: str, now: int) -> str:
    """Return when the last bar closes that a decision waits for; empty = it waits for none.

    `bars` = the name of the bars its bot reads. A bar that the feed misses closes later.
    """
    no = next((gate for gate in decision.gates if not gate.passed), None)
    if no is None or no.name != "warm" or not bars:
        return ""
    try:
        spec = bar_spec(bars)
    except BadInput:
        return ""
    missing = round(no.limit - no.value)
    at_ns = closes_ns(spec, missing, decision.at_ns)
    if at_ns is None:
        return "; when the last closes is not known: such bars end with trades, not by the clock"
    if at_ns <= now:
        return f"; bars of {bars} were missed since {moment(decision.at_ns)}"
    return f"; the last of these {bars} bars closes {moment(at_ns)} at the earliest"


def wanted(intent: Intent | None, row: Row) -> str:
    if intent is None:
        return "<p>Nothing new: what it wanted before stands.</p>"
    if isinstance(intent, Basket):
        return "".join(wanted(target, row) for target in intent.targets)
    if not isinstance(intent, Quotes):
        to, limit = _size(intent.position, row), _price(intent.limit_price, row)
        return _table([_row("Hold", to), _row("No worse than", limit)])
    if not intent.bids and not intent.asks:
        return "<p>No quotes: all resting orders are withdrawn.</p>"
    return _table(
        [_row("ASK", f"{_size(s, row)} at {_price(p, row)}") for p, s in reversed(intent.asks)]
        + [_row("BID", f"{_size(s, row)} at {_price(p, row)}") for p, s in intent.bids]
    )


# -- the plan --------------------------------------------------------------------------------------


def planned(plan: Planned, row: Row, ours: int | None = None) -> list[tuple[str, str]]:
    """Return risk's rules and the plan as a diff to what rested; `ours` is the order shown."""
    return [
        (f"5 · Risk rules for this plan, {row.get('currency') or 'money'}", rules(plan.rules, row)),
        ("6 · Plan, as a diff to resting orders", diff(plan, row, ours)),
        ("Left over", left(plan, row)),
    ]


def rules(found: Sequence[Rule], row: Row) -> str:
    """Return risk's rules in order, each with its value, its limit and what it said."""
    return _table(
        [
            _row(
                RULES.get(rule.name, plain(rule.name)),
                _use(rule, row),
                MARKS[rule.verdict][1],
                MARKS[rule.verdict][0],
                rule.name,
            )
            for rule in found
        ]
    )


def _use(rule: Rule, row: Row) -> str:
    if rule.unit is Unit.NONE or rule.verdict is Verdict.NOT_ASKED:
        return ""
    if rule.unit is Unit.MICRO:
        return f"{micro(rule.value)} of {micro(rule.limit)}"
    if rule.unit is Unit.NS:
        return f"{age(rule.value)} of {age(rule.limit)}"
    if rule.unit is Unit.SIZE:
        return f"{_size(rule.value, row)}, at least {_size(rule.limit, row)}"
    return f"{rule.value:,} of {rule.limit:,}"


def diff(plan: Planned, row: Row, ours: int | None) -> str:
    """Return the plan: + placed, = kept, − cancelled."""

    def line(sign: str, tone: str, text: str, order: int) -> str:
        mine = " ◂ this order" if order == ours else ""
        return f'<tr><td class="pb-{tone}"><b>{sign}</b></td><td>{escape(text)}{mine}</td></tr>'

    rows = [
        line(
            sign,
            tone,
            f"#{one.order} {way(one.side, one.leg)} {_size(one.size, row)} at "
            f"{_price(one.price, row)}",
            one.order,
        )
        for sign, tone, many in (("+", "ok", plan.places), ("=", "dim", plan.rests))
        for one in many
    ]
    rows += [
        line("\N{MINUS SIGN}", "bad", f"#{number} cancelled", number) for number in plan.cancels
    ]
    return f'<table class="pb-facts pb-tight">{"".join(rows)}</table>' if rows else ""


def left(plan: Planned, row: Row) -> str:
    """Return what of the intent became no order, and every number of a denial."""
    rows = [
        _row(
            f"{one.side.upper()} {_size(one.size, row)} at {_price(one.price, row)}",
            LEFT.get(one.reason, plain(one.reason)),
        )
        if one.size
        else _row("All of it", LEFT.get(one.reason, plain(one.reason)))
        for one in plan.left
    ]
    rows += [_row(plain(name), f"{number:,}") for name, number in plan.denied]
    return _table(rows)


def rule_words(name: str) -> str:
    return RULES.get(name, plain(name))


def left_words(reason: str) -> str:
    return LEFT.get(reason, plain(reason))


def way(side: Side | str, leg: Leg | str) -> str:
    """Return a side with its leg: BUY YES, SELL NO; a thing without legs has its side alone."""
    return str(side).upper() if leg == Leg.BASE else f"{side} {leg}".upper()
