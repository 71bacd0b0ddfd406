"""Settings put in force on a running desk: what they may not do while money stands."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.commands import ApplySettings
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import (
    AccountSettings,
    BotSettings,
    Limit,
    RiskLimits,
    SettingsDocument,
)
from engine.live.commands import settings as live_settings
from engine.live.commands.settings import SettingsCommands
from storage.commands import CommandState
from storage.settings import SettingsVersion
from tests.live.trading_desk import DEMO, Exchange, TradingDesk
from tests.storage.test_listed_markets import fetched

TIGHT = RiskLimits(order_value_max=Limit(absolute=1))


class Executor:
    def __init__(self) -> None:
        self.resting = 0
        fills = SimpleNamespace(unsettled={})
        self.ledger: Any = SimpleNamespace(
            held={}, redeemable={}, state=SimpleNamespace(fills=fills, instruments={})
        )
        self.wallet = SimpleNamespace(quiet=True, state=SimpleNamespace(operations={}))

    def may_rest(self, scope: None) -> int:
        assert scope is None
        return self.resting


class Desk:
    def __init__(self) -> None:
        self.executor = Executor()
        self.limits: RiskLimits | None = None

    def limit(self, limits: RiskLimits, _now_ns: int) -> None:
        self.limits = limits


class Accounts:
    """Opens demo accounts; the live one stays closed."""

    def __init__(self, runners: dict[Any, Any]) -> None:
        self._runners = runners
        self.outside: dict[str, Executor] = {}
        self.closed = self.outside.get

    def refusal(self, account: AccountSettings) -> str:
        return "account 'real' is locked" if account.mode is Mode.LIVE else ""

    def is_open(self, name: str) -> bool:
        return name in self._runners


class Engine:
    def __init__(self, document: SettingsDocument) -> None:
        self.engine_id = "one"
        self.settings = version(document)
        self.runners: dict[Any, Any] = {AccountId("demo"): SimpleNamespace(core=Desk())}
        self.bot_runners: dict[str, Any] = {}
        self.watchers: list[Any] = []
        self.accounts = Accounts(self.runners)
        self.clock = SimpleNamespace(now_ns=lambda: 1)
        self.state = SimpleNamespace(do=lambda job, **_: job(None))
        self.alerts: list[str] = []
        self.alert = lambda alert, _now_ns: self.alerts.append(alert.text)
        loop = SimpleNamespace(call_soon_threadsafe=lambda do, *given: do(*given))
        self.ended = SimpleNamespace(get_loop=lambda: loop)

    def wall_ns(self) -> int:
        return 1

    def part(self, _kind: type[Any]) -> Accounts:
        return self.accounts

    def put_in_force(self, settings: SettingsVersion) -> None:
        self.settings = settings


def version(document: SettingsDocument) -> SettingsVersion:
    return SettingsVersion(
        version=1, base_version=0, at_ns=0, who="", document=document, applied_ns=None
    )


def document(**changes: Any) -> SettingsDocument:
    demo = {"name": "demo", "venue": "demo", "mode": Mode.DEMO} | changes
    real = AccountSettings(name="real", venue="polymarket", mode=Mode.LIVE)
    bot = BotSettings(name="maker", strategy="market_maker", account="real", capital=1.0)
    return SettingsDocument(
        accounts={"demo": AccountSettings(**demo), "real": real}, bots={"maker": bot}
    )


def without_demo() -> SettingsDocument:
    whole = document()
    return SettingsDocument(accounts={"real": whole.accounts["real"]}, bots=whole.bots)


@pytest.fixture
def engine() -> Engine:
    return Engine(document())


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions that were noted as in force."""
    versions: list[int] = []
    monkeypatch.setattr(
        live_settings, "applied", lambda _c, _engine, version, _at_ns: versions.append(version)
    )
    return versions


def put(engine: Engine, wanted: SettingsDocument, abandon: str = "") -> tuple[bool, str]:
    answers: list[tuple[bool, str]] = []
    settings = SettingsCommands(engine)  # type: ignore[arg-type]
    answer = lambda done, text: answers.append((done, text))  # noqa: E731
    settings._apply(version(wanted), answer, "in force", abandon)
    (answer,) = answers
    return answer


def test_a_bot_at_a_closed_account_does_not_keep_limits_from_being_lowered(engine: Engine) -> None:
    done, text = put(engine, document(limits=TIGHT))
    assert done, text
    assert engine.runners[AccountId("demo")].core.limits == TIGHT
    assert engine.bot_runners == {}


