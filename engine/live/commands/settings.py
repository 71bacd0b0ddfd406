"""Settings on a live desk: a saved version put in force, a bot moved to its twin account."""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection

import msgspec

from engine.domain.bots import BotHappened
from engine.domain.commands import Answered, ApplySettings, SetMode
from engine.domain.effects import caution
from engine.domain.inputs import Automated
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.settings import AccountSettings, BotSettings, SettingsDocument
from engine.errors import BadInput, ConfigError
from engine.executor.executor import Executor
from engine.live.accounts import Accounts
from engine.live.capitals import settings_refusal
from engine.live.commands.registry import Pending, command, part
from engine.live.engine import Engine
from engine.runtime.bot_runner import BotRunner, S
from engine.runtime.recovery import automation, quote_life_ms
from engine.strategies.registry import build
from engine.venues.registry import expiry_refusal
from storage.commands import many
from storage.listed_markets import markets_judged
from storage.settings import SettingsVersion, applied, read, save_in_force

PROOF_NS_MAX = 20 * 1_000_000_000
"""How long a move waits for the proof that none of the bot's orders is open."""

NAMED_MAX = 5
"""Markets of a removed account that are named; the rest is counted."""


class AccountMove(msgspec.Struct):
    """A bot on its way to another account: it leaves when nothing of it is open."""

    bot_runner: BotRunner
    mode: Mode
    who: str
    since_ns: int
    answer: Answered


