"""A tour, the pages, the words, the way to real money, and shortcuts.

Nothing here needs an engine.
"""

from __future__ import annotations

import streamlit as st

from pages import Page, found_pages
from pages.kit import guard, panels

PAGE = Page("Help", ":material/help:", "Desk", 1)

TOPICS = ("Tour", "What am I looking at", "Glossary", "Going live", "Shortcuts")


def about(docstring: str) -> str:
    return " ".join(docstring.split())


def tour() -> None:
    """Draw the five steps of a first visit."""
    for number, (title, page, text) in enumerate(TOUR, start=1):
        with st.container(border=True):
            st.markdown(f"**{number}. {title}**  \n{text}")
            if page:
                panels.links(panels.link(f"Go to {page.capitalize()}", page))


def glossary() -> None:
    """Draw words with their meaning, those that fit the search alone."""
    wanted = st.text_input("Search", placeholder="any word, then Enter", key="help_search").lower()
    found = {name: text for name, text in GLOSSARY.items() if wanted in f"{name} {text}".lower()}
    if found:
        panels.facts(found)
    else:
        panels.empty("No word fits.", "Clear the search to see all of them.")


def going_live() -> None:
    """Draw what stands between this desk and real money."""
    st.markdown(
        "**No order of this program has ever reached a venue with real money.** Live accounts at "
        "Polymarket are proven against a fake of it only; each stays locked until its own steps "
        "are done (Settings, Live accounts). What must be true first:"
    )
    for text, possible in CHECKLIST:
        mark = ":material/check_box_outline_blank:" if possible else ":material/block:"
        st.markdown(f"{mark} {text}{'' if possible else ' (not possible yet)'}")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Help", "Written with the program; nothing here needs an engine")
    topic = st.segmented_control(
        "Topic", TOPICS, default=TOPICS[0], key="help_topic", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    if topic == TOPICS[0]:
        tour()
    elif topic == TOPICS[1]:
        panels.facts({one.page.title: about(one.about) for one in found_pages()})
    elif topic == TOPICS[2]:
        glossary()
    elif topic == TOPICS[3]:
        going_live()
    else:
        panels.facts(SHORTCUTS)


# -- The texts of the Help page: what is what, in plain words --

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
        "every gate, the quotes it wanted, risk's rules, the plan as a diff, and every record of "
        "its life.",
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


# -- The words of this desk: every term that stands on a page, in a sentence --

GLOSSARY = {
    "Account": "Money at one venue, in one mode. One executor alone writes its orders.",
    "Mode": "demo, paper or live. It belongs to the account; positions never cross.",
    "Bot": "A strategy with its markets, capital and parameters at an account.",
    "Wants": "The quotes a strategy wants, before ids, minimum sizes and complements.",
    "Gate": "A condition a strategy looks at, in order. The first that fails is why it does not "
    "quote.",
    "Rule of risk": "A limit on the account. It permits an order, shrinks it, or denies it.",
    "Plan": "What the executor makes of wanted quotes: orders to place, keep and cancel, and what "
    "is left over with its reason.",
    "Left over": "A part of wanted quotes that cannot be a legal order now: below the minimum, "
    "say.",
    "Volume 24 h": "Traded in the last 24 hours, in the currency, by the venue's listing.",
    "Rewards a day": "What a market pays a day to orders that rest near its mid, together.",
    "Ends / Category": "When and under what a venue lists a market; some trade on past it.",
    "Spread": "Best ask less best bid.",
    "History": "What the desk keeps on its disk under PITBOSS_DISK_BUDGET: how much it takes, how "
    "much a day, since when it is whole, and when the oldest of it goes.",
    "Takes / A day / Whole since / Until some goes": "See History.",
    "Forecast": "A fair value for Up, some time before the close, held against what happened.",
    "Brier / Log loss": "How wrong forecasts were: 0 is perfect. Brier is the mean squared error; "
    "log loss punishes certainty that was wrong. Less ours: another forecast's loss less ours.",
    "Moments": "Forecasts that were scored, one per market and time before the close. Those a "
    "parameter was chosen on are never scored.",
    "Less ours / Chosen on moments / Before the close / Up happened": "See Brier and Moments.",
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
    "Engine": "The program that trades. The dashboard only shows what it reports and leaves it "
    "commands.",
    "Venue": "An exchange or market place; here the demo exchange, and paper over its market.",
    "Market / instrument": "One thing that can be traded at a venue, with its tick, lot and end.",
    "Series": "Markets that follow each other, five minutes each for example: a bot rolls along.",
    "Capital": "The most a bot may put to work, in its account's currency.",
    "Cash": "Money of the account that is not in tokens.",
    "Strategy": "The rules that turn what is seen into wanted quotes. It never sends an order.",
    "Evaluation / decision": "One look of a strategy at one market: inputs, fair value, gates, "
    "wanted quotes. Alike ones in a row are one row with a count and a span.",
    "Fair value": "What the strategy holds a market to be worth now; it quotes around it.",
    "Microprice": "The middle of bid and ask, weighed by the sizes that stand there.",
    "Reference": "A fast price from elsewhere that leads the oracle.",
    "Oracle": "The price that decides how a market ends.",
    "Basis": "How far reference and oracle stand apart, and how surely that is known.",
    "Strike": "The price the oracle must reach at the end for YES.",
    "Volatility / sigma": "How much the price moves by itself; it must be watched before quoting.",
    "Regime": "The manner a strategy quotes in: quiet, trending, event, reduce only, halted.",
    "Book": "All bids and asks that rest in a market.",
    "Behind touch": "How far an order's price is behind the best of its side of the book: 0 is at "
    "the touch, below 0 in front of it.",
    "Earning": "Whether a resting order earns of its market's rewards now: inside the band around "
    "the mid, large enough, on both sides. Estimated by the venue's formula, at least.",
    "Bid / ask": "What somebody pays, what somebody wants. The best of both is the touch, their "
    "middle the mid.",
    "Quote": "A bid or an ask of ours that rests in the book.",
    "Price": "In cents for markets that pay 1.00, between 0\N{CENT SIGN} and 100\N{CENT SIGN}.",
    "Tick / lot": "The steps prices and sizes come in.",
    "Side / leg": "BUY or SELL, and of which token: YES or NO.",
    "Order": "One request to buy or sell, with a number of its own, named before it is sent.",
    "Post-only": "An order that may rest but never take: where it would, the venue refuses it.",
    "GTC / FAK / FOK": "Good till cancelled; take what is there and drop the rest; all at once or "
    "nothing.",
    "Pending (order)": "Written down, not sent yet.",
    "Sent": "The first byte has left; no answer yet.",
    "Delayed": "The venue holds it back for a moment; it cannot be cancelled meanwhile.",
    "Open / partial": "It rests in the book, whole or partly filled.",
    "Cancelling": "Its cancel was asked for; it may still fill until the venue confirms.",
    "Filled / cancelled / expired / rejected": "The ends of an order. Nothing follows but a late "
    "fill, which is booked all the same.",
    "Fill": "A part of an order that traded. One order may have many.",
    "Matched / mined / confirmed": "How far a fill is settled at the venue.",
    "Retrying / failed": "A settlement that did not go through yet, or never will: void.",
    "Void": "A fill the venue took back: reversed once, with its tokens and money.",
    "Liquidity": "Maker: ours rested and somebody took it. Taker: ours took. Takers pay fees.",
    "Fee": "What the venue keeps of a trade.",
    "Taped / inferred size": "Whether a fill's size was reported, or follows from the book's "
    "change.",
    "Equity": "Cash and what is held, at risk's marks.",
    "Peak": "The highest equity ever seen; a fall from it stops the account, a deeper one KILLs.",
    "PnL": "Profit and loss: realised and unrealised, less fees. Deposits are never PnL.",
    "Realised / unrealised": "Made by what was sold or paid out; and what holding would make at "
    "the mark.",
    "Bet": "All that one bot, or you by hand, did in one market with one account.",
    "Closed (bet)": "All its tokens are sold, or its market is resolved.",
    "Result": "How a closed bet ended: sold; merged into cash; won or lost by the tokens held at "
    "the outcome; even where both pay alike; voided where every fill of it was.",
    "Net": "What a closed bet brought: received and paid out, less spent and fees. Rewards are "
    "apart.",
    "Exit": "What a bet's tokens brought on average, sold or paid out.",
    "Transaction": "The hash on the chain by which a fill was settled; demo and paper have none.",
    "Cost": "What was paid for what is held.",
    "Value": "What is held, at its mark.",
    "Position / inventory": "The tokens an account holds in a market.",
    "Markout": "How the price stood some seconds after a fill, as seen from the side we took.",
    "Resolution": "The end of a market: YES pays 1.00 or nothing. Before it a result is "
    "unresolved and shown at mid.",
    "Redeemable": "Winners of a resolved market that are not paid yet: in equity, not in cash.",
    "Complement / merge": "YES and NO together are worth 1.00; a pair can be merged into cash.",
    "Feed": "A stream that tells what the market does. Its age is the time since it sent anything.",
    "Stale / blind": "Nobody knows how the market stands: no order is placed, what rests goes.",
    "Trusted": "A book without a gap; a torn one waits for a fresh copy.",
    "Cooldown": "A pause after a jump of the price or after refusals.",
    "KILL": "Cancels everything, proves it, and places nothing until it is released.",
    "Scoped kill": "A KILL of one account, bot or market leaves the others at work.",
    "Idle / stopped": "The bot does nothing and has no order.",
    "Starting / running": "It is about to trade, or trades.",
    "Pausing / paused": "Its quotes are withdrawn; resumed it quotes at once.",
    "Stopping": "Its orders are cancelled, and that is being proven.",
    "Risk_stopped / error": "Risk stopped it; or it raised, and stopped alone.",
    "Run": "One replay with what came of it.",
    "Replay": "A recording played through the same strategies, risk and executor that trade.",
    "Recording": "What feeds said of some markets, kept on the disk.",
    "Frame / event": "One message of a feed; one thing that happened, as it was understood.",
    "Gap": "A time nothing was received.",
    "Digest": "A fingerprint of everything a run did: the same digest is the same run.",
    "Job": "Long work done by the worker beside trading.",
    "Schedule": "What is asked for by the clock: minute, hour, day, month, weekday in UTC.",
    "Command": "What a page asks of the engine: queued, claimed, then done, refused or failed.",
    "Alert": "Something a person should look at: critical, warning or info.",
    "Record": "One line of the journal, with its number, its time and its checksum.",
    "Audit": "Who changed what, when; nothing is ever removed from it.",
    "Rewards": "Paid by the venue for days of resting orders; profit, and of no fill.",
    "Foreign order": "One of somebody else's at the same account: listed, left alone.",
}
