"""A channel that a file adds: each message is written under the last one, in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel, Undelivered
from engine.watch.messages import AlertMessage


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Write one message. Raises Undelivered."""
    try:
        with Path(fields["file"]).open("a", encoding="utf-8") as slate:
            slate.write(message.text() + "\n")
    except OSError as error:
        raise Undelivered(f"{type(error).__name__}: {error.strerror}", permanent=True) from None


CHANNEL = Channel(
    name="slate",
    title="Slate",
    fields=(
        CredentialField(
            name="file",
            title="File",
            pattern=r"/\S{1,200}",
            wrong="a file is a path that begins with / and holds no space",
        ),
    ),
    help="Name a file on this machine that you look at.",
    example={"file": "/home/me/slate.txt"},
    deliver=deliver,
)