def test_a_bot_that_is_new_at_a_closed_account_is_refused(engine: Engine) -> None:
    wanted = document()
    second = wanted.bots["maker"].model_copy(update={"name": "second"})
    wanted = wanted.model_copy(update={"bots": wanted.bots | {"second": second}})
    assert put(engine, wanted) == (
        False,
        "bot second cannot trade there: account 'real' is locked",
    )


STANDS = {
    "1 order that may rest": lambda executor: setattr(executor, "resting", 1),
    "tokens in demo:m1": lambda executor: executor.ledger.held.update({"demo:m1": 1}),
    "winners to redeem in a, b, c, d, e and 1 more": (
        lambda executor: executor.ledger.redeemable.update(dict.fromkeys("abcdef"))
    ),
    "2 fills to settle": lambda executor: executor.ledger.state.fills.unsettled.update(f=1, g=2),
    "payments of markets without a result": lambda executor: setattr(
        executor.wallet, "quiet", False
    ),
}


@pytest.mark.parametrize("left", STANDS)
def test_an_account_is_not_removed_while_anything_of_it_stands(engine: Engine, left: str) -> None:
    STANDS[left](engine.runners[AccountId("demo")].core.executor)
    refused = False, f"account demo cannot be removed, it still has {left}"
    assert put(engine, without_demo(), "a reason changes nothing where it is open") == refused


def test_an_account_without_anything_is_removed(engine: Engine) -> None:
    assert put(engine, without_demo())[0] is True


@pytest.mark.parametrize("left", STANDS)
def test_a_closed_account_with_anything_is_removed_for_a_reason_alone(
    engine: Engine, left: str
) -> None:
    engine.accounts.outside["real"] = executor = Executor()
    STANDS[left](executor)
    whole = document()
    without = SettingsDocument(accounts={"demo": whole.accounts["demo"]})
    done, text = put(engine, without)
    assert (done, left in text, "abandon=REASON" in text) == (False, True, True)
    assert engine.settings.document == whole

    assert put(engine, without, "its key is lost") == (True, "in force")
    (told,) = engine.alerts
    assert told == f"account real was removed with {left}: its key is lost. KILL still covers it"


def test_a_closed_account_without_anything_is_removed_without_a_reason(engine: Engine) -> None:
    engine.accounts.outside["real"] = Executor()
    assert put(engine, SettingsDocument(accounts={"demo": document().accounts["demo"]}))[0]
    assert not engine.alerts


def test_a_version_is_answered_when_it_is_noted_as_in_force(
    engine: Engine, noted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put(engine, document(limits=TIGHT))[0]
    assert noted == [1]

    def refuses(_job: object, refused: Any) -> None:
        refused("it cannot be held")

    monkeypatch.setattr(engine.state, "do", refuses)
    done, text = put(engine, document())
    assert not done
    assert "but only until the next start" in text


async def test_a_bot_saved_before_the_list_was_fetched_is_not_put_in_force_where_it_lacks_it(
    tmp_path: Path,
) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        desk.engine.runners[DEMO].core.executor.ledger.move_cash(2_000 * 10**6)
        bot = {**desk.engine.settings.document.bots["maker"].model_dump(mode="json")}
        bot |= {"name": "second", "instruments": ["demo:commet-visible-1"], "capital": 1}
        version = desk.edit({"bots": {"second": bot}}, base=1)
        fetched(tmp_path, finished_ns=desk.engine.wall_ns())
        left = await desk.command(ApplySettings(version=version))
        assert left.state is CommandState.REFUSED
        assert "demo lists no market demo:commet-visible-1" in str(left.answer)
        known = {"bots": {"second": bot | {"instruments": ["demo:comet-visible-1"]}}}
        left = await desk.command(ApplySettings(version=desk.edit(known, base=version)))
        assert left.state is CommandState.DONE, left.answer


async def test_an_account_that_is_added_again_takes_its_new_automation(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        account = desk.engine.settings.document.accounts[DEMO].model_dump(mode="json")
        again = account | {"merge_above": 5.0}
        removed = {"accounts": {DEMO: None}, "bots": {"maker": None}}
        for base, diff in enumerate((removed, {"accounts": {DEMO: again}}), 1):
            left = await desk.command(ApplySettings(version=desk.edit(diff, base=base)))
            assert left.state is CommandState.DONE, left.answer
        assert desk.engine.runners[DEMO].core.executor.wallet.merge_above == 5_000_000
