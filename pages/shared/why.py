"""Why: one decision of a strategy and what the executor made of it, as blocks a person can check.

Takes records of the decision file and gives HTML. Everything shown stands in a record; what is
missing is said to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from engine.domain.decisions import Decision, Gate, Planned, Rule, Unit, Verdict
from engine.domain.instruments import Leg, Side
from engine.domain.intents import Basket, Intent, Quotes, ResidualReason
from pages.kit.names import cents as names_cents
from pages.kit.names import price
from pages.kit.names import price_raw as _price
from pages.kit.names import size_raw as _size
from pages.kit.value_words import told as value_told
from pages.kit.words import age, micro
from pages.shared.gate_words import LEFT, RULES, against, condition, words_of
from storage.views import Row

MARKS = {
    Verdict.PASSED: ("ok", "passed"),
    Verdict.SHRANK: ("warn", "shrank it"),
    Verdict.DENIED: ("bad", "DENIED"),
    Verdict.NOT_ASKED: ("dim", "not asked"),
}


def number_of(decision: int) -> str:
    """Return a decision's number as a person reads it: start of the engine, then its count."""
    start, count = decision >> 32, decision & 0xFFFFFFFF
    return f"{start}.{count}" if start else f"{count:,}"  # "1.55,980" reads as no number


def blocks(parts: Iterable[tuple[str, str]]) -> str:
    """Return titled blocks beside each other where there is room."""
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


def plain(name: str) -> str:
    """Return a name of a record in words."""
    return name.replace("_", " ")


def because(decision: Decision, plan: Planned | None, row: Row) -> str:
    """Return the whole story in a sentence or two."""
    intent = decision.intent
    wish = "repeated its wish"
    if isinstance(intent, Quotes):
        levels = [f"bid {_price(p, row)} for {_size(s, row)}" for p, s in intent.bids]
        levels += [f"ask {_price(p, row)} for {_size(s, row)}" for p, s in intent.asks]
        wish = f"wished {', '.join(levels)}" if levels else "wished to quote nothing"
    fair = dict(decision.build_up).get("fair")
    seen = "" if fair is None else f" at a fair value of {price(fair, in_cents=names_cents(row))}"
    passed = sum(gate.passed for gate in decision.gates)
    told = f"{decision.bot} {wish}{seen}; {passed} of {len(decision.gates)} gates passed"
    no = would_quote(decision)
    told += f" ({no})." if no else "."
    if plan is not None:
        shrunk = any(rule.verdict is Verdict.SHRANK for rule in plan.rules)
        denied = any(rule.verdict is Verdict.DENIED for rule in plan.rules)
        risk = "denied a part" if denied else "left room for less" if shrunk else "permitted it"
        told += (
            f" Risk {risk}; against what rested the plan placed {len(plan.places)}, kept "
            f"{len(plan.rests)} and cancelled {len(plan.cancels)}."
        )
    return told


# -- the decision ----------------------------------------------------------------------------------


def decided(decision: Decision, row: Row) -> list[tuple[str, str]]:
    """Return what the strategy saw, how its fair value came about, its gates and its wish."""
    return [
        ("1 · What it saw", _values(decision.inputs, row)),
        ("2 · Fair value", _values(decision.build_up, row)),
        ("3 · Gates of the strategy", gates(decision.gates)),
        ("4 · What it wished", wished(decision.intent, row)),
        ("Notes", _table([_row(plain(name), text) for name, text in decision.notes])),
    ]


def _values(found: Sequence[tuple[str, float]], row: Row) -> str:
    return _table([_row(*value_told(name, value, row), hint=name) for name, value in found])


def gates(found: Sequence[Gate]) -> str:
    """Return gates in the order they were looked at; the first that fails ends the list."""
    return _table(
        [
            _row(
                words_of(gate.name).holds,
                against(gate),
                "passed" if gate.passed else "NO",
                "ok" if gate.passed else "bad",
                gate.name,
            )
            for gate in found
        ]
    )


def would_quote(decision: Decision) -> str:
    """Return what keeps a bot from quoting, as a condition; empty where nothing does."""
    no = next((gate for gate in decision.gates if not gate.passed), None)
    return "" if no is None else condition(no)


def wished(intent: Intent | None, row: Row) -> str:
    """Return a wish, level by level."""
    if intent is None:
        return "<p>Nothing new: the wish before it stands.</p>"
    if isinstance(intent, Basket):
        return "".join(wished(target, row) for target in intent.targets)
    if not isinstance(intent, Quotes):
        to, limit = _size(intent.position, row), _price(intent.limit_price, row)
        return _table([_row("Hold", to), _row("No worse than", limit)])
    if not intent.bids and not intent.asks:
        return "<p>No quotes: everything that rests is taken back.</p>"
    return _table(
        [_row("ASK", f"{_size(s, row)} at {_price(p, row)}") for p, s in reversed(intent.asks)]
        + [_row("BID", f"{_size(s, row)} at {_price(p, row)}") for p, s in intent.bids]
    )


# -- the plan --------------------------------------------------------------------------------------


def planned(plan: Planned, row: Row, ours: int | None = None) -> list[tuple[str, str]]:
    """Return risk's rules and the plan as a diff to what rested; `ours` is the order shown."""
    return [
        ("5 · Rules of risk, with this plan", rules(plan.rules, row)),
        ("6 · Plan, as a diff to what rested", diff(plan, row, ours)),
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
        line(sign, tone, f"#{one.order} {way(one.side, one.leg)} {_size(one.size, row)} at "
             f"{_price(one.price, row)}", one.order)
        for sign, tone, many in (("+", "ok", plan.places), ("=", "dim", plan.rests))
        for one in many
    ]  # fmt: skip
    rows += [
        line("\N{MINUS SIGN}", "bad", f"#{number} cancelled", number) for number in plan.cancels
    ]
    return f'<table class="pb-facts pb-tight">{"".join(rows)}</table>' if rows else ""


def left(plan: Planned, row: Row) -> str:
    """Return what of the wish became no order, and every number of a denial."""
    rows = [
        _row(f"{one.side.upper()} {_size(one.size, row)} at {_price(one.price, row)}",
             LEFT.get(one.reason, plain(one.reason)))
        if one.size
        else _row("All of it", LEFT.get(one.reason, plain(one.reason)))
        for one in plan.left
    ]  # fmt: skip
    rows += [_row(plain(name), f"{number:,}") for name, number in plan.denied]
    return _table(rows)


def left_words(reason: str) -> str:
    """Return why a part of a wish became no order."""
    return LEFT.get(ResidualReason(reason), plain(reason))


def way(side: Side | str, leg: Leg | str) -> str:
    """Return a side with its leg: BUY YES, SELL NO; a thing without legs has its side alone."""
    return str(side).upper() if leg == Leg.BASE else f"{side} {leg}".upper()
