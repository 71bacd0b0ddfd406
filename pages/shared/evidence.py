"""What recorded data shows of a strategy, in the words of every page that offers or runs it."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.evidence import MEANS, Edge, EvidenceRow, judged
from engine.domain.instruments import Mode
from pages.kit import panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from storage.catalog import strategies
from storage.evidence import evidence, shipped_evidence

PLAYED = "replayed at a paper account, with the defaults, after fees and 150 ms late"
"""What all figures of evidence are of."""


def verdict(name: str, entry: StrategyEntry) -> tuple[Edge, str]:
    """Return the verdict on a strategy as it stands in the catalog, and why."""
    return judged(ask(evidence, engine_id(), name), entry.digest, shipped_evidence(name))


class Shown(NamedTuple):
    """A row of evidence as pages show it."""

    row: EvidenceRow
    here: bool
    """It was computed in this home; False = it is shipped with the program."""
    current: bool
    """It is of the code that runs."""


def rows(name: str, entry: StrategyEntry) -> list[Shown]:
    """Return what there is of a strategy: a row for each set of data.

    What was computed here with the code that runs stands in place of what is shipped of that data,
    and what is shipped in place of rows of other code.
    """
    given = [
        *(Shown(row, here=False, current=False) for row in shipped_evidence(name)),
        *(Shown(row, here=True, current=False) for row in ask(evidence, engine_id(), name)),
    ]
    known = [one._replace(current=one.row.digest == entry.digest) for one in given]
    best: dict[str, Shown] = {}
    for one in sorted(known, key=lambda one: one.current):
        best[one.row.data] = one
    return [best[data] for data in sorted(best)]


def note(name: str) -> None:
    """Draw the verdict on a strategy in a line, and the way to what it follows from."""
    entry = ask(strategies, engine_id()).get(name)
    if entry is None:
        return
    found, why = verdict(name, entry)
    word, means = literal(found.upper()), literal(MEANS[found])
    # The command line sets the same words after a colon; a data set's name stays as it is written.
    names_data = why.partition(" ")[0].endswith(":")
    sentence = why if names_data else why[:1].upper() + why[1:]
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
