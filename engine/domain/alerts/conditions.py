"""Kinds of alert that `engine.watch` finds in the state the engine wrote: money, bots, markets."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Repeat, Sent, Severity

CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
PLACE, AT_ONCE = Repeat.PLACE, Sent.AT_ONCE
MONEY, BOTS, MARKETS = AlertGroup.MONEY, AlertGroup.BOTS, AlertGroup.MARKETS

ROWS = (
    AlertKind("large_fill", "A large fill", "Look at the position and at the market.", WARNING,
              MONEY, "orders", PLACE, AT_ONCE),
    AlertKind("balance_low", "The balance is low", "Deposit, or lower what the bots may use.",
              WARNING, MONEY, "capital", PLACE, AT_ONCE),
    AlertKind("connection_lost", "A connection is lost",
              "Look at this machine's network and at the venue's status page.", CRITICAL,
              AlertGroup.VENUES, "recordings", PLACE),
    AlertKind("limit_near", "A limit is nearly used up",
              "Look at it under Risk before it stops orders.", WARNING, AlertGroup.STOPS, "risk",
              PLACE, AT_ONCE),
    AlertKind("daily_loss", "The day's loss nears its limit",
              "Look at Risk; at the limit the account stops until 00:00 UTC.", CRITICAL,
              AlertGroup.STOPS, "risk", PLACE),
    AlertKind("drawdown", "The drawdown nears its limit",
              "Look at Risk; at the limit the account stops until a person releases it.", CRITICAL,
              AlertGroup.STOPS, "risk", PLACE),
    AlertKind("price_reached", "A price you asked for", "Look at the market.", WARNING, MARKETS,
              "market", Repeat.WORDS, AT_ONCE),
    AlertKind("price_unseen", "A price alert sees no price",
              "Follow the market, or remove the alert.", WARNING, MARKETS, "market", PLACE),
    AlertKind("market_closing", "A market closes soon, with inventory",
              "Decide whether to hold it to the resolution.", WARNING, MARKETS, "positions", PLACE,
              AT_ONCE),
    AlertKind("redeemable", "A position can be redeemed", "Redeem it under Positions.", WARNING,
              MARKETS, "positions", PLACE),
    AlertKind("bot_idle", "A bot places nothing", "Read why on its page.", WARNING, BOTS, "bots",
              PLACE),
    AlertKind("job_failed", "A job failed", "Read its result under Jobs, then start it again.",
              WARNING, AlertGroup.FILES, "jobs", PLACE, AT_ONCE),
    AlertKind("latency", "The engine is slow", "Look at the load of this machine.", WARNING,
              AlertGroup.MACHINE, "overview", PLACE),
)  # fmt: skip
"""What each is raised by stands in `engine/watch/conditions`."""
