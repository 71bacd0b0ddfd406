"""The page a signed link of a message leads to: one button acknowledges, without a sign-in.

The link is judged by the watch, which alone has the key; this server only hands it over. To open
the link changes nothing: mail programs open links by themselves. What is shown before it was judged
says nothing of the desk.
"""

from __future__ import annotations

import re
import time
from contextlib import closing
from html import escape

from engine.config import Config
from engine.domain.commands import AckAlert
from engine.errors import BadInput, StorageError
from pages.kit.home import now_ns
from storage import watch
from storage.commands import leave
from storage.database import reading, writing
from storage.settings import latest
from storage.users import ENGINE_ID
from storage.watch import RequestKind, open_watch

PATH = "/acknowledge"
WHO = "a signed link"
LINK = re.compile(r"notice=[\w.~%-]{1,600}&until=\d{1,12}&signature=[0-9a-f]{64}")
WAITING_MAX = 20
"""So many links may wait for the watch: whoever has none could leave more."""

LOOKS, LOOK_S = 50, 0.1
"""How often the watch, which turns each second, is asked for its answer."""
OVER = "This link has ended, or it is none of this desk's. Sign in to acknowledge the alert."
BUSY = "No watch answers at this moment. Sign in to acknowledge the alert."

ASK = """<p>Acknowledge this alert? It is seen for everybody then, and is not sent again.</p>
<form method="post" action="{path}"><input type="hidden" name="link" value="{link}">
<button type="submit">Acknowledge</button></form>"""
DONE = """<p role="status"><b>Acknowledged.</b> {text}</p><p><a href="/alerts">Alerts</a></p>"""
REFUSED = """<p class="said" role="alert">{text}</p><p><a href="/alerts">Alerts</a></p>"""


def wanted(given: Config) -> bool:
    """Say whether messages of this desk carry such links. Raises StorageError."""
    with reading(given.state_path) as connection:
        return latest(connection, ENGINE_ID).document.alerts.ack_links


def question(link: str) -> str:
    """Return the body that asks for the button, or says that this is no link of ours."""
    if LINK.fullmatch(link) is None:
        return REFUSED.format(text=escape(OVER))
    return ASK.format(path=PATH, link=escape(link, quote=True))


def acknowledged(given: Config, link: str) -> str:
    """Have the watch judge a link, and the engine note what it acknowledges; return the body."""
    try:
        if LINK.fullmatch(link) is None or not wanted(given):
            return REFUSED.format(text=escape(OVER))
        key = _judged(given, link)
        if key is None:
            return REFUSED.format(text=escape(BUSY))
        if not key:
            return REFUSED.format(text=escape(OVER))
        return DONE.format(text=escape(_noted(given, key)))
    except (StorageError, BadInput) as error:
        return REFUSED.format(text=escape(f"{error}. Sign in to acknowledge the alert."))


def _judged(given: Config, link: str) -> str | None:
    """Return the notice a link acknowledged; empty = none; None = the watch has not answered."""
    with closing(open_watch(given.home / watch.NAME)) as connection:
        if watch.links_waiting(connection) >= WAITING_MAX:
            return None
        request = watch.ask(given.home, RequestKind.ACK_LINK, link, WHO, now_ns())
        for _ in range(LOOKS):
            if (answer := watch.answer_of(connection, request)) is not None:
                break
            time.sleep(LOOK_S)
        else:
            return None
    return "" if answer == watch.REFUSED else answer.removeprefix("seen ")


def _noted(given: Config, key: str) -> str:
    """Have the engine note it, too, where the alert is its own; return what the alert says."""
    number = watch.alert_number(key)
    if number is not None:
        with writing(given.state_path) as connection:
            leave(
                connection,
                engine_id=ENGINE_ID,
                id=f"link-{key}",  # pressed twice it is left once
                command=AckAlert(alert=number),
                who=WHO,
                now_ns=now_ns(),
            )
    with watch.reading_watch(given.home) as log:
        found = watch.notice(log, key) if log else None
    return found.text if found else ""
