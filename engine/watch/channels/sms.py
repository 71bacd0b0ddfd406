"""SMS by Twilio, through Apprise."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage

NUMBER = r"\+\d{8,15}"
CHARACTERS_MAX = 300
"""A text message is paid by the part: the rest stands on the desk."""


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Send one text message. Raises Undelivered."""
    carry(
        "twilio",
        message,
        characters_max=CHARACTERS_MAX,
        account_sid=fields["account"],
        auth_token=fields["token"],
        source=fields["sender"],
        targets=[fields["recipient"]],
    )


CHANNEL = Channel(
    name="sms",
    title="SMS (Twilio)",
    fields=(
        CredentialField(
            name="token",
            title="Auth token",
            pattern=r"[0-9a-f]{32}",
            wrong="an auth token is 32 hex digits",
        ),
        CredentialField(
            name="account",
            title="Account SID",
            pattern=r"AC[0-9a-f]{32}",
            shown=True,
            hint="AC…",
            wrong="an account SID is AC and 32 hex digits",
        ),
        CredentialField(
            name="sender",
            title="From",
            pattern=NUMBER,
            shown=True,
            hint="+15551234567",
            wrong="a number begins with + and its country",
        ),
        CredentialField(
            name="recipient",
            title="To",
            pattern=NUMBER,
            shown=True,
            hint="+15557654321",
            wrong="a number begins with + and its country",
        ),
    ),
    help="Each message costs money: give this channel to critical alerts alone.",
    example={
        "token": "0123456789abcdef0123456789abcdef",
        "account": "AC0123456789abcdef0123456789abcdef",
        "sender": "+15551234567",
        "recipient": "+15557654321",
    },
    deliver=deliver,
)
