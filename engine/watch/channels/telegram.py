"""Telegram, by a bot of yours through Apprise."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Send one message to the chat. Raises Undelivered."""
    carry(
        "tgram",
        message,
        characters_max=3_500,
        bot_token=fields["token"],
        targets=[fields["chat"]],
        detect_owner=False,
    )


CHANNEL = Channel(
    name="telegram",
    title="Telegram",
    fields=(
        CredentialField(
            name="token",
            title="Bot token",
            pattern=r"\d{6,12}:[A-Za-z0-9_-]{30,40}",
            hint="123456789:AA…, from @BotFather",
            wrong="a bot token is digits, a colon, letters",
        ),
        CredentialField(
            name="chat",
            title="Chat",
            pattern=r"-?\d{1,20}|@[A-Za-z0-9_]{5,32}",
            shown=True,
            hint="a number, or @channel",
            wrong="a chat is a number or @channel",
        ),
    ),
    help="Make a bot with @BotFather, write to it once, and read your chat's number.",
    example={"token": "123456789:AAExampleExampleExampleExampleExamp", "chat": "123456789"},
    deliver=deliver,
)
