"""Discord, by a webhook of a channel through Apprise."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Post one message. Raises Undelivered."""
    number, token = fields["webhook"].rstrip("/").split("/")[-2:]
    carry(
        "discord",
        message,
        characters_max=1_700,
        webhook_id=number,
        webhook_token=token,
        footer=False,
        avatar=False,
    )


CHANNEL = Channel(
    name="discord",
    title="Discord",
    fields=(
        CredentialField(
            name="webhook",
            title="Webhook address",
            pattern=r"https://[a-z.]*discord(app)?\.com/api/webhooks/\d+/[A-Za-z0-9_-]{20,100}",
            hint="https://discord.com/api/webhooks/…",
            wrong="copy the webhook's address from the channel's settings, in full",
        ),
    ),
    help="Channel settings, Integrations, Webhooks, New webhook, Copy address.",
    example={
        "webhook": "https://discord.com/api/webhooks/123456789012345678/"
        "ExampleExampleExampleExampleExampleExampleExampleExampleExample12345"
    },
    deliver=deliver,
)
