"""Activations: when each bot was last started or resumed, by a person or by an engine's start."""

from __future__ import annotations

import msgspec

from engine.domain.commands import ResumeBot, StartBot
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record


class ActivationRow(msgspec.Struct, kw_only=True):
    """One row of `activations`: a bot of these settings, or of settings that are gone."""

    bot: str
    at_ns: int
    """When it was last started or resumed; what was refused is not journaled."""
    seq: int


def on_started(fold: Fold, command: StartBot | ResumeBot, record: Record) -> None:
    """Take the time of a start."""
    fold.rows.put(ActivationRow(bot=command.bot, at_ns=record.at_ns, seq=record.seq))


NOUN = Noun(
    (ProjectedTable(ActivationRow, "activations", ("bot",)),),
    {StartBot: on_started, ResumeBot: on_started},
)
