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
        "Apply. It stands stopped until you start it.",
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
    "Bots": "Each bot with its state. A bot is a strategy with markets, an account, capital and "
    "parameters. ERROR means it raised and stopped alone; the others go on.",
    "Orders": "Working orders, all orders, fills. Every number leads to the records behind it.",
    "Positions": "What is held per market: settled and pending tokens, cost, mark, PnL, and the "
    "fills behind it.",
    "Runs": "Replays of recordings: the same strategies, risk and executor as in trading.",
    "Risk": "The KILL latch, the latest receipt, and each limit with what uses it.",
    "Alerts": "What a person should look at. Seen marks one as read, for everybody.",
    "Journal": "All that was asked and said, searched by text; commands; who changed what.",
    "Settings": "Accounts, this browser's theme and time zone, the password.",
}

GLOSSARY = {
    "Account": "Money at one venue, in one mode. One executor alone writes its orders.",
    "Mode": "demo, paper or live. It belongs to the account; positions never cross.",
    "Bot": "A strategy with its markets, capital and parameters at an account.",
    "Wish": "What a strategy wants, without order ids, minimum sizes or complements.",
    "Gate": "A condition a strategy looks at, in order. The first that fails is why it does not "
    "quote.",
    "Rule of risk": "A limit on the account. It permits an order, shrinks it, or denies it.",
    "Plan": "What the executor makes of a wish: orders to place, keep and cancel, and what is left "
    "over with its reason.",
    "Left over": "A part of a wish that cannot be a legal order now: below the minimum, say.",
    "YES / NO": "The two legs of a market that pays 1.00 for one of them. Buying NO at "
    "40\N{CENT SIGN} is the same side as selling YES at 60\N{CENT SIGN}.",
    "Settled / pending": "A fill is pending when it matched and settled when the venue confirmed "
    "it. Pending tokens cannot be sold and may still vanish.",
    "UNKNOWN": "An order that was sent without an answer. It is asked about, never sent again.",
    "Worst-case loss": "The most that can be lost if everything held and everything that may still "
    "fill goes against us.",
    "Mark": "What a holding is counted at. Risk uses the side we would leave by; shown PnL uses "
    "the middle, and says so.",
    "Loss budget": "The most that may be lost since 00:00 UTC. A restart does not renew it.",
    "Latch": "KILL sets it. No order is placed until a person releases it with a typed reason.",
    "Receipt": "The proof after a KILL or stop: two complete listings without one order of ours.",
    "Journal": "Everything asked is written here before it is done, with a checksum.",
    "Heartbeat": "The engine says each second that it lives. Old figures are called last known.",
}

CHECKLIST = (
    ("A venue's connection that is wired in and proven at the venue itself", False),
    ("A vault that holds the credential; this dashboard can never read it back", False),
    ("Alerts that reach you away from this screen", False),
    ("Paper trading over live feeds for weeks, with nothing unexplained in the journal", False),
    ("Limits set by you, not left at their defaults (Risk)", True),
    ("You have used KILL once and read its receipt (Risk)", True),
    ("You have read the why of a bot's orders and of its non-orders (Bots, Orders)", True),
    ("You know the other two ways to KILL: `python -m engine kill`, and a file named KILL", True),
)
"""(what, can it be done today): no switch here pretends that real money can be traded."""

SHORTCUTS = {
    "Ctrl+Shift+K": "the first click of KILL; the second one is CONFIRM KILL",
    "Enter": "sends a filter or a text field",
    "Esc": "closes a menu or an enlarged table",
    "Ctrl+F in a table": "searches in it, when it was clicked before",
    "Click on a column's head": "sorts by it",
}
