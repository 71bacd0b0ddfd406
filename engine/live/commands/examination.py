"""The doctor on a running desk: asks the venue about a live account, beside the loop.

It uses the credential this engine was started with, locked or not, changes nothing at the venue and
places nothing. The verdict is in the state before the command is answered.
"""

from __future__ import annotations

import asyncio
import threading
from sqlite3 import Connection

from engine.domain.commands import Answered, ExamineAccount
from engine.domain.instruments import AccountId, Mode
from engine.domain.orders import Identity
from engine.errors import BadInput, NotSent, PitbossError
from engine.live.accounts import Accounts
from engine.live.commands.registry import Pending, command, part
from engine.live.engine import Engine
from engine.runtime.credentials import Credential
from engine.venues.registry import examined
from storage.database import reading
from storage.live_accounts import Examination, Examiner, identities, put_examination

LOOP_S_MAX = 5.0
"""How long the engine's loop may take to say which orders it knows."""


@part
class Examinations:
    """Examines one engine's live accounts, each once at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way: set[AccountId] = set()

    @command(ExamineAccount)
    def examine(self, command: ExamineAccount, who: str) -> Pending:
        """Ask about a live account; answered when the verdict is kept. Raises BadInput."""
        account, pending = command.account, Pending()
        reply = pending.done_or_failed
        credentials = self._credential(account)
        if account in self._under_way:
            raise BadInput(f"{account} is being examined already: its verdict comes in a moment")
        self._under_way.add(account)
        # A thread without a waiter: the engine's stop must not wait for a silent venue.
        threading.Thread(
            target=self._work, args=(account, credentials, who, reply), daemon=True, name="doctor"
        ).start()
        return pending

    def _credential(self, account: AccountId) -> Credential:
        settings = self._engine.settings.document.accounts.get(account)
        if settings is None or settings.mode is not Mode.LIVE:
            raise BadInput(f"{account!r} is not a live account in force: nothing to examine")
        opener = self._engine.part(Accounts).venues.openers.get((settings.venue, settings.mode))
        found = opener.keys.credential(account) if opener and opener.keys else None
        if found is None:
            raise BadInput(
                f"this engine was started without a credential for {account!r}: set it, then "
                "restart the engine (page Engine), or run "
                f"`python -m engine unlock {account} --check`"
            )
        return found

    def _work(self, account: AccountId, credentials: Credential, who: str, reply: Answered) -> None:
        engine, findings = self._engine, None
        loop = engine.ended.get_loop()
        text = f"{account} could not be examined: a bug in Pitboss, the engine's log says where"
        try:
            findings = asyncio.run(
                examined(engine.config, credentials, known=_Ours(engine, account))
            )
        except PitbossError as error:
            text = f"{account} could not be examined: {error}"
        finally:  # whatever ends this thread: the command is answered, and may be given again
            if findings is None:
                loop.call_soon_threadsafe(self._end, account, reply, False, text)
        if findings is None:
            return
        verdict = Examination(
            account=account,
            examiner=Examiner.DOCTOR,
            wallet=credentials.wallet,
            at_ns=engine.wall_ns(),
            who=who,
            findings=tuple(findings),
        )

        def keep(connection: Connection) -> None:
            put_examination(connection, engine.engine_id, verdict)
            loop.call_soon_threadsafe(self._end, account, reply, True, sentence(verdict))

        loop.call_soon_threadsafe(engine.state.write, keep)

    def _end(self, account: AccountId, reply: Answered, done: bool, text: str) -> None:
        self._under_way.discard(account)
        reply(done, text)


class _Ours:
    """The orders this engine knows of an account, as of now: it may be placing meanwhile."""

    def __init__(self, engine: Engine, account: AccountId) -> None:
        self._engine = engine
        self._account = account
        self._known: frozenset[str] = frozenset()

    def __contains__(self, name: object) -> bool:
        if name not in self._known:
            self._known = self._asked()
        return name in self._known

    def _asked(self) -> frozenset[str]:
        """Return the names the executor has, and those of the state. Raises NotSent."""
        engine = self._engine
        asked = asyncio.run_coroutine_threadsafe(self._named(), engine.ended.get_loop())
        try:
            named = asked.result(LOOP_S_MAX)
        except TimeoutError:
            raise NotSent("the engine did not report in time which orders are its own") from None
        with reading(engine.config.state_path) as connection:
            return named | identities(connection, engine.engine_id, self._account)

    async def _named(self) -> frozenset[Identity]:
        runner = self._engine.runners.get(self._account)
        names = () if runner is None else runner.core.executor.names()
        return frozenset(identity for _, identity in names)


def sentence(verdict: Examination) -> str:
    if verdict.green:
        return f"{verdict.account}: the doctor is green (findings: {len(verdict.findings)})"
    first = verdict.failures[0]
    more = len(verdict.failures) - 1
    rest = f" ({more} more to fix)" if more else ""
    return f"{verdict.account}: NOT green: {first.name}: {first.said}; {first.fix}{rest}"
