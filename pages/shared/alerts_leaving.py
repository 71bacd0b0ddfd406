"""What the watch found, the channels alerts leave by, and what was sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import streamlit as st

from engine.domain.catalog import CredentialField
from engine.domain.plain import PlainView
from engine.errors import BadInput, PitbossError
from pages.frame import sealing
from pages.kit import guard, panels
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.panels import panel
from pages.kit.tables import Col, ColKind, columns_of, table
from pages.kit.words import age, count, moment
from pages.shared import alert
from storage import watch
from storage.channels import (
    LABEL,
    NAME_PATTERN,
    PROTECTION,
    ChannelEntry,
    ChannelsFile,
    change_channel,
    put_channel,
    read_channels,
    sealing_names,
)
from storage.watch import NoticeSource, RequestKind

REFRESH_S = 2.0
SILENT_NS = 30_000_000_000
SENT_SHOWN = 50
SENT = columns_of(
    Col("created_ns", "Planned", ColKind.TIME),
    Col("channel", "Channel"),
    Col("reason", "Why"),
    Col("state", "State"),
    Col("attempts", "Attempts", ColKind.COUNT),
    Col("title", "Message", ColKind.LONG),
    Col("error", "Refused because", ColKind.LONG),
)


def read_meta(name: str) -> Any:
    """Return what the watch keeps under a name, as it wrote it; empty where it keeps nothing."""
    with watch.reading_watch(config().home) as connection:
        text = watch.meta(connection, name) if connection else None
    return json.loads(text) if text else {}


def own_notices(wanted: str = "", most: int = alert.SHOWN_MAX) -> int:
    """Draw what the watch itself found and no person has seen, `most` at most; gives how many."""
    with watch.reading_watch(config().home) as connection:
        found = watch.unseen(connection) if connection else []
    own = [one for one in found if one.source is NoticeSource.WATCH and wanted in one.text.lower()]
    for one in own[:most]:
        text, buttons = st.columns([3, 1], vertical_alignment="center")
        text.html(alert.line({**msgspec.structs.asdict(one), "id": one.key}, now_ns()))
        with buttons.container(horizontal=True, horizontal_alignment="right", gap="small"):
            if st.button("Seen", key=f"seen_{one.key}", width=74):
                alert.see(one.key)
    return len(own)


@st.fragment(run_every=REFRESH_S)
@guard.part("The watch")
def show_watch() -> None:
    """Say whether anything leaves the desk at this moment."""
    beat, ping = read_meta("beat"), read_meta("ping")
    st.subheader("Leaving the desk")
    if not isinstance(beat, Mapping) or not beat or now_ns() - beat["at_ns"] > SILENT_NS:
        st.warning(
            "NO WATCH IS RUNNING: nothing is sent. `make run` starts it.",
            icon=":material/power_off:",
        )
        return
    said = f"The watch was active {age(now_ns() - beat['at_ns'])} ago"
    if isinstance(ping, Mapping) and ping.get("channel"):
        last = f"{age(now_ns() - ping['sent_ns'])} ago" if ping["sent_ns"] else "never"
        said += f" · dead man's switch: {ping['said'] or 'not called yet'}, taken {last}"
        said += f" · refused: {ping['error']}" * bool(ping["error"])
    else:
        said += " · no dead man's switch: a machine that is gone is not noticed from outside"
    panels.note(literal(said))
    for name in ("log_error", "channels_error", "settings_error"):
        if beat[name]:
            st.warning(literal(beat[name]))


@guard.part("The channels")
def show_channels() -> None:
    """Draw the channels, each with its switch and its test, and the form of a new one."""
    try:
        file = read_channels(config().home)
    except PitbossError as error:
        st.error(literal(error))
        return
    kinds = {one["name"]: one for one in read_meta("channel kinds") or ()}
    entries = sorted(file.entries.items()) if file else []
    with panel(
        f"Channels: {len(entries) or 'none'}", "fold_channels", opened=not entries
    ) as opened:
        if not opened:
            return
        panels.note(PROTECTION)
        for name, entry in entries:
            _show_channel(name, entry, kinds)
        if file is None or not kinds:
            panels.empty(
                "No watch has run here yet.", "It makes the key that channels are sealed for."
            )
        else:
            _add(file, kinds)


def _show_channel(name: str, entry: ChannelEntry, kinds: PlainView) -> None:
    title = kinds.get(entry.kind, {}).get("title", entry.kind)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{literal(name)}** · {literal(title)} · {literal(entry.label)} · "
            f"since {moment(entry.added_ns)}"
        )
        on = st.toggle("On", value=entry.on, key=f"on_{name}")
        if on != entry.on:
            try:
                change_channel(config().home, name, on=on, switches=_switches(kinds))
            except PitbossError as error:
                st.error(literal(error))
            else:
                st.rerun()
        if st.button("Send a test", key=f"test_{name}"):
            asked = watch.ask(
                config().home, RequestKind.TEST, name, st.session_state["who"], now_ns()
            )
            st.session_state[f"tested_{name}"] = asked
        if st.button("Remove", key=f"remove_{name}"):
            change_channel(config().home, name, on=None)
            st.rerun()
    if f"tested_{name}" in st.session_state:
        _show_test(name)


def _switches(kinds: PlainView) -> set[str]:
    """Return the kinds of channel that are dead man's switches."""
    return {name for name, one in kinds.items() if one.get("pings")}