@part
class SettingsCommands:
    """Puts settings in force for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._leaving: list[AccountMove] = []
        engine.watchers.append(self.watch)

    # -- a saved version ---------------------------------------------------------------------------

    @command(ApplySettings)
    def apply(self, command: ApplySettings, _who: str) -> Pending:
        """Put a saved version in force: read it where files are read, then go on here."""
        engine, pending = self._engine, Pending()
        loop, answer = engine.ended.get_loop(), pending.done_or_refused

        def fetch(connection: Connection) -> None:
            try:
                version = read(connection, engine.engine_id, command.version)
                before, document = engine.settings.document, version.document
                if before.bots != document.bots:
                    given = connection, engine.engine_id, before, document, engine.wall_ns()
                    if why := markets_judged(*given).refusal:
                        raise BadInput(why)
                engine.part(Accounts).register(connection, version.document)
            except ConfigError as error:
                raise BadInput(str(error)) from error
            done, why = f"version {command.version} is in force", command.abandon.strip()
            loop.call_soon_threadsafe(lambda: self._apply(version, answer, done, why))

        engine.state.do(fetch, refused=lambda why: loop.call_soon_threadsafe(answer, False, why))
        return pending

    def _apply(
        self, version: SettingsVersion, answer: Answered, done: str, abandon: str = ""
    ) -> None:
        engine, document = self._engine, version.document
        now_ns = engine.clock.now_ns()
        abandoned = {} if not abandon else self._standing_closed(document)
        try:
            problem = self._problem(version, abandoned)
        except (BadInput, ConfigError) as error:
            problem = str(error)
        if problem:
            answer(False, problem)
            return
        self._abandon(abandoned, abandon, now_ns)
        closed = self._open_accounts(document, now_ns)
        for name, account in document.accounts.items():
            for known, runner in engine.runners.items():
                if known == name:
                    runner.core.limit(account.limits, now_ns)
                    # None = it is new, or was removed and is open since: all of it is news.
                    before = engine.settings.document.accounts.get(name)
                    if before is None or account.quote_life_s != before.quote_life_s:
                        runner.core.expire_quotes(quote_life_ms(account), now_ns)
                    if before is None or _by_itself(account) != _by_itself(before):
                        runner.receive(Automated(known, *automation(account)), now_ns)
        for name in [name for name in engine.bot_runners if name not in document.bots]:
            bot_runner = engine.bot_runners.pop(name)
            bot_runner.runner.core.remove(bot_runner.bot, now_ns)
        for name, settings in document.bots.items():
            current = engine.bot_runners.get(name)
            if current is not None and current.settings == settings:
                continue
            if current is None and self._waits(settings):
                continue  # its account is closed, as it was
            made = BotRunner(settings, engine.runners[AccountId(settings.account)])
            if current is not None:
                made.bot.state = current.bot.state
                current.runner.core.remove(current.bot, now_ns)
            engine.bot_runners[name] = made
            made.runner.core.add(made.bot, now_ns)
        engine.put_in_force(version)
        self._note(version, answer, "; ".join((done, *closed)))

    def _note(self, version: SettingsVersion, answer: Answered, done: str) -> None:
        """Note what the desk works by now: it is answered when the next start would know it."""
        engine, at_ns = self._engine, self._engine.wall_ns()
        soon = engine.ended.get_loop().call_soon_threadsafe

        def note(connection: Connection) -> None:
            applied(connection, engine.engine_id, version.version, at_ns)
            soon(answer, True, done)

        def refused(why: str) -> None:
            text = f"{done}, but only until the next start: this could not be saved: {why}"
            soon(answer, False, text)

        engine.state.do(note, refused=refused)

    def _open_accounts(self, document: SettingsDocument, now_ns: int) -> list[str]:
        """Open what is new; return why the rest stays closed."""
        engine, closed = self._engine, []
        for account in document.accounts.values():
            why = engine.part(Accounts).refusal(account)
            if why:
                closed.append(why)
            elif not engine.part(Accounts).is_open(account.name):
                engine.part(Accounts).open(engine, account, now_ns)
        return closed

    def _problem(self, version: SettingsVersion, abandoned: Mapping[str, str]) -> str:
        engine, document = self._engine, version.document
        problem = self._unsettled(version, abandoned)
        if problem:
            return problem
        for account in document.accounts.values():
            if account.quote_life_s and (why := expiry_refusal(account, account.quote_life_s)):
                return f"account {account.name}: {why}"
        for name, settings in document.bots.items():
            bot_runner = engine.bot_runners.get(name)
            if (
                bot_runner is not None
                and bot_runner.settings != settings
                and not _rests(bot_runner)
            ):
                return f"bot {name} is {bot_runner.bot.state}: stop it before its settings change"
            if bot_runner is None and self._waits(settings):
                continue  # nothing of it changes: it must not hold up a limit that is lowered
            if bot_runner is None or bot_runner.settings != settings:
                why = engine.part(Accounts).refusal(document.accounts[settings.account])
                if why:
                    return f"bot {name} cannot trade there: {why}"
                # raises BadInput where its parameters are wrong
                build(settings.strategy, settings.parameters, BotId(name))
        for name, bot_runner in engine.bot_runners.items():
            if name not in document.bots and not _rests(bot_runner):
                return f"bot {name} is {bot_runner.bot.state}: stop it before it is removed"
        return settings_refusal(engine, document)

    def _waits(self, settings: BotSettings) -> bool:
        engine = self._engine
        known = engine.settings.document.bots.get(settings.name)
        return known == settings and AccountId(settings.account) not in engine.runners

    def _unsettled(self, version: SettingsVersion, abandoned: Mapping[str, str]) -> str:
        """Return which account would lose what stands there, and how to go on; empty = none.

        A later start opens what the document names, where it names it: it would neither ask about
        the orders of the others nor count what they hold.
        """
        engine = self._engine
        for name in sorted(self._removed(version.document)):
            runner = engine.runners.get(AccountId(name))
            if runner is not None and (left := standing(runner.core.executor)):
                return f"account {name} cannot be removed, it still has {left}"
        for name, left in self._standing_closed(version.document).items():
            if name not in abandoned:
                return (
                    f"account {name} is not open and by the journal still has {left}: nobody would "
                    "watch that. Open it first; where its key is lost, look at its venue, then "
                    "remove it with a reason: python -m engine command apply-settings "
                    f"version={version.version} abandon=REASON"
                )
        return ""

    def _removed(self, document: SettingsDocument) -> set[str]:
        """Return which accounts in force a document leaves out."""
        return self._engine.settings.document.accounts.keys() - document.accounts.keys()

    def _standing_closed(self, document: SettingsDocument) -> dict[str, str]:
        """Return what stands at accounts that are left out and not open, in words."""
        found = {name: self._engine.part(Accounts).closed(name) for name in self._removed(document)}
        left = {name: standing(one) for name, one in sorted(found.items()) if one is not None}
        return {name: words for name, words in left.items() if words}

    def _abandon(self, abandoned: Mapping[str, str], reason: str, now_ns: int) -> None:
        """Report what no bot watches any more, and why."""
        for name, left in abandoned.items():
            text = f"account {name} was removed with {left}: {reason}. KILL still covers it"
            self._engine.alert(caution("settings", text, account=AccountId(name)), now_ns)

    # -- a twin account ----------------------------------------------------------------------------

    @command(SetMode)
    def set_mode(self, command: SetMode, who: str) -> Pending:
        """Move a STOPPED bot to its twin account of another mode. Raises BadInput."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        bot_runner = engine.bot_runners.get(command.bot)
        if bot_runner is None:
            known = ", ".join(sorted(engine.bot_runners)) or "none"
            raise BadInput(f"there is no bot {command.bot!r} in force; known: {known}")
        executor = bot_runner.runner.core.executor
        if command.mode is Mode.LIVE:
            raise BadInput("a bot is not moved to LIVE: create one at the live account")
        if command.mode is executor.mode:
            raise BadInput(f"bot {command.bot} trades in mode {command.mode} already")
        if bot_runner.bot.state is not S.STOPPED:
            raise BadInput(f"bot {command.bot} is {bot_runner.bot.state}: stop it first")
        if executor.proven(bot_runner.bot.name) is None:
            bot_runner.runner.core.prove(bot_runner.bot.name, now_ns)
        pending = Pending()
        answer = pending.done_or_refused
        self._leaving.append(AccountMove(bot_runner, command.mode, who, now_ns, answer))
        return pending

    def watch(self, now_ns: int) -> None:
        """Move bots of which it is proven that nothing is open."""
        for leaving in list(self._leaving):
            bot_runner = leaving.bot_runner
            proven = bot_runner.runner.core.executor.proven(bot_runner.bot.name) is not None
            if proven:
                self._move(leaving)
            elif now_ns - leaving.since_ns > PROOF_NS_MAX:
                waited = f"within {PROOF_NS_MAX // 1_000_000_000} s"
                leaving.answer(False, f"it was not proven {waited} that none of its orders is open")
            else:
                continue
            self._leaving.remove(leaving)

    def _move(self, leaving: AccountMove) -> None:
        """Save the version in which the bot trades at its twin, then put it in force."""
        engine, bot_runner, answer = self._engine, leaving.bot_runner, leaving.answer
        loop, now_ns = engine.ended.get_loop(), engine.clock.now_ns()
        opened = frozenset(engine.runners)
        held = len(bot_runner.runner.core.executor.ledger.held)
        settings = bot_runner.settings

        def moved(document: SettingsDocument) -> dict[str, object]:
            twin = twin_of(document, settings.account, leaving.mode)
            if twin not in opened:
                raise BadInput(
                    f"account {twin!r} is not open: restart the engine (page Engine) to open it"
                )
            return {"bots": {settings.name: {"account": twin}}}

        def change(connection: Connection) -> None:
            version = save_in_force(connection, engine.engine_id, moved, leaving.who, now_ns)
            twin = version.document.bots[settings.name].account
            done = (
                f"bot {settings.name} trades at {twin} ({leaving.mode}) from its next start; "
                f"what {settings.account} holds in {held} instruments stays there"
            )
            loop.call_soon_threadsafe(lambda: self._apply(version, answer, done))

        engine.state.do(change, refused=lambda why: loop.call_soon_threadsafe(answer, False, why))


