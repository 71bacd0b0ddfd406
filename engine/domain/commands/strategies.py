"""Strategies of plug-ins, while an engine runs."""

from __future__ import annotations

from engine.domain.commands import Command


class UpdateStrategy(Command, frozen=True, kw_only=True):
    """Take a strategy's file as it is today; a bot that runs keeps what it runs until it stops."""

    strategy: str
