"""Commands: what an operator or the schedule asks of the engine, in the imperative.

A new command is a struct in a file of this folder and its function in `engine.live.commands`; or,
of a plug-in, one file of its `commands` with both. Every program imports that file, so at its top
it imports the domain alone.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec

from engine.domain.instruments import MANUAL as MANUAL
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode, Side
from engine.domain.intents import Urgency
from engine.domain.orders import OrderId
from engine.plugins import Found, found

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What the state file, the journal and the tape can hold; looked at where a command is read."""


Answered = Callable[[bool, str], None]
"""Takes the answer to a command: (done, the sentence); False = it did not work."""


class InventoryPolicy(StrEnum):
    """What happens to inventory when a bot stops (law O)."""

    HOLD = "hold"
    WORK_OUT = "work_out"
    """Reduce passively until flat or closed."""
    EXIT = "exit"
    """FAK within a slippage cap."""


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of everything that can be asked."""


class StartBot(Command, frozen=True, kw_only=True):
    """Start a stopped bot."""

    bot: BotId
    reason: str = ""
    """Why one is started with real money whose strategy loses by the evidence."""


class PauseBot(Command, frozen=True, kw_only=True):
    """Cancel a bot's orders and stop evaluating; keep its state."""

    bot: BotId


class ResumeBot(Command, frozen=True, kw_only=True):
    """Continue a paused bot."""

    bot: BotId


class ResumeKilled(Command, frozen=True, kw_only=True):
    """Continue every bot that a KILL has paused."""


class StopBot(Command, frozen=True, kw_only=True):
    """Stop a bot: prove zero orders, then treat its inventory by policy."""

    bot: BotId
    inventory: InventoryPolicy = InventoryPolicy.HOLD


class Kill(Command, frozen=True, kw_only=True):
    """Set the latch and cancel everything in scope: one of the three, or none = everything."""

    account: AccountId | None = None
    bot: BotId | None = None
    instrument: InstrumentId | None = None


class ReleaseLatch(Command, frozen=True, kw_only=True):
    """Allow placing again: everywhere, or in the one part a scoped Kill named.

    An account is released from what stopped it until a person looked, too: a drawdown,
    a contradiction of its venue.
    """

    reason: str
    account: AccountId | None = None
    bot: BotId | None = None
    instrument: InstrumentId | None = None


class CancelOrderByHand(Command, frozen=True, kw_only=True):
    """Cancel one order."""

    account: AccountId
    order: OrderId


class PlaceManual(Command, frozen=True, kw_only=True):
    """Place one order by hand, through the same gates. Price and size in increments of the leg."""

    account: AccountId
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: Whole
    size: Whole
    urgency: Urgency = Urgency.REST
    owner: BotId = MANUAL
    """Whose order it is: `manual`, or a bot that wants nothing there."""
    reduce_only: bool = False
    """Refuse it where it would open anything. Of an order that takes: one that rests may meet
    another position. By its owner's own position, so no venue is asked: that nets all owners."""


class ApplySettings(Command, frozen=True, kw_only=True):
    """Apply a saved version of the settings."""

    version: Whole
    abandon: str = ""
    """Why an account that cannot be opened is removed with what is open or held there."""


class SetMode(Command, frozen=True, kw_only=True):
    """Move a stopped bot to its twin account of this mode."""

    bot: BotId
    mode: Mode


class SyncMarkets(Command, frozen=True, kw_only=True):
    """Refresh the instrument catalog."""

    venue: str


class RunJob(Command, frozen=True, kw_only=True):
    """Queue a long job for the worker."""

    job: str
    arguments: str = "{}"
    """JSON object."""


class CancelJob(Command, frozen=True, kw_only=True):
    """End a long job: at once where it waits, as soon as it can where it runs."""

    job: Whole


class AckAlert(Command, frozen=True, kw_only=True):
    """Mark an alert as seen."""

    alert: Whole


class StartRecording(Command, frozen=True, kw_only=True):
    """Record the feeds of these instruments."""

    name: str
    instruments: tuple[InstrumentId, ...]


class StopRecording(Command, frozen=True, kw_only=True):
    """Stop a recording."""

    name: str


class SetCredential(Command, frozen=True, kw_only=True):
    """Keep a credential that was sealed for the engine's vault and unreadable on the way."""

    account: AccountId
    wallet: str
    fingerprint: str
    sealed: str
    """Base64 of HPKE's encapsulated key and ciphertext."""
    venue: str


class RemoveCredential(Command, frozen=True, kw_only=True):
    """Forget an account's credential."""

    account: AccountId


class OpenVault(Command, frozen=True, kw_only=True):
    """Open the vault of the engine that runs by its passphrase, sealed for that start of it."""

    sealed: str
    """Base64 of HPKE's encapsulated key and ciphertext."""


class ExamineAccount(Command, frozen=True, kw_only=True):
    """Ask the venue whether a live account is fit to trade; nothing is placed or unlocked."""

    account: AccountId


class AddedCommand(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A plug-in's command as the journal keeps it: it can be read where the plug-in is gone."""

    plugin: str
    name: str
    fields: str
    """JSON object."""


def _found() -> tuple[list[type[Command]], dict[type[Command], str]]:
    """Return the product's commands, and those of plug-ins with the name of each one's plug-in."""
    ours = [one for one in Command.__subclasses__() if one.__module__ == __name__]
    added: dict[type[Command], str] = {}
    for one in found("commands", __name__):
        kinds = one.defined(Command)
        if not one.plugin:
            ours += kinds
            continue
        if not kinds:
            one.refuse("it defines no subclass of Command")
        for kind in kinds:
            if why := _refusal(one, kind, [*ours, *added]):
                one.refuse(why, kind)
            else:
                added[kind] = one.plugin
    return ours, added


def _refusal(one: Found, kind: type[Command], known: list[type[Command]]) -> str:
    """Return why a plug-in's class is no command beside those that are known; empty = it is one."""
    if not callable(getattr(one.module, "run", None)):
        return "its file has no function run(engine, command, who), which does it"
    if not kind.__struct_config__.frozen:
        return f"say `class {kind.__name__}(Command, frozen=True, kw_only=True)`"
    if any(kind.__name__ == other.__name__ for other in known):
        return f"there is a command {kind.__name__} already"
    wrong = one.tried(lambda: msgspec.json.schema(functools.reduce(operator.or_, [*known, kind])))
    return f"its fields cannot be read from JSON: {wrong}" if wrong else ""


_ours, ADDED_COMMANDS = _found()
COMMANDS: tuple[type[Command], ...] = (*_ours, *ADDED_COMMANDS)
"""Every command there is: the structs above, those of every file in this folder, and of plug-ins;
`ADDED_COMMANDS` are the plug-ins' alone, each with its plug-in's name."""

if TYPE_CHECKING:
    AnyCommand = Command
    JournaledCommand = Command
else:
    AnyCommand = functools.reduce(operator.or_, COMMANDS)
    JournaledCommand = functools.reduce(operator.or_, (*_ours, AddedCommand))


def journaled(command: Command) -> Command | AddedCommand:
    """Return a command as the journal keeps it."""
    plugin = ADDED_COMMANDS.get(type(command))
    if plugin is None:
        return command
    fields = msgspec.structs.asdict(command)
    text = msgspec.json.encode(fields).decode()
    return AddedCommand(plugin=plugin, name=type(command).__name__, fields=text)
