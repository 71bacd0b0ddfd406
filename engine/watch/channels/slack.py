"""Slack, by an incoming webhook through Apprise."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Post one message. Raises Undelivered."""
    one, two, three = fields["webhook"].rstrip("/").split("/")[-3:]
    carry(
        "slack",
        message,
        characters_max=3_000,
        token_a=one,
        token_b=two,
        token_c=three,
        include_image=False,
        include_footer=False,
    )


CHANNEL = Channel(
    name="slack",
    title="Slack",
    fields=(
        CredentialField(
            name="webhook",
            title="Webhook address",
            pattern=r"https://hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]+",
            hint="https://hooks.slack.com/services/…",
            wrong="copy the incoming webhook's address, in full",
        ),
    ),
    help="Make a Slack app with an incoming webhook for one channel.",
    example={
        "webhook": "https://hooks.slack.com/services/TEXAMPLE1/BEXAMPLE1/ExampleExampleExampleExa"
    },
    deliver=deliver,
)
