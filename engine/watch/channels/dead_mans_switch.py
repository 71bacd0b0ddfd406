"""A dead man's switch: an address outside that is called each minute while all is well.

Healthchecks style: `URL/start` when the watch begins, `URL` while all is well, `URL/fail` with a
sentence while something critical stands. Who watches that address tells you when the calls stop:
of a machine, a network or a desk that is gone no program on it can tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel, Undelivered
from engine.watch.messages import AlertMessage

TIMEOUT_S = 15.0
REFUSED_FOR_GOOD = frozenset({400, 401, 403, 404, 410})


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Call the address: `message.id` is `start`, `success` or `fail`. Raises Undelivered."""
    import httpx  # noqa: PLC0415 see the folder's docstring

    ends = "" if message.id not in ("start", "fail") else f"/{message.id}"
    address, _, asked = fields["url"].partition("?")
    url = address.rstrip("/") + ends + (f"?{asked}" if asked else "")
    try:
        if fields["method"] == "GET":
            answer = httpx.get(url, timeout=TIMEOUT_S)
        else:
            answer = httpx.post(url, content=message.note.encode(), timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from None
    if not answer.is_success:
        raise Undelivered(
            f"answered {answer.status_code}", permanent=answer.status_code in REFUSED_FOR_GOOD
        )


CHANNEL = Channel(
    name="dead_mans_switch",
    title="Dead man's switch (Healthchecks style)",
    fields=(
        CredentialField(
            name="url",
            title="Ping address",
            pattern=r"https?://\S{3,2000}",
            shown=True,
            hint="https://hc-ping.com/your-uuid",
            wrong="an address begins with https://",
        ),
        CredentialField(
            name="method",
            title="GET or POST",
            pattern=r"(GET|POST)?",
            shown=True,
            hint="POST; left empty it is",
            wrong="the method is GET or POST",
        ),
    ),
    help="Set the check's period to 1 minute and its grace to 2 minutes.",
    example={"url": "https://example.org/ping/0b2f", "method": "POST"},
    deliver=deliver,
    pings=True,
)
