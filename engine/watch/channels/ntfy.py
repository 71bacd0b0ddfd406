"""ntfy, at ntfy.sh or a server of your own, through Apprise."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from engine.domain.alerts import Severity
from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage

PRIORITIES = {Severity.CRITICAL: "max", Severity.WARNING: "high", Severity.INFO: "default"}


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Publish one message. Raises Undelivered."""
    place = urlsplit(fields["server"] or "https://ntfy.sh")
    secure = place.scheme == "https"
    carry(
        "ntfys" if secure else "ntfy",
        message,
        characters_max=3_500,
        mode="private",
        host=place.hostname,
        port=place.port,
        secure=secure,
        targets=[fields["topic"]],
        auth="token" if fields["token"] else None,
        token=fields["token"] or None,
        priority=PRIORITIES[message.severity],
        include_image=False,
    )


CHANNEL = Channel(
    name="ntfy",
    title="ntfy",
    fields=(
        CredentialField(
            name="topic",
            title="Topic",
            pattern=r"[A-Za-z0-9_-]{8,64}",
            hint="long and not to be guessed: whoever knows it reads along",
            wrong="a topic takes letters, digits, dash and underscore, at least 8",
        ),
        CredentialField(
            name="server",
            title="Server",
            pattern=r"(https?://[^\s/]{3,200})?",
            shown=True,
            hint="empty = https://ntfy.sh",
            wrong="a server begins with https://",
        ),
        CredentialField(
            name="token",
            title="Access token",
            pattern=r"\S{0,200}",
            hint="empty = the topic is open",
        ),
    ),
    help="Subscribe to the topic in the ntfy app.",
    example={"topic": "pitboss-example-topic", "server": "", "token": ""},
    deliver=deliver,
)
