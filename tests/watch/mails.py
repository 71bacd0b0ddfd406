"""A local SMTP server that keeps the mails it is handed; loads the library that sends them."""

from __future__ import annotations

import email
import email.policy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.ports import free_port

with warnings.catch_warnings():
    # What the library loads for encrypted mail names a module that Python 3.13 has no more.
    warnings.filterwarnings("ignore", "'imghdr' is deprecated", DeprecationWarning)
    import apprise.plugins

    apprise.plugins.N_MGR.load_modules()


class Mails:
    """A local SMTP server that keeps what it is handed."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], Any]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del server, session
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.got.append((envelope.rcpt_tos, parsed))
        return "250 taken"


@contextmanager
def mailing(password: str = "") -> Iterator[tuple[Mails, int]]:
    """Run a local SMTP server; who gives no password is not asked for one."""
    handler = Mails()

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        del server, session, envelope, mechanism
        return AuthResult(success=data.password == password.encode(), handled=False)

    controller = Controller(
        handler, hostname="127.0.0.1", port=free_port(), authenticator=sign_in,
        auth_require_tls=False,
    )  # fmt: skip
    controller.start()
    try:
        yield handler, controller.port
    finally:
        controller.stop()


def mail_fields(port: int, **given: str) -> dict[str, str]:
    """Return the fields of an e-mail channel that hands over to a server of this machine."""
    return {
        "recipients": "me@example.org, partner@example.org", "sender": "desk@example.org",
        "host": "127.0.0.1", "port": str(port), "security": "insecure", "user": "", "password": "",
    } | given  # fmt: skip
