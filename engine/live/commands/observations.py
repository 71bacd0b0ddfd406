"""Outside information for the bots: by file, webhook, command or of a wallet, to who wants it.

Each account receives the keys its bots declare, every recording all. A bot that declares a key
later is given the last of it. Where a recording is played nothing is received: its own stand in it.
"""

from __future__ import annotations

import asyncio

import msgspec

from engine.caches.views import Observations, ObservedView
from engine.domain.commands.signals import Observe
from engine.domain.instruments import AccountId
from engine.domain.observed_events import Observed, observed
from engine.domain.wallets import KEY_BEGINS, WALLET, WalletTrade
from engine.errors import BadInput, NotSent, OutcomeUnknown, Throttled, os_sentence
from engine.gateway.lanes import TokenBucket
from engine.live.commands.registry import Answer, Done, Refused, command, part
from engine.live.engine import Engine
from engine.runtime.observations import ObservedFile, Webhook, parse_observed, webhook_token
from engine.runtime.wallets import WalletPlace, WalletTape, look, read_places
from engine.venues.registry import plugins
from storage.files import write_whole

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
        self._begun = False
        self._notes = engine.notes(ALERT)
        engine.watch_every(LOOK_NS, self.watch, on_tape=False)

    def watch(self, now_ns: int) -> None:
        """Open the doors once the engine runs; hand late bots what was observed before."""
        engine = self._engine
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
        if self._engine.plays_tape:
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


# -- The public trades of the wallets that bots follow: asked of their venues, handed on once each -
# A bot names a wallet by the key `wallet:VENUE/ADDRESS`. How far each was read is kept in the home
# before a trade is handed on.

WALLET_LOOK_S = 5.0
RATE_PER_S, BURST = 2, 10
"""Questions a second for all wallets; the index takes 20 of this kind (trading API, §3.3)."""
WATCH_NS = 1_000_000_000
PLACES = "wallets.json"


class MeteredTape:
    """A venue's list that is asked no faster than a bucket lets it."""

    def __init__(self, tape: WalletTape, bucket: TokenBucket, engine: Engine) -> None:
        self._tape, self._bucket, self._engine = tape, bucket, engine

    async def trades(self, address: str, cursor: str) -> tuple[list[WalletTrade], str]:
        """Return a page, as soon as there is room for a question; see `WalletTape`."""
        clock = self._engine.clock
        while not self._bucket.take(1, now_ns := clock.now_ns()):  # noqa: ASYNC110
            await asyncio.sleep((self._bucket.ready_ns() - now_ns) / 1e9)
        return await self._tape.trades(address, cursor)

    async def close(self) -> None:
        """Close the connections."""
        await self._tape.close()


@part
class WalletFeeds:
    """Follows the wallets that bots name. On the loop's thread alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted: list[str] = []
        self._begun = False
        self._places: dict[str, WalletPlace] = {}
        self._tapes: dict[str, MeteredTape] = {}
        self._bucket = TokenBucket(rate_per_s=RATE_PER_S, burst=BURST)
        self._notes = engine.notes(ALERT)
        engine.watch_every(WATCH_NS, self.watch, on_tape=False)

    def watch(self, _now_ns: int) -> None:
        """Learn which wallets are named; begin to follow with the first."""
        engine = self._engine
        keys = {key for one in engine.bot_runners.values() for key in one.bot.observes}
        named = (key.removeprefix(KEY_BEGINS) for key in keys if key.startswith(KEY_BEGINS))
        self._wanted = sorted(one for one in named if WALLET.fullmatch(one))
        if self._wanted and not self._begun:
            self._begun = True
            engine.spawn(self._follow)

    async def _follow(self) -> None:
        await asyncio.to_thread(self._read)
        try:
            while True:
                for wallet in self._wanted:
                    await self._look(wallet)
                await asyncio.sleep(WALLET_LOOK_S)
        finally:
            for tape in self._tapes.values():
                await tape.close()

    async def _look(self, wallet: str) -> None:
        """Look once at what a wallet traded; hand on what is new."""
        venue, _, address = wallet.partition("/")
        place = self._places.setdefault(wallet, WalletPlace())
        try:
            listed, more = await look(self._tape(venue), address, place)
        except (NotSent, OutcomeUnknown, Throttled, BadInput) as error:
            self._notes.add(f"the trades of {wallet} cannot be read: {error}")
            return
        fresh = place.take(listed)
        if more:
            self._notes.add(f"{wallet} traded more than can be read in one look: some is left out")
        if fresh and not await asyncio.to_thread(self._write):
            return
        doors, engine = self._engine.part(ObservedDoors), self._engine
        for one in fresh:
            doors.receive(one.observed(wallet, engine.said_ns()))

    def _tape(self, venue: str) -> MeteredTape:
        """Return where a venue lists trades. Raises BadInput where it does not."""
        if venue not in self._tapes:
            plugin = plugins().get(venue)
            if plugin is None or plugin.wallets is None:
                raise BadInput(f"{venue!r} lists no trades of wallets")
            tape = plugin.wallets(plugin.setup(self._engine.config))
            self._tapes[venue] = MeteredTape(tape, self._bucket, self._engine)
        return self._tapes[venue]

    # -- how far each was read, on a thread of its own ---------------------------------------------

    def _read(self) -> None:
        path = self._engine.config.observed_folder / PLACES
        try:
            self._places = read_places(path.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:
            self._notes.add(f"{path} cannot be read: {os_sentence(error)}")
        except BadInput as error:
            self._notes.add(f"{path}: {error}; it begins with what is traded from now on")

    def _write(self) -> bool:
        """Keep how far each was read; False = it cannot be, and nothing is handed on."""
        folder = self._engine.config.observed_folder
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            write_whole(folder / PLACES, msgspec.json.encode(self._places))
        except OSError as error:
            self._notes.add(f"{folder / PLACES} cannot be written: {os_sentence(error)}")
            return False
        return True
