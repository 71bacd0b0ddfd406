"""Kinds of alert that the engine and the worker raise."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Repeat, Sent, Severity
from engine.domain.orders import MISSES, RejectReason

CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
ORDERS, MONEY, STOPS = AlertGroup.ORDERS, AlertGroup.MONEY, AlertGroup.STOPS
BOTS, VENUES, FILES = AlertGroup.BOTS, AlertGroup.VENUES, AlertGroup.FILES
PLACE = Repeat.PLACE

_CHECK_VENUE = "Compare the account with the venue's own page; pause its bots while they differ."
_DIFFERS = "Compare it with the venue's page. It halts until both agree or you release the account."
_RELEASE = "Read why, then release it under Risk with a typed reason."
_LOAD = "Look at the load of this machine and at its network."
_STRANGER = "Find out who else trades with this account's key."
_LOOK = "Look at the order: it shows the venue's answer."


def _rejected(reason: RejectReason) -> AlertKind:
    severe = reason is RejectReason.AUTH
    advice = f"{_LOOK} Its account waits for release under Risk." if severe else _LOOK
    return AlertKind(
        f"rejected_{reason}",
        f"Order refused: {reason.replace('_', ' ')}",
        advice,
        CRITICAL if severe else WARNING,
        ORDERS,
        "orders",
        sent=Sent.AT_ONCE,
    )


_ORDERS = (
    AlertKind(
        "unknown_order", "An order's state is unknown", "Look it up at the venue.", CRITICAL,
        ORDERS, "orders",
    ),
    AlertKind(
        "revived_order", "An ended order is open again", "Nothing: it is being cancelled.",
        CRITICAL, ORDERS, "orders",
    ),
    AlertKind(
        "unrecognised_order", "An order that is not in the journal", _STRANGER, CRITICAL, ORDERS,
        "positions",
    ),
    AlertKind(
        "unknown_report", "A report on an order never made here", _STRANGER, CRITICAL, ORDERS,
        "positions",
    ),
    AlertKind(
        "contradiction", "The venue contradicts itself",
        "Compare the account with the venue's own page, then release it under Risk.",
        CRITICAL, ORDERS, "risk",
    ),
    AlertKind(
        "intent_refused", "A bot asked for something not allowed",
        "Fix its settings, or let nobody else trade its market.", WARNING, ORDERS, "bots",
    ),
    AlertKind("price_improved", "Filled at a better price", "", INFO, ORDERS, "orders"),
    AlertKind("overfilled", "Filled for more than its size", _CHECK_VENUE, CRITICAL, ORDERS,
              "orders"),
    AlertKind(
        "redeemed_more", "A payout for tokens not bought here",
        "Nothing, if they came by hand: the payout is in cash, and in no PnL.",
        WARNING, MONEY, "positions",
    ),
    AlertKind(
        "redeem_failed", "A wallet operation had no effect",
        "Read why. Automatic ones are tried again; repeat one made by hand.",
        WARNING, MONEY, "positions",
    ),
    AlertKind(
        "operation_unknown", "A wallet operation got no answer",
        "Nothing: the venue is asked, it is never sent twice. See the venue's activity page.",
        WARNING, MONEY, "positions",
    ),
    AlertKind("operation_empty", "A confirmed wallet operation moved nothing", _CHECK_VENUE,
              WARNING, MONEY, "positions"),
    AlertKind(
        "fill_failed", "A fill did not settle", "Nothing: it is reversed and in no total.",
        WARNING, MONEY, "orders", sent=Sent.AT_ONCE,
    ),
    *(_rejected(reason) for reason in RejectReason if reason not in MISSES),
)  # fmt: skip
_MONEY = (
    AlertKind("cash_negative", "Cash is below zero", _CHECK_VENUE, CRITICAL, MONEY, "capital"),
    AlertKind("fee_above_fill", "A fee is larger than its fill", _CHECK_VENUE, WARNING, MONEY,
              "orders"),
    AlertKind("oversold", "More was sold than had settled", _CHECK_VENUE, CRITICAL, MONEY,
              "positions"),
    AlertKind("cash_differs", "The venue has less cash", _DIFFERS, CRITICAL, MONEY, "capital"),
    AlertKind("cash_surplus", "The venue has more cash", "Nothing, if it is a deposit.", WARNING,
              MONEY, "capital"),
    AlertKind("position_differs", "A position differs from the venue's", _DIFFERS, CRITICAL,
              MONEY, "positions"),
    AlertKind("equity_differs", "Ledger and journal differ", "Stop trading; report it as a bug.",
              CRITICAL, MONEY, "overview"),
    AlertKind("funding_twice", "Funding came twice",
              "It is booked once. Compare cash with the venue's.", WARNING, MONEY, "capital"),
    AlertKind("position_liquidated", "A position was liquidated",
              "Stop what opened it, or bring margin, before it opens again.", CRITICAL, MONEY,
              "positions"),
    AlertKind("foreign_currency", "Money of another currency", "Exchange it at the venue.",
              WARNING, MONEY, "capital"),
    AlertKind(
        "foreign", "Something not ours in a wallet",
        "Find out who else has its key. Under Positions: take tokens in, cancel orders, or ignore.",
        WARNING, MONEY, "positions",
    ),
)  # fmt: skip
_STOPS = (
    AlertKind("stop_daily_loss", "Stopped: daily loss limit", "It lifts at 00:00 UTC.", CRITICAL,
              STOPS, "risk"),
    AlertKind("stop_drawdown", "Stopped: drawdown limit", _RELEASE, CRITICAL, STOPS, "risk"),
    AlertKind("stop_kill_drawdown", "Stopped: deep drawdown", _RELEASE, CRITICAL, STOPS, "risk"),
    AlertKind("kill_latch", "KILL: drawdown limit", _RELEASE, CRITICAL, STOPS, "risk"),
    AlertKind("kill", "KILL", _RELEASE, CRITICAL, STOPS, "risk"),
    AlertKind("latch_file", "The latch could not be written", "Make room on the disk.", CRITICAL,
              STOPS, "risk"),
    AlertKind("state", "Nothing is placed", "Fix what the text names.", CRITICAL, STOPS, "risk"),
    AlertKind("stop_unproven", "A stop is not proven",
              "Look at the venue for open orders, or start the engine: it asks.", CRITICAL, STOPS,
              "engine"),
    AlertKind("ended_without_stop", "The engine had crashed", "Look at its log for the reason.",
              WARNING, STOPS, "journal", sent=Sent.AT_ONCE),
)  # fmt: skip
_BOTS = (
    AlertKind("bot_error", "A bot stopped on an error", "Read the error on its page.", CRITICAL,
              BOTS, "bots"),
    AlertKind("bot_rests", "A bot is pausing", "Read on its page for how long, and why.", WARNING,
              BOTS, "bots"),
    AlertKind("learning", "A bot is relearning",
              "Nothing: it quotes again when it has seen enough.", INFO, BOTS, "bots"),
    AlertKind("mode", "An account or a bot is not open", "Follow the steps under Settings.",
              WARNING, BOTS, "settings"),
    AlertKind("plugin", "A plug-in cannot be used",
              "Run `engine plugins`: mend its file, or switch it off by its name.", WARNING,
              AlertGroup.PROGRAMS, "settings"),
    AlertKind("watch_absent", "No watch looks at the desk",
              "Start it by supervisor, or read the end of log/watch.log: alerts stand on the page "
              "alone.", CRITICAL, AlertGroup.PROGRAMS, "alerts", PLACE),
    AlertKind("settings", "Settings were not accepted", "Fix them and save again.", WARNING, BOTS,
              "settings"),
    AlertKind("vault_locked", "The vault is locked", "Open it under Settings, Credentials.",
              WARNING, BOTS, "settings"),
    AlertKind("standstill", "An account places nothing",
              "Fix what the text names; it goes on by itself.", CRITICAL, BOTS, "risk"),
    AlertKind("not_open", "An account is not open yet", "Fix what the text names.", WARNING, BOTS,
              "settings"),
    AlertKind("second_writer", "A second program uses this key", "Stop it, or use another key.",
              CRITICAL, BOTS, "settings"),
)  # fmt: skip
_VENUES = (
    AlertKind("place_queue", "Too many orders are waiting to be sent", _LOAD, CRITICAL, VENUES,
              "orders"),
    AlertKind("place_queue_over", "Orders are taken again", "", INFO, VENUES, "orders"),
    AlertKind("cancel_queue", "Too many cancels are waiting to be sent", _LOAD, CRITICAL, VENUES,
              "orders"),
    AlertKind("query_queue", "Too many queries are waiting to be sent", _LOAD, CRITICAL, VENUES,
              "orders"),
    AlertKind("cancel_all_stuck", "A cancel-all is stuck", "Cancel at the venue.", CRITICAL,
              VENUES, "orders"),
    AlertKind("cancel_all_unanswered", "Cancel unanswered", "Look at the venue's open orders.",
              CRITICAL, VENUES, "orders"),
    AlertKind("filter", "A filter cannot be used", "Fetch the list of markets under Markets.",
              WARNING, VENUES, "markets"),
    AlertKind("feed", "A feed sends nothing", "Look at the feeds under Recordings.", WARNING,
              VENUES, "recordings"),
    AlertKind("observed", "Outside information was refused", "Mend what its sender sends.",
              WARNING, VENUES, "bots"),
    AlertKind("market", "A market could not be read", "Look at it at the venue.", WARNING, VENUES,
              "markets"),
    AlertKind("user_frame", "A venue message could not be read", _CHECK_VENUE, WARNING, VENUES,
              "orders"),
)  # fmt: skip
_FILES = (
    AlertKind("recording", "A recording stopped", "Look at it under Recordings.", WARNING, FILES,
              "recordings"),
    AlertKind("disk", "The disk is filling up",
              "Make room on it, or lower PITBOSS_DISK_BUDGET.", WARNING, FILES, "jobs", PLACE),
    AlertKind("disk_low", "The disk is almost full", "Make room on it now.", CRITICAL, FILES,
              "jobs", PLACE),
    AlertKind("storage", "A file is not written",
              "Make room on the disk; nothing is lost meanwhile.", CRITICAL, FILES),
    AlertKind("storage_again", "A file is written again", "", INFO, FILES),
    AlertKind("tape", "The tape is not written", "Make room on the disk, or read what it names.",
              WARNING, FILES),
    AlertKind("ticks", "Ticks are not stored", "Make room on the disk, or read the job's result.",
              WARNING, FILES, "jobs"),
    AlertKind("decisions", "Decisions are not written",
              "Make room on the disk, or read what it names.", WARNING, FILES),
    AlertKind("backup", "A backup is damaged or incomplete", "Make a new one under Jobs.",
              WARNING, FILES),
    AlertKind("markets_file", "The list of markets was damaged", "Nothing: it is fetched anew.",
              WARNING, FILES),
    AlertKind("row", "A row was left out", "Report it as a bug; the log has its reason.",
              CRITICAL, FILES),
    AlertKind("bad_row", "A row that cannot be read", "Report it as a bug.", WARNING, FILES),
    AlertKind("job", "A job failed or waits", "Read its result under Jobs.", WARNING, FILES,
              "jobs"),
    AlertKind("journal_loss", "Journal records are lost", "Read the recovery report.", CRITICAL,
              FILES, "journal"),
    AlertKind("schedule", "A schedule entry is wrong", "Fix it under Jobs.", WARNING, FILES,
              "jobs"),
)  # fmt: skip

ROWS = (*_ORDERS, *_MONEY, *_STOPS, *_BOTS, *_VENUES, *_FILES)
