"""The operator's time zone: the one chosen in this browser, else the browser's own, else UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import streamlit as st

from pages.kit.clock import now_ns

COOKIE = "pitboss_zone"
EXACT = "exact_utc"
"""The switch in the sidebar: times of tables exactly, in UTC."""


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


def zone_short() -> str:
    """Return the zone's short name as of now, for example CET; where it has none, the long one."""
    short = f"{datetime.fromtimestamp(now_ns() / 1e9, UTC).astimezone(clock()):%Z}"
    return short if short.isalpha() else zone()


def exact() -> bool:
    """Say whether tables show exact UTC instead of the operator's zone."""
    return bool(st.session_state.get(EXACT))


def clock() -> ZoneInfo:
    """Return the zone in which times are shown."""
    return ZoneInfo(zone())
