"""E-mail over SMTP, by Apprise."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.catalog import CredentialField
from engine.watch.channels import Channel
from engine.watch.channels.carrier import carry
from engine.watch.messages import AlertMessage

PORTS = {"starttls": 587, "ssl": 465, "insecure": 25}


def deliver(fields: Mapping[str, str], message: AlertMessage) -> None:
    """Send one mail to every recipient; a flight report whole. Raises Undelivered."""
    secure = fields["security"]
    carry(
        "mailto" if secure == "insecure" else "mailtos",
        message,
        characters_max=30_000,
        html=True,
        explain=True,
        host=fields["host"],
        smtp_host=fields["host"],
        port=int(fields["port"] or PORTS[secure]),
        secure_mode=secure,
        user=fields["user"] or None,
        password=fields["password"] or None,
        from_addr=fields["sender"],
        targets=fields["recipients"].replace(",", " ").split(),
    )


CHANNEL = Channel(
    name="email",
    title="E-mail (SMTP)",
    fields=(
        CredentialField(
            name="recipients",
            title="To",
            pattern=r"[^\s@]+@[^\s@]+([ ,]+[^\s@]+@[^\s@]+)*",
            shown=True,
            hint="me@example.org, partner@example.org",
            wrong="write addresses like me@example.org, several with commas",
        ),
        CredentialField(
            name="sender",
            title="From",
            pattern=r"[^\s@]+@[^\s@]+",
            shown=True,
            hint="desk@example.org",
            wrong="write an address like desk@example.org",
        ),
        CredentialField(
            name="host",
            title="SMTP server",
            pattern=r"[A-Za-z0-9.:_-]{1,253}",
            shown=True,
            hint="smtp.example.org",
            wrong="write the server's name without a scheme",
        ),
        CredentialField(
            name="port",
            title="Port",
            pattern=r"\d{0,5}",
            shown=True,
            hint="empty = 587, 465 or 25 by the security",
            wrong="a port is a number",
        ),
        CredentialField(
            name="security",
            title="Security",
            pattern=r"starttls|ssl|insecure",
            shown=True,
            hint="starttls, ssl or insecure",
            wrong="the security is starttls, ssl or insecure",
        ),
        CredentialField(
            name="user", title="User", pattern=r"\S{0,200}", shown=True, hint="empty = no sign-in"
        ),
        CredentialField(
            name="password",
            title="Password",
            pattern=r".{0,500}",
            hint="an app password where your provider has them",
        ),
    ),
    help="Use an account of its own that can only send.",
    example={
        "recipients": "me@example.org",
        "sender": "desk@example.org",
        "host": "smtp.example.org",
        "port": "",
        "security": "starttls",
        "user": "desk",
        "password": "example-password",
    },
    takes_html=True,
    deliver=deliver,
)
