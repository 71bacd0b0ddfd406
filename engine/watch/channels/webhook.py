"""A webhook: the message as JSON, signed, to an address of your own.

Header `X-Pitboss-Signature: t=SECONDS,v1=HEX`; HEX is the HMAC-SHA256 of `SECONDS.BODY` with the
secret. A receiver refuses old times and compares in constant time. `X-Pitboss-Delivery` is the same
for each attempt of one message.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

import msgspec

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel, Undelivered
from engine.watch.messages import AlertMessage

TIMEOUT_S = 20.0
REFUSED_FOR_GOOD = frozenset({400, 401, 403, 404, 405, 410, 422})
ANSWER_CHARACTERS_MAX = 200


def signature(secret: str, at_s: int, body: bytes) -> str:
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={signed.hexdigest()}"


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Post the message once. Raises Undelivered."""
    import httpx  # noqa: PLC0415 see the folder's docstring

    body = msgspec.json.encode({"text": message.text(), **msgspec.to_builtins(message)})
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Pitboss",
        "X-Pitboss-Delivery": message.id,
        "X-Pitboss-Signature": signature(fields["secret"], int(time.time()), body),
    }
    try:
        answer = httpx.post(fields["url"], content=body, headers=headers, timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from None
    if answer.is_success:
        return
    said = f"answered {answer.status_code} {answer.text[:ANSWER_CHARACTERS_MAX]}".strip()
    after = answer.headers.get("Retry-After", "")
    raise Undelivered(
        said,
        retry_after_s=float(after) if after.isdecimal() else None,
        permanent=answer.status_code in REFUSED_FOR_GOOD,
    )


CHANNEL = Channel(
    name="webhook",
    title="Webhook (signed JSON)",
    fields=(
        CredentialField(
            name="url",
            title="Address",
            pattern=r"https?://\S{3,2000}",
            shown=True,
            hint="https://example.org/hooks/pitboss",
            wrong="an address begins with https://",
        ),
        CredentialField(
            name="secret",
            title="Secret that signs",
            pattern=r"\S{16,200}",
            hint="16 characters or more",
            wrong="the secret needs 16 characters or more",
        ),
    ),
    help="Your receiver checks X-Pitboss-Signature with the same secret.",
    example={"url": "https://example.org/hook", "secret": "an-example-of-a-secret"},
    deliver=deliver,
)
