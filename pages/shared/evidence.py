"""What recorded data shows of a strategy, in the words of every page that offers or runs it."""

from __future__ import annotations

import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.evidence import MEANS, Edge, judged
from engine.domain.instruments import Mode
from pages.kit import panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from storage.catalog import strategies
from storage.evidence import evidence

PLAYED = "replayed at a paper account, with the defaults, after fees and 150 ms late"
"""What all figures of evidence are of."""


def verdict(name: str, entry: StrategyEntry) -> tuple[Edge, str]:
    """Return the verdict on a strategy as it stands in the catalog, and why."""
    return judged(ask(evidence, engine_id(), name), entry.digest)


def note(name: str) -> None:
    """Draw the verdict on a strategy in a line, and the way to what it follows from."""
    entry = ask(strategies, engine_id()).get(name)
    if entry is None:
        return
    found, why = verdict(name, entry)
    word, means = literal(found.upper()), literal(MEANS[found])
    sentence = why[:1].upper() + why[1:]  # the command line sets the same words after a colon
    said = f"Evidence: **{word}** \N{EN DASH} {means} {literal(sentence)}."
    if found is Edge.LOSES:
        st.warning(said)
    else:
        st.markdown(said)
    panels.links(
        panels.link(f"Evidence of {name}, {Mode.PAPER.upper()}", "strategies", strategy=name)
    )


def loses(name: str) -> bool:
    """Say whether the evidence says that a strategy loses."""
    entry = ask(strategies, engine_id()).get(name)
    return entry is not None and verdict(name, entry)[0] is Edge.LOSES
