"""The dashboard: `streamlit run app.py`. The main script stands in `pages/parts` on purpose.

Beside a main script Streamlit would serve every file of a folder `pages` without sign-in and frame.
"""

from __future__ import annotations

import streamlit as st

from pages.parts.parent import watched
from pages.parts.routes import health, panic
from pages.parts.sign_in import SignIn

app = st.App("pages/parts/shell.py", lifespan=watched, middleware=[SignIn], routes=[health, panic])
