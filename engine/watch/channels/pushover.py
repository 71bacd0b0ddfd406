"""Pushover, through Apprise."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.alerts import Severity
from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage

PRIORITIES = {Severity.CRITICAL: "high", Severity.WARNING: "normal", Severity.INFO: "low"}


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Push one message. Raises Undelivered."""
    carry(
        "pover",
        message,
        characters_max=900,
        user_key=fields["user"],
        token=fields["token"],
        priority=PRIORITIES[message.severity],
    )


CHANNEL = Channel(
    name="pushover",
    title="Pushover",
    fields=(
        CredentialField(
            name="token",
            title="Application token",
            pattern=r"[A-Za-z0-9]{30}",
            wrong="an application token has 30 letters and digits",
        ),
        CredentialField(
            name="user",
            title="User key",
            pattern=r"[A-Za-z0-9]{30}",
            wrong="a user key has 30 letters and digits",
        ),
    ),
    help="Make an application at pushover.net; its token and your user key are needed.",
    example={"token": "a12345678901234567890123456789", "user": "u12345678901234567890123456789"},
    deliver=deliver,
)