@st.fragment(run_every=1.0)
def _show_test(name: str) -> None:
    """Draw the life of a test in place."""
    with watch.reading_watch(config().home) as connection:
        request = st.session_state[f"tested_{name}"]
        sent = watch.tested(connection, request) if connection else None
    if sent is None:
        st.markdown("**queued** · the watch takes it within a second")
    elif sent.state == "sent":
        st.markdown(f"**sent** · the channel took the test · {moment(sent.sent_ns or 0)}")
    elif sent.state == "failed":
        st.error(f"Not delivered: {literal(sent.error)}")
    else:
        st.markdown(f"**{literal(sent.state)}**")


def _add(file: ChannelsFile, kinds: PlainView) -> None:
    left, right = st.columns(2)
    name = left.text_input("Name of a new channel", placeholder="phone", key="channel_name").strip()
    kind = right.selectbox(
        "Kind", list(kinds), format_func=lambda one: kinds[one]["title"], key="channel_kind"
    )
    if not re.fullmatch(NAME_PATTERN, name):
        panels.note("Give it a name first: a-z, 0-9, dash and underscore, then Enter.")
        return
    panels.note(literal(kinds[kind]["help"]))
    fields = (LABEL, *msgspec.convert(kinds[kind]["fields"], tuple[CredentialField, ...]))
    sent = sealing.sealed_key(*sealing_names(name, kind), fields, file.public_key)
    if sent is None:
        return
    entry = ChannelEntry(
        kind=kind,
        label=str(sent["wallet"]),
        fingerprint=str(sent["fingerprint"]),
        added_ns=now_ns(),
        sealed=base64.b64decode(str(sent["sealed"])),
    )
    try:
        put_channel(config().home, name, entry, switches=_switches(kinds))
    except (BadInput, PitbossError) as error:
        st.error(literal(error))
        return
    st.rerun()


@guard.part("What was sent")
def show_sent() -> None:
    """Draw deliveries, the newest first, with what refused them."""
    with watch.reading_watch(config().home) as connection:
        rows = watch.deliveries(connection, most=SENT_SHOWN) if connection else []
    waiting = sum(row["state"] in ("waiting", "sending") for row in rows)
    waits = f", {count(waiting, 'message')} wait" if waiting else ""
    with panel(f"Sent: {count(len(rows), 'message')}{waits}", "fold_sent", opened=False) as opened:
        if opened and rows:
            table(rows, SENT, key="sent")
        elif opened:
            panels.empty("Nothing was sent yet.", "Add a channel and send a test.")
