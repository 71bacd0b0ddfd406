"""The dashboard: `streamlit run app.py`. The main script stands in `pages/frame` on purpose.

Beside a main script Streamlit would serve every file of a folder `pages` without sign-in and frame.
"""

from __future__ import annotations

import streamlit as st

from pages.frame.server import SignIn, health, panic, watched

app = st.App("pages/frame/shell.py", lifespan=watched, middleware=[SignIn], routes=[health, panic])
