"""The rule that is edited: as this tab has it, and kept in the home while the editor is open."""

from __future__ import annotations

import msgspec
import streamlit as st

from engine.domain.plain import PlainDict
from engine.errors import BadInput, PitbossError
from pages.kit.data import engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from storage.database import reading, writing
from storage.rule_drafts import RULE_DRAFTS, RuleDraft

OPEN, TURN = "rule_draft", "rule_turn"


class OpenRule(msgspec.Struct):
    """The draft as a tab has it. Fields of another `turn` are filled anew."""

    document: PlainDict
    turn: int
    kept: PlainDict | None
    """As the home has it; None = nothing was kept yet."""
    seen_ns: int


def begin(document: PlainDict) -> None:
    """Begin to edit a document: its widgets are new ones."""
    before = _here()
    kept, seen_ns = (before.kept, before.seen_ns) if before else (None, _seen_ns())
    st.session_state[OPEN] = OpenRule(document, _turn(), kept, seen_ns)


def opened() -> OpenRule | None:
    """Return the draft of this tab, else the home's; None = no rule is edited.

    Raises BadInput where the home's cannot be read.
    """
    if _here() is None and (found := _kept()) is not None:
        document, seen_ns = found
        st.session_state[OPEN] = OpenRule(document, _turn(), document, seen_ns)
    return _here()


def keep(draft: OpenRule, document: PlainDict) -> None:
    """Keep what was typed in the home; where that fails, say so."""
    draft.document = document
    if document == draft.kept:
        return
    try:
        with writing(config().state_path) as connection:
            draft.seen_ns = RULE_DRAFTS.put(
                connection,
                engine_id(),
                RuleDraft(document=document),
                who=st.session_state["who"],
                now_ns=now_ns(),
                seen_ns=draft.seen_ns,
            )
    except PitbossError as error:
        st.error(f"Not kept: {literal(error)}. What is typed here stands in this tab alone.")
        if st.button("Go on with the draft as it is kept", key="rule_again"):
            found = _kept()
            if found is not None:
                kept, seen_ns = found
                st.session_state[OPEN] = OpenRule(kept, _turn(), kept, seen_ns)
            st.rerun()
    else:
        draft.kept = document


def close() -> None:
    """Forget the draft of this tab and of the home."""
    with writing(config().state_path) as connection:
        RULE_DRAFTS.drop(connection, engine_id(), st.session_state["who"])
    st.session_state.pop(OPEN, None)


def _here() -> OpenRule | None:
    found = st.session_state.get(OPEN)
    return found if isinstance(found, OpenRule) else None


def _turn() -> int:
    """Return the number of the next fields: none has the key of one that was drawn before."""
    turn = st.session_state[TURN] = int(st.session_state.get(TURN, 0)) + 1
    return turn


def _kept() -> tuple[PlainDict, int] | None:
    """Return the home's draft as it is now: a cached one would be older than what was typed."""
    with reading(config().state_path) as connection:
        found = RULE_DRAFTS.of(connection, engine_id(), st.session_state["who"])
    return None if found is None else (found[0].document, found[1])


def _seen_ns() -> int:
    """Return when the home's draft was written, 0 = there is none. It is about to be replaced."""
    try:
        found = _kept()
    except BadInput:
        close()
        return 0
    return 0 if found is None else found[1]
