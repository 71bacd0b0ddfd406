"""Paper against truth in words: the rows of its table, and what each verdict means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pages.kit.words import NOTHING

SIDES = {
    "truth": "Truth: in the exchange",
    "pessimistic": "Paper, pessimistic",
    "realistic": "Paper, realistic",
    "optimistic": "Paper, optimistic",
}
VERDICTS = {
    "within": "within tolerance",
    "off": "out of tolerance",
    "open": "too few days to tell",
}
LABELS = {
    "fill_ratio_same": "fill ratio of the same orders",
    "fill_ratio": "fill ratio",
    "time_to_fill": "time to fill",
    "markout_5s": "5 s markout",
    "pnl_day": "PnL per demo day",
}


def rows(line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one measure's rows: the truth, then each model."""
    yield {
        "side": SIDES["truth"],
        "value": number(line["truth"]["value"]),
        "span": span(line["truth"]),
        "difference": NOTHING,
        "difference_span": NOTHING,
        "verdict": "what paper is measured by",
    }
    for name, model in line["models"].items():
        yield {
            "side": SIDES[name],
            "value": number(model["value"]["value"]),
            "span": span(model["value"]),
            "difference": number(model["difference"]["value"], signed=True),
            "difference_span": span(model["difference"], signed=True),
            "verdict": VERDICTS[model["verdict"]],
        }


def sentence(found: Mapping[str, Any]) -> str:
    """Say in one sentence what the realistic model got right and what not."""
    told: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for line in found["lines"]:
        told[line["models"]["realistic"]["verdict"]].append(LABELS[line["name"]])
    parts = [f"{', '.join(names)}: {VERDICTS[verdict]}" for verdict, names in told.items() if names]
    return f"The realistic model: {'; '.join(parts)}."


def answer(found: Mapping[str, Any]) -> str:
    """Say how much of the fill ratio's difference no fill model can mend."""
    told = "; ".join(
        f"{name} {number(points['value'], signed=True)} ({span(points, signed=True)})"
        for name, points in found["answers"].items()
    )
    return (
        "The truth's own orders were laid once more as paper beside the very book they stood in: "
        "what they got differently is the fill model's fault. What is left of the difference is "
        "the world's answer to our quote, in points of fill ratio: "
        f"{told}. In the exchange a quote of ours holds the price where it stands and takers meet "
        "it there; the same quote on paper is passed by. No public feed shows that, so it has no "
        "tolerance. Where a venue's people answer a quote as the demo's do, a live fill ratio "
        "differs by about as much."
    )


def share(found: Mapping[str, Any]) -> str:
    """Say which share of cancels the realistic model uses and which the exchange showed."""
    fit = found["fit"]
    return (
        f"The public feed shows that a level fell, not who left it; the exchange knows. Measured "
        f"there: {number(fit['percent']['value'])} % ({span(fit['percent'])}), from "
        f"{fit['cancels']:,} cancels. The realistic model uses {found['percent']} %. 50 % = what "
        f"stands ahead and what stands behind is cancelled alike, in proportion to its size."
    )


def number(value: float | None, *, signed: bool = False) -> str:
    """Return a figure with two decimals; a dash where nobody can know it."""
    if value is None:
        return NOTHING
    return f"{value:+,.2f}" if signed else f"{value:,.2f}"


def span(estimate: Mapping[str, Any], *, signed: bool = False) -> str:
    """Return an interval."""
    low, high = (number(estimate[end], signed=signed) for end in ("low", "high"))
    return f"{low} to {high}"
