"""Orders that the person at an account places by hand, beside its bots."""

from __future__ import annotations

from random import Random

from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.instruments import BotId, Instrument, Side
from engine.domain.intents import Urgency
from engine.lab.simulate.accounts import step_of, unit_of
from engine.lab.simulate.engine_run import EngineRun

HAND = 0.15
"""How often, per second, he places one."""

HAND_MARGINED = 0.4
"""How often where there is a perpetual."""

BETS = 0.7
"""Share of his orders that are of the perpetual, where there is one."""

TURNS = 0.15
"""With what share of these he thinks again about the side."""


class HandOrders:
    """One person's. On a perpetual he bets on one side for a while, so that his position grows."""

    def __init__(self, random: Random, *, margined: bool) -> None:
        self._random = random
        self._often = HAND_MARGINED if margined else HAND
        self._bets = Side.SELL

    @property
    def due(self) -> bool:
        """Draw whether he places one in this second."""
        return self._random.random() < self._often

    def draw(self, run: EngineRun) -> PlaceManual | None:
        """Return one, mostly for himself, now and then for a bot, who may refuse it."""
        assert run.engine is not None
        random = self._random
        views = [one for one in run.runner.core.cache.views.values() if one.mid2 and not one.closed]
        if not views:
            return None
        signed = [one for one in views if one.instrument.product.signed]
        view = random.choice(signed if signed and random.random() < BETS else views)
        terms = view.instrument
        leg = random.choice(terms.product.legs)
        owner = MANUAL
        if random.random() < 0.1:
            owner = BotId(random.choice(list(run.engine.bot_runners)))
        held = run.executor.ledger.owned(terms.id, owner).leg(leg).settled
        side = self._side(terms, held)
        assert view.mid2 is not None
        level = view.mid2 // 2 // terms.tick * terms.tick + random.randint(-4, 4) * step_of(terms)
        price = terms.product.level(leg, level)
        return PlaceManual(
            account=run.account,
            instrument=terms.id,
            leg=leg,
            side=side,
            owner=owner,
            price=max(terms.tick, price),
            size=random.randint(5, 40) * unit_of(terms),
            urgency=random.choice((Urgency.REST, Urgency.REST, Urgency.CROSS, Urgency.NOW)),
        )

    def _side(self, terms: Instrument, held: int) -> Side:
        sides = (Side.BUY, Side.SELL)
        if not terms.product.signed:
            return self._random.choice(sides) if held > 0 else Side.BUY
        if self._random.random() < TURNS:
            self._bets = self._random.choice(sides)
        return self._bets
