"""What channels that leave by Apprise share: how one message goes, and why it was refused."""

from __future__ import annotations

import logging
import re
from typing import Any

from engine.domain.alerts import Severity
from engine.watch.channels import Undelivered
from engine.watch.messages import AlertMessage

REFUSED_FOR_GOOD = frozenset({400, 401, 403, 404, 405, 410, 422})
_STATUS = re.compile(r"error=(\d{3})")
_SIGN_IN = re.compile(r"\b53[0-9]\b|Authentication|authenticat", re.IGNORECASE)
SAID_LINES = 2


def carry(
    schema: str,
    message: AlertMessage,
    *,
    characters_max: int,
    html: bool = False,
    explain: bool = False,
    **given: object,
) -> None:
    """Send by one of Apprise's services. Raises Undelivered with what it said.

    `given` are the arguments of the service's class; an address is never put together from secrets.
    `explain`: the library's exception is quoted, too; only where no address with a secret is in it.
    """
    import apprise  # noqa: PLC0415 see the folder's docstring

    kinds = {
        Severity.CRITICAL: apprise.NotifyType.FAILURE,
        Severity.WARNING: apprise.NotifyType.WARNING,
        Severity.INFO: apprise.NotifyType.INFO,
    }
    forms = apprise.NotifyFormat
    level = logging.DEBUG if explain else logging.WARNING
    capture: Any = apprise.LogCapture
    with capture(level=level, fmt="%(levelname)s %(message)s") as said:
        service = apprise.Apprise.instantiate({"schema": schema, "verify": True, **given})
        if not service:
            raise Undelivered(_last(said.getvalue()) or "a field is not right", permanent=True)
        sent = service.notify(
            title=message.title,
            body=message.html() if html else message.text(characters_max),
            notify_type=kinds[message.severity],
            body_format=forms.HTML if html else forms.TEXT,
        )
        why = _last(said.getvalue())
    if not sent:
        found = _STATUS.search(why)
        refused = found is not None and int(found[1]) in REFUSED_FOR_GOOD
        permanent = refused or (found is None and bool(_SIGN_IN.search(why)))
        raise Undelivered(why or "it was not taken, and no reason was given", permanent=permanent)


def _last(said: str) -> str:
    """Return the last warnings a service gave, and the exception behind them, as one."""
    found = [line.partition(" ")[::2] for line in said.splitlines() if line.strip()]
    warnings = [text for level, text in found if level != "DEBUG" or "Exception" in text]
    return "; ".join(warnings[-SAID_LINES:])
