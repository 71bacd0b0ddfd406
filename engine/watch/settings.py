"""What the watch reads of the settings: the newest saved version, and the last readable one."""

from __future__ import annotations

import sqlite3

import msgspec

from engine.watch.rules import AlertsRead

_NEWEST = (
    "SELECT version, body FROM settings WHERE engine_id = ? AND typeof(version) = 'integer' "
    "ORDER BY version DESC LIMIT 1"
)


class _Document(msgspec.Struct):
    """The part of a settings document that concerns the watch."""

    alerts: AlertsRead = msgspec.field(default_factory=AlertsRead)


class SettingsReader:
    """The alert settings in force; those that can be read last stay where newer cannot."""

    def __init__(self, kept: str | None) -> None:
        self.now = AlertsRead()
        self.error = ""
        """Why the newest cannot be read; empty = it can."""
        self._version = -1
        if kept:
            try:
                self.now = msgspec.json.decode(kept, type=AlertsRead)
            except msgspec.MsgspecError:
                self.error = "the kept copy of the alert settings is of another version"

    def read(self, state: sqlite3.Connection, engine_id: str) -> None:
        """Read the newest saved version; it needs no engine to be in force here."""
        row = state.execute(_NEWEST, (engine_id,)).fetchone()
        if row is None or row[0] == self._version:
            return
        self._version = row[0]
        try:
            self.now, self.error = msgspec.json.decode(row[1], type=_Document).alerts, ""
        except msgspec.MsgspecError as error:
            self.error = f"version {row[0]} of the settings: {error}"

    def kept(self) -> str:
        """Return them as they are kept for a time without a state database."""
        return msgspec.json.encode(self.now).decode()
