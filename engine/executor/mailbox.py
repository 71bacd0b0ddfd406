"""The mailbox: one slot per bot and instrument, the latest wish wins (law I).

Until rules for conflicts exist, a second bot on the same instrument and account is refused.
"""

from __future__ import annotations

from engine.domain.effects import Severity
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Basket, Quotes
from engine.executor.outbox import EffectOutbox
from engine.executor.questions import NEVER
from engine.executor.records import InstrumentState, Wish
from engine.executor.table import OrderTable

REFUSED_MAX = 1_000
"""Refused (bot, instrument) pairs that are remembered as already told."""


class Mailbox:
    """The wishes of one account, kept on the posts."""

    def __init__(self, table: OrderTable, outbox: EffectOutbox) -> None:
        self._table = table
        self._outbox = outbox
        self._refused: dict[tuple[BotId, InstrumentId], None] = {}

    def wish(self, wish: Wish, now_ns: int) -> None:
        """Take quotes or a target that stand alone."""
        del now_ns
        post = self._slot(wish.bot, wish.instrument)
        if post is not None:
            self._put(post, wish, None)

    def basket(self, basket: Basket, now_ns: int) -> None:
        """Take targets that only make sense together: all slots, or none."""
        del now_ns
        posts = [self._slot(basket.bot, target.instrument) for target in basket.targets]
        for post, target in zip(posts, basket.targets, strict=True):
            if post is None:
                return
            if target.bot != basket.bot:
                self._refuse(target.bot, target.instrument, f"is not {basket.bot}, its basket's")
                return
        for post, target in zip(posts, basket.targets, strict=True):
            if post is not None:
                self._put(post, target, basket)

    def _slot(self, bot: BotId, instrument: InstrumentId) -> InstrumentState | None:
        post = self._table.posts.get(instrument)
        if post is None:
            self._refuse(bot, instrument, "wishes for an instrument that was never listed")
            return None
        if post.bot != bot:
            if post.wish is not None or post.by_hand:
                self._refuse(bot, instrument, f"is the second one here, {post.bot} was first")
                return None
            post.bot = bot
            self._table.exposure.assign(instrument, bot)
        return post

    def _refuse(self, bot: BotId, instrument: InstrumentId, why: str) -> None:
        if (bot, instrument) in self._refused:
            return
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused[bot, instrument] = None
        self._outbox.alert(
            Severity.WARNING,
            "wish_refused",
            f"bot {bot} {why}; its wishes for {instrument} are ignored",
            instrument=instrument,
            bot=bot,
        )

    def _put(self, post: InstrumentState, wish: Wish, basket: Basket | None) -> None:
        table, old = self._table, post.wish
        if post.basket is not None:
            self._break_up(post.basket)
        post.wish = wish
        post.basket = basket
        if basket is None and _alike(wish, old):
            table.dirty.setdefault(wish.instrument, False)
        else:
            table.dirty[wish.instrument] = True
        until_ns = wish.valid_until_ns if basket is None else basket.valid_until_ns
        table.wake_ns = min(table.wake_ns, until_ns)

    def _break_up(self, basket: Basket) -> None:
        """See that the rest of a basket that lost a part is looked at: it is over."""
        for target in basket.targets:
            self._table.dirty[target.instrument] = True

    def withdraw(self, bot: BotId, instrument: InstrumentId | None) -> None:
        """Forget a bot's wishes, of one instrument or all; what rests goes with the next plan."""
        table = self._table
        posts = table.posts
        chosen = list(posts) if instrument is None else [instrument]
        for key in chosen:
            post = posts.get(key)
            if post is not None and post.bot == bot:
                if post.basket is not None:
                    self._break_up(post.basket)
                post.wish = post.basket = None
                table.dirty[key] = True
        self._refused = {pair: None for pair in self._refused if pair[1] not in chosen}

    def withdraw_all(self) -> None:
        """Forget every wish."""
        for key, post in self._table.posts.items():
            post.wish = post.basket = None
            self._table.dirty[key] = True

    def wake(self, now_ns: int) -> None:
        """Mark what time has changed: expired wishes, ended pauses. Sets the next such time."""
        table = self._table
        wake_ns = NEVER
        for key, post in table.posts.items():
            wish = post.wish
            if wish is None:
                continue
            until_ns = wish.valid_until_ns if post.basket is None else post.basket.valid_until_ns
            if until_ns <= now_ns or 0 < post.cooldown_ns <= now_ns:
                table.dirty[key] = True
                if until_ns <= now_ns:
                    continue
                post.cooldown_ns = 0
            wake_ns = min(wake_ns, until_ns, post.cooldown_ns or NEVER)
        table.wake_ns = wake_ns


def _alike(wish: Wish, old: Wish | None) -> bool:
    """Say whether a wish asks for the same orders as the one before it."""
    return (
        isinstance(wish, Quotes)
        and isinstance(old, Quotes)
        and wish.bids == old.bids
        and wish.asks == old.asks
    )
