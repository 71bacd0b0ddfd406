"""The operator's time zone: the one chosen in this browser, else the browser's own, else UTC."""

from __future__ import annotations

from zoneinfo import ZoneInfo, available_timezones

import streamlit as st

COOKIE = "pitboss_zone"


def zone() -> str:
    """Return the name of the zone in which times are shown."""
    chosen = st.context.cookies.get(COOKIE, "").replace("%2F", "/")
    for name in (chosen, st.context.timezone or ""):
        if name in known():
            return name
    return "UTC"


@st.cache_resource(show_spinner=False)
def known() -> frozenset[str]:
    """Return the zones this machine knows."""
    return frozenset(available_timezones())


def clock() -> ZoneInfo:
    """Return the zone in which times are shown."""
    return ZoneInfo(zone())
