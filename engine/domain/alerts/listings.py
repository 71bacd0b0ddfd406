"""Kinds of alerts about answers of a venue that cannot be read, or do not come."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Severity

UNREAD_ROW = AlertKind(
    "unread_row",
    "A row of a venue's listing could not be read",
    "Look it up at the venue by its id. Nothing was booked by it, and nothing else waits for it.",
    Severity.WARNING,
    AlertGroup.VENUES,
)

QUESTION_FAILS = AlertKind(
    "question_fails",
    "A venue does not tell orders or fills",
    "Read the reason. Until it is answered the account may place nothing, and KILL be not proven.",
    Severity.CRITICAL,
    AlertGroup.VENUES,
)

QUESTION_WAITS = AlertKind(
    "question_waits",
    "A venue does not answer a question",
    "Read the reason; it is asked again. Orders do not depend on it.",
    Severity.WARNING,
    AlertGroup.VENUES,
)

QUESTION_ANSWERED = AlertKind(
    "question_answered",
    "A venue answers a question again",
    "",
    Severity.INFO,
    AlertGroup.VENUES,
)
