"""Limits of an account: how much of each is used, and the form that edits them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from engine.domain.settings import Limit, RiskLimits
from pages.parts.words import NOTHING, micro, percent
from storage.dashboard_views import AccountSeen

NAMES = {
    "order_value_min": "Smallest order value",
    "order_value_max": "Largest order value",
    "exposure_instrument_max": "Worst-case loss, one instrument",
    "exposure_market_max": "Worst-case loss, one market",
    "exposure_bot_max": "Worst-case loss, one bot",
    "exposure_account_max": "Worst-case loss, the account",
    "exposure_total_max": "Worst-case loss, all accounts of the mode",
    "daily_loss_max": "Loss since 00:00 UTC",
    "drawdown_max": "Fall from the peak that stops the account",
    "kill_drawdown_max": "Fall from the peak that sets KILL",
    "open_orders_max": "Open orders",
    "data_age_ms_max": "Oldest book, ms",
    "mark_age_ms_max": "Oldest mark, ms",
}
PERCENT, AMOUNT = "% of day start", "amount"


def bars(limits: RiskLimits, seen: AccountSeen | None, open_orders: int | None) -> str:
    """Return the limits as a table; a bar where the use is reported, a dash where it is not."""
    used = _used(seen, open_orders)
    rows = []
    for name, label in NAMES.items():
        value = getattr(limits, name)
        limit = _micro(value, seen) if isinstance(value, Limit) else value
        use = used.get(name)
        share = min(1.0, use / limit) if use is not None and limit else None
        tone = "" if share is None else " bad" if share >= 1 else " warn" if share >= 0.7 else ""
        bar = "" if share is None else f'<u><s style="width:{100 * share:.0f}%"></s></u>'
        rows.append(
            f'<tr class="pb-use{tone}"><th>{escape(label)}</th><td>{escape(shown(value))}</td>'
            f"<td>{escape(_told(use, limit, name))}{bar}</td></tr>"
        )
    head = "<tr><th>Limit</th><th>Set to</th><th>Used</th></tr>"
    return f'<table class="pb-facts">{head}{"".join(rows)}</table>'


def _used(seen: AccountSeen | None, open_orders: int | None) -> dict[str, int]:
    found = {} if open_orders is None else {"open_orders_max": open_orders}
    if seen is not None and seen.loss_micro is not None:
        found["daily_loss_max"] = seen.loss_micro
    if seen is not None and seen.peak_micro is not None and seen.equity_micro is not None:
        fall = max(0, seen.peak_micro - seen.equity_micro)
        found |= {"drawdown_max": fall, "kill_drawdown_max": fall}
    return found


def _micro(limit: Limit, seen: AccountSeen | None) -> int | None:
    if limit.percent is not None and (seen is None or seen.day_start_micro is None):
        return None
    return limit.micro(seen.day_start_micro or 0 if seen else 0)


def _told(use: int | None, limit: int | None, name: str) -> str:
    if use is None:
        return NOTHING
    amount = f"{use:,}" if name == "open_orders_max" else micro(use)
    return f"{amount} ({percent(use, limit)})" if limit else amount


def shown(value: Limit | int) -> str:
    """Return a limit as a person reads it."""
    if not isinstance(value, Limit):
        return f"{value:,}"
    return f"{value.absolute:,g}" if value.percent is None else f"{value.percent:g} %"


def form(account: str, limits: RiskLimits) -> Mapping[str, Any] | None:
    """Draw the form; gives the limits as a merge patch when it is sent, else None."""
    patch: dict[str, Any] = {}
    with st.form(f"limits_{account}", border=False):
        for name, label in NAMES.items():
            value = getattr(limits, name)
            key = f"limit_{account}_{name}"
            if isinstance(value, Limit):
                patch[name] = _limit(label, value, key)
            else:
                patch[name] = int(st.number_input(label, value=value, step=1, key=key))
        sent = st.form_submit_button("Show what changes")
    return patch if sent else None


def _limit(label: str, value: Limit, key: str) -> dict[str, float | None]:
    # No bounds in the widget: it would turn -5 into 5; `storage.settings` refuses it with words.
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    number = value.absolute if value.percent is None else value.percent
    typed = left.number_input(label, value=float(number or 0), key=key, format="%g")
    unit = right.selectbox(
        "Unit",
        (PERCENT, AMOUNT),
        index=int(value.percent is None),
        key=f"{key}_unit",
        label_visibility="collapsed",
    )
    if unit == PERCENT:
        return {"percent": typed, "absolute": None}
    return {"absolute": typed, "percent": None}
