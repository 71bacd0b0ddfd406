"""`python -m engine.watch.send`: deliver one message, say what became of it, end.

A program of its own, so that the watch stays small, no library can hang or leak in it, and a
channel's secrets live for a second. Takes one JSON object on standard input, gives one on standard
output; nothing secret is in its arguments, its environment or its answer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from engine.errors import BadInput, PitbossError, StorageError
from engine.watch.channels import Undelivered, channels
from engine.watch.messages import AlertMessage

HIDDEN = "[hidden]"
ERROR_CHARACTERS_MAX = 400
SECRET_CHARACTERS_MIN = 4
PART_MIN = 16
TOKEN_MIN = 8
"""A shorter part of an address's path is a word, not a token."""


class SendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent by which channel of a home. Without a channel: make the key."""

    home: str
    channel: str = ""
    message: AlertMessage | None = None
    state: str = ""
    """The state database, where reports are read from."""
    reports: tuple[int, ...] = ()
    """When each flight report was made, ns UTC, that is to be sent as a whole."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. An empty `error` = the channel took it."""

    error: str = ""
    retry_after_s: float | None = None
    permanent: bool = False
    ack_secret: bytes = b""
    """Signs links that acknowledge; given when the key is made."""


def carry_out(order: SendOrder) -> Outcome:
    """Do what is asked; every refusal is an outcome."""
    from engine.watch import sealed  # noqa: PLC0415 the watch imports this module, never that one

    home = Path(order.home)
    try:
        if order.message is None:
            sealed.make_key(home)
            return Outcome(ack_secret=sealed.ack_secret(home))
        entry, fields = sealed.opened(home, order.channel)
    except PitbossError as error:
        return Outcome(error=str(error), permanent=True)
    kind = channels().get(entry.kind)
    if kind is None:
        return Outcome(error=f"this version knows no channel {entry.kind!r}", permanent=True)
    hidden = [fields.get(one.name, "") for one in kind.fields if not one.shown]
    for value in fields.values():
        hidden += parts_of(value)
    try:
        kind.deliver(kind.check(fields), with_reports(order, order.message))
    except Undelivered as error:
        said = without(str(error), hidden)
        return Outcome(error=said, retry_after_s=error.retry_after_s, permanent=error.permanent)
    except PitbossError as error:
        return Outcome(error=str(error), permanent=True)
    return Outcome()


def with_reports(order: SendOrder, message: AlertMessage) -> AlertMessage:
    """Return the message with its flight reports as one HTML page; without any, as it is.

    A report that cannot be read is left out with the reason: the short text still leaves.
    """
    if not order.reports:
        return message
    # The program that sends is the only part of the watch that loads reports: they need pydantic.
    from storage.database import reading  # noqa: PLC0415
    from storage.reports import page_of, report_made_at  # noqa: PLC0415

    try:
        with reading(Path(order.state)) as connection:
            found = [report_made_at(connection, at_ns) for at_ns in order.reports]
    except (StorageError, BadInput) as error:
        note = f"The report itself could not be read, see Reports on the desk: {error}"
        return msgspec.structs.replace(message, note=f"{message.note} {note}".strip())
    page = page_of(message.title, [message.html(), *(one.body() for one in found)])
    return msgspec.structs.replace(message, page=page)


def parts_of(address: str) -> list[str]:
    """Return what of an address may be a token: all behind its host, as a whole and in parts.

    Empty for what is no address, and for one that names a host alone.
    """
    if "://" not in address:
        return []
    try:
        found = urlsplit(address)
    except ValueError:
        return [address]
    behind = address.partition("://")[2].partition(found.netloc)[2]
    parts = [one for one in found.path.split("/") if len(one) >= TOKEN_MIN]
    parts += [value for _, value in parse_qsl(found.query) if len(value) >= SECRET_CHARACTERS_MIN]
    whole = [address, behind] if behind.strip("/") else []
    return [*whole, *parts, *(one for one in (found.username, found.password) if one)]


def without(text: str, secrets: list[str]) -> str:
    """Return a text in which no secret stands, in none of the forms an address gives it."""
    # An address that is a secret as a whole may be quoted in parts.
    parts = [part for secret in secrets for part in secret.split("/") if len(part) >= PART_MIN]
    for secret in sorted([*secrets, *parts], key=len, reverse=True):
        for form in {secret, quote(secret), quote(secret, safe="")}:
            if len(secret) >= SECRET_CHARACTERS_MIN:
                text = text.replace(form, HIDDEN)
    return text[:ERROR_CHARACTERS_MAX]


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=SendOrder)
    sys.stdout.buffer.write(msgspec.json.encode(carry_out(order)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