def standing(executor: Executor) -> str:
    """Say what of an account still wants somebody who watches it; empty = nothing."""
    ledger, orders = executor.ledger, executor.may_rest(None)
    unsettled, operations = len(ledger.state.fills.unsettled), len(executor.wallet.state.operations)
    found = [many(orders, "order") + " that may rest"] if orders else []
    for what, markets in (("tokens", ledger.held), ("winners to redeem", ledger.redeemable)):
        if markets:
            named = ", ".join(sorted(markets)[:NAMED_MAX])
            more = f" and {len(markets) - NAMED_MAX} more" if len(markets) > NAMED_MAX else ""
            found.append(f"{what} in {named}{more}")
    found += [many(unsettled, "fill") + " to settle"] if unsettled else []
    if not executor.wallet.quiet:
        found.append(
            f"{many(operations, 'operation')} of its wallet without an end"
            if operations
            else "payments of markets without a result"
        )
    return "; ".join(found)


def twin_of(document: SettingsDocument, account: str, mode: Mode) -> str:
    """Return the account of another mode at the same venue. Raises BadInput unless there is one."""
    venue = document.accounts[account].venue
    found = [
        one.name
        for one in document.accounts.values()
        if one.venue == venue and one.mode is mode and one.name != account
    ]
    if not found:
        raise BadInput(f"there is no {mode} account at {venue}: create one in the settings first")
    if len(found) > 1:
        raise BadInput(
            f"{', '.join(found)} are all {mode} accounts at {venue}: choose in its settings"
        )
    return found[0]


def _rests(bot_runner: BotRunner) -> bool:
    return bot_runner.may(BotHappened.START_ASKED)


def _by_itself(account: AccountSettings) -> tuple[object, ...]:
    """Return what an account does with its wallet by itself."""
    return account.auto_redeem, account.redeem_above, account.merge_above
