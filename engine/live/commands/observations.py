"""Outside information for the bots: received by file, webhook or command, handed to who wants it.

Each account receives the keys its bots declare, every recording all. A bot that declares a key
later is given the last of it. Where a recording is played nothing is received: its own stand in it.
"""

from __future__ import annotations

import asyncio

import msgspec

from engine.caches.views import Observations, ObservedView
from engine.clock import TapeClock
from engine.domain.commands.signals import Observe
from engine.domain.instruments import AccountId
from engine.domain.observed_events import Observed, observed
from engine.errors import BadInput, os_sentence
from engine.live.commands.registry import Answer, Done, Refused, command, part
from engine.live.engine import Engine
from engine.runtime.observations import ObservedFile, Webhook, parse_observed, webhook_token
from storage.phases import RUNNING

FILE_LOOK_S = 0.2
LOOK_NS = 500_000_000
ALERT = "observed"
NO_BOT = "no bot listens to it"


@part
class ObservedDoors:
    """What is received from outside that is no price. On the loop's thread alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last = Observations()
        self._given: set[tuple[AccountId, str]] = set()
        """Accounts and the keys they have the last observation of, where there is one."""
        self._look_ns = 0
        self._begun = False
        self._notes = engine.notes(ALERT)
        engine.watchers.append(self.watch)

    def watch(self, now_ns: int) -> None:
        """Open the doors once the engine runs; hand late bots what was observed before."""
        engine = self._engine
        if now_ns < self._look_ns or engine.phase != RUNNING or type(engine.clock) is TapeClock:
            return
        self._look_ns = now_ns + LOOK_NS
        if not self._begun:
            self._begun = True
            engine.spawn(self._follow_file)
            if engine.config.signals_port:
                engine.spawn(self._listen)
        self._hand_late(now_ns)

    def receive(self, event: Observed) -> tuple[str, ...]:
        """Hand an observation to accounts and recordings; return the bots that listen to it."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        event = msgspec.structs.replace(event, at_ns=min(event.at_ns, now_ns))
        self._last.put(ObservedView(event=event, received_ns=now_ns))
        engine.meter.events(1)
        batch = (event,)
        wants = self._wants()
        for account, runner in engine.runners.items():
            if wants.get((account, event.key)):
                self._given.add((account, event.key))
                runner.market(batch, now_ns)
        for record in engine.unplaced:
            record(batch, now_ns)
        return tuple(
            bot for (_, key), bots in sorted(wants.items()) if key == event.key for bot in bots
        )

    def _wants(self) -> dict[tuple[AccountId, str], list[str]]:
        """Return which bots listen, by account and key."""
        wants: dict[tuple[AccountId, str], list[str]] = {}
        for name, one in self._engine.bot_runners.items():
            for key in one.bot.observes:
                wants.setdefault((one.runner.account, key), []).append(name)
        return wants

    def _hand_late(self, now_ns: int) -> None:
        wants = self._wants()
        self._given &= wants.keys()
        for place in sorted(wants.keys() - self._given):
            account, key = place
            last, runner = self._last.last(key), self._engine.runners.get(account)
            if last is not None and runner is not None:
                self._given.add(place)
                runner.market((last.event,), now_ns)

    # -- the doors ---------------------------------------------------------------------------------

    async def _follow_file(self) -> None:
        engine = self._engine
        path = engine.config.observed_folder / "inbox.jsonl"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self._notes.add(f"{path.parent} cannot be made: {os_sentence(error)}")
        file = ObservedFile(path, self._notes.add)
        await asyncio.to_thread(file.look)
        while True:
            for line in await asyncio.to_thread(file.look):
                try:
                    self.receive(parse_observed(line, path.name, engine.said_ns()))
                except BadInput as error:
                    self._notes.add(f"a line of {path.name} was refused: {error}")
            await asyncio.sleep(FILE_LOOK_S)

    async def _listen(self) -> None:
        """Serve the webhook; where it cannot be, a person hears why and the file goes on."""
        engine, port = self._engine, self._engine.config.signals_port
        forever = asyncio.Event()
        try:
            engine.config.observed_folder.mkdir(mode=0o700, exist_ok=True)
            token = webhook_token(engine.config.observed_folder / "token")
            await Webhook(token, self._posted, engine.clock.now_ns).serve(port, forever)
        except OSError as error:
            self._notes.add(
                f"the webhook cannot listen at 127.0.0.1:{port}: {os_sentence(error)}; set "
                "PITBOSS_SIGNALS_PORT to a free port and restart, or write to the file"
            )
        await forever.wait()

    def _posted(self, raw: bytes) -> dict[str, object]:
        event = parse_observed(raw, "webhook", self._engine.said_ns())
        return {"received": event.key, "bots": list(self.receive(event))}

    @command(Observe)
    def observe(self, asked: Observe, who: str) -> Answer:
        """Take one by command. Raises BadInput."""
        if type(self._engine.clock) is TapeClock:
            return Refused("a recording is played here: what was observed stands in it")
        now_ns = self._engine.said_ns()
        event = observed(
            asked.key,
            asked.value,
            at_ns=asked.at_ns or now_ns,
            trust=asked.trust,
            source=asked.source or who,
            now_ns=now_ns,
        )
        bots = self.receive(event)
        heard = f"handed to {', '.join(bots)}" if bots else NO_BOT
        return Done(f"{event.key} was received: {heard}")
