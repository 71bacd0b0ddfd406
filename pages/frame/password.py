"""The form that changes the operator's password, which ends all sessions."""

from __future__ import annotations

import streamlit as st

from engine.errors import PitbossError
from pages.kit import guard, panels
from pages.kit.clock import now_ns
from pages.kit.home import config
from storage.database import writing
from storage.users import change_password


@guard.part("The password")
def show() -> None:
    """Draw the form that changes the password."""
    st.subheader("Password")
    with st.form("password", clear_on_submit=True):
        old = st.text_input("Present password", type="password")
        new = st.text_input("New password", type="password")
        sent = st.form_submit_button("Change the password")
    panels.note("All sessions end, this one too: sign in again with the new password.")
    if not sent:
        return
    try:
        with writing(config().state_path) as connection:
            who = st.session_state["who"]
            change_password(connection, name=who, old=old, new=new, now_ns=now_ns())
    except PitbossError as error:
        st.error(f"Not changed: {error}.")
        return
    st.success("Changed. Load the page again and sign in with the new password.")
