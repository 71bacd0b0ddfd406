"""Kinds of alerts: what each is called on a page, and what a person does about it.

One row a kind. A venue, a strategy or a job brings kinds of its own in a file of this folder. The
kind groups repeats (`storage.alerts`), the sentence of an alert says what happened this time.
"""

from __future__ import annotations

import importlib
import pkgutil

import msgspec

from engine.domain.orders import RejectReason


class AlertKind(msgspec.Struct, frozen=True):
    """One kind of alert."""

    name: str
    """As it is raised and stored."""
    title: str
    advice: str
    """What to do about it, a sentence; empty = nothing, it is news."""


_CHECK_VENUE = "Compare the account with the venue's own page; pause its bots while they differ."
_RELEASE = "Read why, then release it under Risk with a typed reason."
_LOAD = "Look at the load of this machine and at its network."

ROWS = (
    # an account's orders
    AlertKind("unknown_order", "An order's state is unknown", "Look it up at the venue."),
    AlertKind("revived_order", "An ended order is open again", "Nothing: it is being cancelled."),
    AlertKind(
        "unrecognised_order",
        "An order that is not in the journal",
        "Find out who else trades with this account's key.",
    ),
    AlertKind(
        "unknown_report",
        "A report on an order never made here",
        "Find out who else trades with this account's key.",
    ),
    AlertKind(
        "contradiction",
        "The venue contradicts itself",
        "Compare the account with the venue's own page, then release it under Risk.",
    ),
    AlertKind(
        "intent_refused",
        "A bot asked for something not allowed",
        "Fix its settings, or let nobody else trade its market.",
    ),
    AlertKind("price_improved", "Filled at a better price", ""),
    AlertKind("overfilled", "Filled for more than its size", _CHECK_VENUE),
    AlertKind(
        "redeemed_more",
        "A payout for tokens not bought here",
        "Nothing, if they came by hand: the payout is in cash, and in no PnL.",
    ),
    AlertKind(
        "redeem_failed",
        "A wallet operation had no effect",
        "Read why. Automatic ones are tried again; repeat one made by hand.",
    ),
    AlertKind(
        "operation_unknown",
        "A wallet operation got no answer",
        "Nothing: the venue is asked, it is never sent twice. See the venue's activity page.",
    ),
    AlertKind("operation_empty", "A confirmed wallet operation moved nothing", _CHECK_VENUE),
    AlertKind("fill_failed", "A fill did not settle", "Nothing: it is reversed and in no total."),
    *(
        AlertKind(
            f"rejected_{reason}",
            f"Order refused: {reason.replace('_', ' ')}",
            "Look at the order: it shows the venue's answer."
            + " Its account waits for release under Risk." * (reason is RejectReason.AUTH),
        )
        for reason in RejectReason
    ),
    # money
    AlertKind("cash_negative", "Cash is below zero", _CHECK_VENUE),
    AlertKind("oversold", "More was sold than had settled", _CHECK_VENUE),
    AlertKind("cash_differs", "Cash differs from the venue's", _CHECK_VENUE),
    AlertKind("position_differs", "A position differs from the venue's", _CHECK_VENUE),
    AlertKind("equity_differs", "Ledger and journal differ", "Stop trading; report it as a bug."),
    AlertKind("foreign_currency", "Money of another currency", "Exchange it at the venue."),
    AlertKind(
        "foreign",
        "Something not ours in a wallet",
        "Find out who else has its key. Under Positions: take tokens in, cancel orders, or ignore.",
    ),
    # stops
    AlertKind("stop_daily_loss", "Stopped: daily loss limit", "It lifts at 00:00 UTC."),
    AlertKind("stop_drawdown", "Stopped: fall from the peak", _RELEASE),
    AlertKind("stop_kill_drawdown", "Stopped: deep fall from the peak", _RELEASE),
    AlertKind("kill_latch", "KILL: fall from the peak", _RELEASE),
    AlertKind("kill", "KILL", _RELEASE),
    AlertKind("latch_file", "The latch could not be written", "Make room on the disk."),
    AlertKind("state", "Nothing is placed", "Fix what the text names."),
    AlertKind("ended_without_stop", "The engine had crashed", "Look at its log for the reason."),
    # bots and accounts
    AlertKind("bot_error", "A bot stopped on an error", "Read the error on its page."),
    AlertKind("bot_rests", "A bot is pausing", "Read on its page for how long, and why."),
    AlertKind(
        "learning", "A bot is relearning", "Nothing: it quotes again when it has seen enough."
    ),
    AlertKind("mode", "An account or a bot is not open", "Follow the steps under Settings."),
    AlertKind("settings", "Settings were not accepted", "Fix them and save again."),
    AlertKind("vault_locked", "The vault is locked", "Open it under Settings, Credentials."),
    AlertKind(
        "standstill", "An account places nothing", "Fix what the text names; it goes on by itself."
    ),
    AlertKind("not_open", "An account is not open yet", "Fix what the text names."),
    AlertKind("second_writer", "A second program uses this key", "Stop it, or use another key."),
    # requests
    AlertKind("place_queue", "Too many orders are waiting to be sent", _LOAD),
    AlertKind("cancel_queue", "Too many cancels are waiting to be sent", _LOAD),
    AlertKind("query_queue", "Too many queries are waiting to be sent", _LOAD),
    AlertKind("cancel_all_stuck", "A cancel-all is stuck", "Cancel at the venue."),
    AlertKind("cancel_all_unanswered", "Cancel unanswered", "Look at the venue's open orders."),
    # feeds
    AlertKind("filter", "A filter cannot be used", "Fetch the list of markets under Markets."),
    AlertKind("feed", "A feed sends nothing", "Look at the feeds under Recordings."),
    AlertKind("market", "A market could not be read", "Look at it at the venue."),
    AlertKind("user_frame", "A venue message could not be read", _CHECK_VENUE),
    AlertKind("recording", "A recording stopped", "Look at it under Recordings."),
    # files and jobs
    AlertKind("disk", "The disk is filling up", "Make room on it, or lower PITBOSS_DISK_BUDGET."),
    AlertKind(
        "storage", "A file is not written", "Make room on the disk; nothing is lost meanwhile."
    ),
    AlertKind("tape", "The tape is not written", "Make room on the disk."),
    AlertKind("ticks", "Ticks are not stored", "Make room on the disk, or read the job's result."),
    AlertKind("decisions", "Decisions are not written", "Make room on the disk."),
    AlertKind("row", "A row was left out", "Report it as a bug; the log has its reason."),
    AlertKind("bad_row", "A row that cannot be read", "Report it as a bug."),
    AlertKind("job", "A scheduled job failed or waits", "Read its result under Jobs."),
    AlertKind("journal_loss", "Journal records are lost", "Read the recovery report."),
    AlertKind("schedule", "A schedule entry is wrong", "Fix it under Jobs."),
)


def _found() -> dict[str, AlertKind]:
    rows = list(ROWS)
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{file.name}")
        rows += [value for value in vars(module).values() if isinstance(value, AlertKind)]
    return {row.name: row for row in rows}


ALERT_KINDS = _found()
"""Every kind by its name, those of every file in this folder among them."""


def described(name: str) -> AlertKind:
    """Return a kind; one that an older version stored is called as it was stored."""
    return ALERT_KINDS.get(name) or AlertKind(name, name.replace("_", " ").capitalize(), "")
