"""A tour, the pages, a glossary, the way to real money, and shortcuts.

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
        panels.empty("No term matches.", "Clear the search to see all of them.")


def going_live() -> None:
    """Draw what stands between this desk and real money."""
    st.markdown(
        "**No order of this program has ever reached a venue with real money.** Live accounts at "
        "Polymarket have been tested against a simulated Polymarket only; each stays locked until "
        "its own steps are done (Settings, Live accounts). What must be true first:"
    )
    for text, possible in CHECKLIST:
        mark = ":material/check_box_outline_blank:" if possible else ":material/block:"
        st.markdown(f"{mark} {text}{'' if possible else ' (not possible yet)'}")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Help", "Part of the program; works without an engine")
    topic = st.segmented_control(
        "Topic",
        TOPICS,
        default=TOPICS[0],
        key="help_topic",
        required=True,
        label_visibility="collapsed",
    )
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
        "Engine, mode, engine status, equity, today's loss budget, open and unknown orders, the "
        "oldest feed, and KILL. If it turns grey and shows NO DATA, nothing on the page is "
        "current.",
    ),
    (
        "Watch the bots that trade already",
        "bots",
        "`make run` starts two on a demo exchange, with money that does not exist. Select one to "
        "see what it may do, why it quotes or does not, and its orders in the book.",
    ),
    (
        "Open an order and read why it was placed",
        "orders",
        "Select a row. The side panel shows what the strategy saw, how it arrived at its fair "
        "value, every gate, the quotes it wanted, the risk rules, the plan as a diff, and every "
        "record of the order.",
    ),
    (
        "Create your own bot",
        "bots",
        "Under Bots, Create a bot: an account, a market or a series, a strategy; then the review, "
        "and Create and start. What you typed is kept. While it is stopped, Change settings and "
        "Remove are below its figures.",
    ),
    (
        "Set a limit, and know how to stop",
        "risk",
        "Limits show how much of each is used now. Stop a bot under Bots; KILL cancels everything, "
        "proves it, and places nothing until you release it with a reason.",
    ),
)

CHECKLIST = (
    ("A connection tested at the venue itself, not at a simulated one", False),
    ("A channel that reaches you away from this screen, its test received (Alerts)", True),
    ("Paper trading over live feeds for weeks, with nothing unexplained in the journal", True),
    ("A key in the vault, for a wallet that holds no more than you can lose (Settings)", True),
    ("Doctor green, phrase typed, self-test green (Settings, Live accounts)", True),
    ("Limits you have set yourself, not the defaults (Risk)", True),
    ("You have used KILL once and read its receipt (Risk)", True),
    ("You have read why a bot placed its orders, and why it did not quote (Bots, Orders)", True),
    ("You know the other two ways to KILL: `python -m engine kill`, and a file named KILL", True),
)
"""(what, can it be done today)."""

SHORTCUTS = {
    "Ctrl+Shift+K": "the first click of KILL, also while you type; the second one is CONFIRM KILL",
    "Alt+N": "the next step of a new bot, from any field; what is typed in it is kept",
    "R": "redraws the page; not while you type",
    "Enter": "submits a filter or a text field",
    "Esc": "closes a menu or an enlarged table",
    "Ctrl+F in a table": "searches the table you clicked last",
    "Click on a column header": "sorts by it",
}


# -- The words of this desk: every term that stands on a page, in a sentence --

GLOSSARY = {
    "Data set": "Imported bars, trades or prices of one market, kept under data in the home. Each "
    "can be replayed like a recording, prices alone cannot.",
    "File": "A file of bars under data in the home. It is played as it is; its import makes a data "
    "set of it.",
    "Rows": "What a data set is made of: bars, trades, or prices without a size.",
    "Trust": "How far data can be believed: complete (nothing is missing), gaps (something is, and "
    "when), inferred (made by a law), unknown (rows that do not show what is missing).",
    "Direction": "Whether a strategy is meant to be long, short, both, or neutral (hedged): what a "
    "person said of it, no limit.",
    "Author": "Who a strategy comes from: Pitboss, or the plug-in of this name. Its version is a "
    "digest of its code in short: another one is other code, whose evidence does not count.",
    "Account": "Money at one venue, in one mode. A single executor places its orders.",
    "Mode": "demo, paper or live. It belongs to the account; positions never cross.",
    "Bot": "A strategy with its markets, capital and parameters, trading for one account.",
    "Owner": "Whose an order, its tokens and its PnL are: a bot, manual for what a person does, or "
    "unassigned for what no record says.",
    "Free to transfer": "Settled tokens of an owner that none of its working sells uses.",
    "Wants": "The quotes a strategy wants, before ids, minimum sizes and complements.",
    "Gate": "A condition a strategy checks, in order. The first that fails is why it does not "
    "quote.",
    "Risk rule": "A limit on the account. It allows an order, shrinks it, or denies it.",
    "Plan": "What the executor makes of wanted quotes: orders to place, keep and cancel, and what "
    "is left over, with the reason.",
    "Left over": "The part of wanted quotes that cannot be a legal order now (below the minimum, "
    "say).",
    "Volume 24 h": "Value traded in the last 24 hours, from the venue's listing.",
    "Rewards per day": "What a market pays per day, in total, to orders that rest near its mid.",
    "Ends / Category": "Both from the venue's listing; some markets trade past their end.",
    "Spread": "Best ask less best bid.",
    "History": "What the desk keeps on its disk under PITBOSS_DISK_BUDGET: its size and limit, "
    "growth per day, since when it is complete, and when its oldest part is pruned.",
    "Size / Limit / Per day / Complete since / Until pruning / Pruned so far": "See History.",
    "Forecast": "A fair value for Up some time before the close, compared with the outcome.",
    "Brier / Log loss": "How wrong forecasts were: 0 is perfect. Brier is the mean squared error; "
    "log loss punishes wrong certainty. Minus ours: another forecast's loss minus ours.",
    "Moments": "Scored forecasts, one per market and time before the close. Those used to choose a "
    "parameter are never scored.",
    "Minus ours / Fitted on moments / Before the close / Up happened": "See Brier and Moments.",
    "YES / NO": "The two legs of a market; the winning one pays 1.00. Buying NO at 40\N{CENT SIGN} "
    "is the same as selling YES at 60\N{CENT SIGN}.",
    "Settled / pending": "A fill is pending once matched, settled once the venue confirms it. "
    "Pending tokens cannot be sold, and the fill may still be reversed.",
    "UNKNOWN": "An order without an answer. The venue is asked about it; it is never sent again.",
    "Worst-case loss": "The most we can lose if everything we hold and everything that may still "
    "fill goes against us.",
    "Mark": "The price a holding is valued at. Risk uses the exit price, what we could sell at "
    "now; displayed PnL uses the mid, and says so.",
    "Loss budget": "The most that may be lost since 00:00 UTC. A restart does not reset it.",
    "Latch": "Set by KILL. No order is placed until a person releases it with a typed reason.",
    "Receipt": "The proof after a KILL or stop: two complete listings without any order of ours.",
    "Journal": "Every action is written here before it is done, with a checksum.",
    "Turns": "How long the engine needed for everything one moment brought, since it started.",
    "Heartbeat": "The engine's sign of life, each second. Old figures are called last known.",
    "Engine": "The program that trades. The dashboard shows its reports and queues commands for "
    "it.",
    "Venue": "An exchange or marketplace, such as Polymarket or the demo exchange.",
    "Market / instrument": "Something that can be traded at a venue, with its tick, lot and end.",
    "Series": "Markets in sequence, for example one every five minutes: a bot rolls to the next.",
    "Capital": "The most a bot may use, in its account's currency.",
    "Cash": "The account's money that is not in tokens.",
    "Strategy": "The rules that turn market data into wanted quotes. It never sends orders.",
    "Evaluation / decision": "One run of a strategy on a market: inputs, fair value, gates, wanted "
    "quotes. Identical ones in a row are one row with a count and a time span.",
    "Fair value": "What the strategy thinks a market is worth now; it quotes around it.",
    "Microprice": "The mid of bid and ask, weighted by their sizes.",
    "Reference": "A fast price from another exchange that leads the oracle.",
    "Oracle": "The price that decides how a market ends.",
    "Basis": "The gap between reference and oracle, and how certain it is.",
    "Strike": "The price the oracle must reach at the end for YES.",
    "Volatility / sigma": "How much the price moves; it is observed for a while before quoting.",
    "Regime": "How a strategy quotes now: quiet, trending, event, reduce only, halted.",
    "Book": "All bids and asks that rest in a market.",
    "Behind touch": "How far an order's price is behind the best price on its side of the book: 0 "
    "is at the touch, negative in front of it.",
    "Earning": "Whether a resting order earns its market's rewards now: inside the band around the "
    "mid, large enough, on both sides. A minimum, estimated by the venue's formula.",
    "Bid / ask": "What buyers pay, what sellers want. The best two are the touch, their middle is "
    "the mid.",
    "Quote": "A bid or an ask of ours that rests in the book.",
    "Price": "In cents for markets that pay 1.00, between 0\N{CENT SIGN} and 100\N{CENT SIGN}.",
    "Tick / lot": "The smallest steps of price and size.",
    "Held": "What a position holds, pending included: tokens of a market, or what a pair trades.",
    "Cannot be sold": "Why a holding is too small to be sold as it is: below the venue's least "
    "size or value of an order. *Positions* has the column where there is such a holding.",
    "Side / leg": "BUY or SELL, and of which token: YES or NO.",
    "Order": "One request to buy or sell, with its own number, identified before it is sent.",
    "Post-only": "An order that may rest but never take: if it would take, the venue refuses it.",
    "GTC / FAK / FOK": "Good till cancelled; fill and kill: fill what is there, drop the rest; "
    "fill or kill: all or nothing.",
    "Pending (order)": "In the journal, not sent yet.",
    "Sent": "On its way to the venue; no answer yet.",
    "Delayed": "The venue holds it for a moment; it cannot be cancelled until released.",
    "Open / partial": "It rests in the book, whole or partly filled.",
    "Cancelling": "Its cancel was requested; it may still fill until the venue confirms.",
    "Filled / cancelled / expired / rejected": "Final states of an order. Only a late fill can "
    "follow, and it is still booked.",
    "Fill": "A part of an order that traded. An order may have many fills.",
    "Matched / mined / confirmed": "How far a fill is settled at the venue.",
    "Retrying / failed": "Settlement has not gone through yet, or never will: void.",
    "Void": "A fill the venue reversed; its tokens and money were booked back once.",
    "Liquidity": "Maker: our order rested and was taken. Taker: ours took. Takers pay fees.",
    "Fee": "What the venue charges for a trade.",
    "In positions": "What is held of an asset in positions: equity counts it at its exit price.",
    "Beside equity": "What no position counts of an asset: dust of a fee taken in it, less fees "
    "paid in it for trades of something else.",
    "Rate": "What one unit of an asset brings in the account's currency, from which book, and how "
    "old that is. Missing or older than 60 s: the worth is unknown.",
    "Worth": "All of an asset, in positions and beside equity, times its rate; unknown without a "
    "fresh rate.",
    "Portfolio": "Equity of all accounts of one mode in USDC, by rates; what has none is named.",
    "Fee in asset": "A fee that was taken in another asset than the account's currency, exact: of "
    "what was traded (a buy brings so much less), or of a third asset such as BNB.",
    "Taped / inferred size": "Whether a fill's size was reported, or inferred from book changes.",
    "Equity": "Cash plus holdings at their exit price, what we could sell at now.",
    "Peak": "The highest equity so far; a fall from it stops the account, a deeper one of a live "
    "account sets KILL.",
    "PnL": "Profit and loss: realised, funding and unrealised, less fees. Deposits are never PnL.",
    "Realised / unrealised": "Made on what was sold or paid out; what the holdings would make at "
    "their mark.",
    "Bet": "Everything one bot, or you by hand, did in one market with one account.",
    "Round trip": "One way of an owner of a perpetual from flat through a long or a short back to "
    "flat. Ended: closed by a trade or a transfer, liquidated by the venue, or voided.",
    "Closed (bet)": "All its tokens are sold, or its market is resolved.",
    "Result": "How a closed bet ended: sold; merged into cash; won or lost by the tokens held at "
    "the outcome; even where both legs pay the same; voided where every fill was void.",
    "Net": "What a closed bet made: received and paid out, less spent and fees. Rewards are "
    "separate.",
    "Exit": "The average price at which a bet was sold or paid out, or a round trip was closed.",
    "Transaction": "The on-chain hash that settled a fill; demo and paper have none.",
    "Cost": "What was paid for the holdings.",
    "Value": "Holdings at their mark.",
    "Position / inventory": "The tokens an account holds in a market.",
    "Markout": "How far the price moved some seconds after a fill, from our side of the trade.",
    "Resolution": "The end of a market: YES pays 1.00 or nothing. Until then a result is "
    "unresolved and shown at mid.",
    "Redeemable": "Winning tokens of a resolved market not paid out yet: in equity, not in cash.",
    "Complement / merge": "YES plus NO is worth 1.00; a pair can be merged into cash.",
    "Long / short": "Held of a perpetual: a long gains as its price rises, a short as it falls. "
    "Nothing is paid for either; what it gains or loses is cash when it is closed.",
    "Perpetual": "A contract without an end, held long or short against margin.",
    "Margin": "What positions of perpetuals take of free cash: their value by the leverage.",
    "Must keep": "Maintenance margin: below it the venue closes the position, by its own tiers.",
    "Entry": "The average price of what is held, or of what opened a bet or a round trip.",
    "Liquidation": "The mark at which the venue takes a position over, estimated by its tiers with "
    "all cash of the account behind it; none: no price does that.",
    "Distance": "How far the mark may move until the liquidation, of the mark and in the price.",
    "Funding": "What longs and shorts of a perpetual pay each other; below 0: paid.",
    "Feed": "A stream of market data. Its age is the time since it last sent anything.",
    "Stale / blind": "The market's state is not known: no order is placed, resting ones are "
    "cancelled.",
    "Trusted": "A book without gaps; a broken one waits for a fresh copy.",
    "Cooldown": "A pause after a price jump or after refusals.",
    "KILL": "Cancels everything, proves it, and places nothing until it is released.",
    "Scoped kill": "A KILL of one account, bot or market; the others keep trading.",
    "Idle / stopped": "The bot does nothing and has no orders.",
    "Starting / running": "It is about to trade, or is trading.",
    "Pausing / paused": "Its quotes are withdrawn; when resumed it quotes at once.",
    "Stopping": "Its orders are being cancelled, and that is being proven.",
    "Risk_stopped / error": "Risk stopped it; or an error in the bot stopped it.",
    "Verdict (of a strategy)": "What replays over recorded data show, by rule: proven, candidate, "
    "harmless, loses or no data. It is computed, never typed in. Other code: it was computed with "
    "other code than runs, and does not count.",
    "Proven by / proven at": "Who computed a row of evidence, and when: this desk over its data, "
    "or Pitboss before it was shipped. What this desk found counts first.",
    "Tested (of a strategy)": "What it brought in a replay over recorded data, with its mean's "
    "interval; never a figure of an account.",
    "Traded / per": "In how many markets or days of a recording a strategy held something or "
    "traded; its mean is per one of them.",
    "First half / second half": "The mean of each half of the recording, in order of time.",
    "Interval from / interval to": "Where the true mean lies in 95 of 100 cases, by block "
    "bootstrap over markets or days.",
    "Holding / over holding": "What buying with the whole capital at the first bar and keeping it "
    "brought a day, without costs; what the strategy brought beyond that.",
    "Over it from / over it to": "Where the true mean of what it brings over holding lies in 95 of "
    "100 cases, by block bootstrap over days.",
    "Product / to": "What is traded (binary, spot, perpetual); where the recording ends.",
    "Indicator / fed with / unit": "A number computed from prices, trades, books or bars as they "
    "come; what it is computed from, and what it is an amount of.",
    "Setting / default / takes": "What can be chosen of an indicator, and within which bounds.",
    "Full name": "What the literature calls it.",
    "Rule": "Conditions under which a position is entered and left, as a document; the strategy "
    "`rules` runs it.",
    "Condition / right": "Two numbers a rule compares; left and right of the comparison.",
    "Version / kind": "Which version of a saved rule it is, counted from 1; saved here, or a "
    "template.",
    "Run / backtest": "One replay and its results.",
    "Sets tried": "How many sets of parameters a sweep played; the best of many is partly luck.",
    "Replay": "A recording played through the same strategies, risk and executor as in trading.",
    "Recording": "Feed data of some markets, kept on disk.",
    "Frame / event": "One message from a feed; one thing that happened, as it was read from it.",
    "Gap": "A time when nothing was received.",
    "Digest": "A fingerprint of everything a run did: the same digest is the same run.",
    "Tags": "Words a person put on a backtest to find it by.",
    "Job": "Long work the worker does alongside trading.",
    "Schedule": "What is started by the clock: minute, hour, day, month, weekday in UTC.",
    "Command": "What a page asks the engine to do: queued, claimed, then done, refused or failed.",
    "Alert": "Something a person should look at: critical, warning or info.",
    "Channel": "A way alerts leave the desk, such as e-mail, Telegram or a webhook. Its secret is "
    "sealed and never shown again.",
    "Message": "What a channel carries: one alert, a digest of several, or a test.",
    "Planned": "When the watch decided to send a message: at once, with a digest, or after quiet "
    "hours.",
    "Why (of a message)": "alert: it just happened; digest: its rule collects; again: it goes on; "
    "escalation: seen by no person in time; over: it ended; test: a person asked for it.",
    "State (of a message)": "waiting, sending, sent; failed: given up after its last attempt; "
    "dropped: it had ended, or was seen, before it was due.",
    "Attempts": "How often a channel was tried with a message; each failure makes the next wait "
    "longer.",
    "Refused because": "What the channel answered to the last attempt.",
    "Phase": "Of the engine's life: INIT (a process begins), LOADING (journal and settings), "
    "RECONCILING (each venue is asked), RUNNING, STOPPING (cancels and proves), STOPPED; RECOVERY: "
    "an error ended it, and everything is cancelled.",
    "Program / process": "Supervisor keeps the desk's programs running: engine, demo exchange, "
    "worker, watch, dashboard. A process is one run of a program, by the system's number.",
    "Report": "The flight report of a day, week or month: PnL per owner, fills, drawdown, "
    "markouts, limits, alerts, gaps, changed settings, what comes next. It stays as it was made.",
    "Period": "What a report covers: the last whole day, week from Monday, or month of your zone.",
    "Record": "One entry of the journal, with its number, time and checksum.",
    "Audit": "Who changed what, when; nothing is ever removed from it.",
    "Rewards": "Paid by the venue for resting orders, per day; profit that belongs to no fill.",
    "Foreign order": "Someone else's order at the same account: listed, left alone.",
}
