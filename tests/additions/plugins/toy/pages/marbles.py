"""What the toy venue has reported."""

from __future__ import annotations

import streamlit as st

from pages import Page
from pages.kit.data import ask, engine_id
from pages.kit.home import now_ns
from pages.shared import alert
from storage import views

PAGE = Page("Marbles", ":material/circle:", "Toys", 0)


def main() -> None:
    """Draw its alerts."""
    st.header("Marbles")
    rows = ask(views.alerts, engine_id(), unseen_only=True)
    alert.show([row for row in rows if row["kind"] == "few_marbles"], alive=True, now=now_ns())
