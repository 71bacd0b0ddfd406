"""The texts of the Help page: what is what, in plain words."""

from __future__ import annotations

TOUR = (
    (
        "Look at the bar above every page",
        "",
        "Engine, mode, heartbeat, equity, today's loss budget, open and unknown orders, the oldest "
        "feed, and KILL. If it turns grey and says NO DATA, nothing on the page is of now.",
    ),
    (
        "Watch the bots that trade already",
        "bots",
        "`make run` starts two on a demo exchange, with money that does not exist. Select one: "
        "what it may do, why it quotes or does not, its orders in the book.",
    ),
    (
        "Open an order and read its why",
        "orders",
        "Select a row. The drawer shows what the strategy saw, how its fair value came about, "
        "every gate, its wish, risk's rules, the plan as a diff, and its life record by record.",
    ),
    (
        "Make a bot of your own",
        "bots",
        "Under Bots, Create a bot: a name, a market or a series, then Show what changes, Save, and "
        "Apply. It stands stopped until you start it; while it is stopped, Change settings and "
        "Remove stand below its figures.",
    ),
    (
        "Set a limit, and know how to stop",
        "risk",
        "Limits show what is used of them now. Stop a bot under Bots; KILL cancels everything, "
        "proves it, and places nothing until you release it with a reason.",
    ),
)

LOOKING_AT = {
    "Overview": "Equity at risk's marks over time, PnL by period and by bot, where the money at "
    "risk is, what is held, alerts. One mode at a time: demo, paper and live never mix in a sum.",
    "Bots": "Each bot with its state, why it quotes or does not, and all it evaluated so far. A "
    "bot is a strategy with markets, an account, capital and parameters. ERROR means it raised and "
    "stopped alone; the others go on.",
    "Orders": "Working orders, all orders, fills. Every number leads to the records behind it.",
    "Positions": "What is held per market: settled and pending tokens, cost, mark, PnL, and the "
    "fills behind it.",
    "Runs": "Replays of recordings: the same strategies, risk and executor as in trading.",
    "Recordings": "What the market said, kept so that a strategy can be replayed over it again and "
    "again. A gap is a moment nobody heard.",
    "Risk": "The KILL latch, the latest receipt, and each limit with what uses it.",
    "Alerts": "What a person should look at. Seen marks one as read, for everybody.",
    "Journal": "All that was asked and said, searched by text; commands; who changed what.",
    "Jobs": "Long work of the worker: replays, backups, upkeep, exports (select one to download "
    "it), with their progress; and "
    "the schedule that asks for some of it by the clock.",
    "Settings": "Accounts, this browser's theme and time zone, the password.",
    "Help": "This page: a tour, these words, every term, the way to real money, shortcuts.",
}

CHECKLIST = (
    ("A connection that is proven at the venue itself, not at a fake of it", False),
    ("Alerts that reach you away from this screen", False),
    ("Paper trading over live feeds for weeks, with nothing unexplained in the journal", True),
    ("A key in the vault, of a wallet with no more in it than you can lose (Settings)", True),
    ("A green doctor, the phrase typed, a green self-test (Settings, Live accounts)", True),
    ("Limits set by you, not left at their defaults (Risk)", True),
    ("You have used KILL once and read its receipt (Risk)", True),
    ("You have read the why of a bot's orders and of its non-orders (Bots, Orders)", True),
    ("You know the other two ways to KILL: `python -m engine kill`, and a file named KILL", True),
)
"""(what, can it be done today)."""

SHORTCUTS = {
    "Ctrl+Shift+K": "the first click of KILL, also while you type; the second one is CONFIRM KILL",
    "R": "draws the page anew; not while you type",
    "Enter": "sends a filter or a text field",
    "Esc": "closes a menu or an enlarged table",
    "Ctrl+F in a table": "searches in it, when it was clicked before",
    "Click on a column's head": "sorts by it",
}
