"""What every venue's plug-in must keep, whatever is inside: found by scan, an added one included.

A plug-in's declaration is judged as it stands; its market and its accounts live for a moment beside
the venue's fake, which is found by the venue's id (`tests/venues/fake.py`).
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import engine.venues
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.config import Config, load
from engine.contracts.things import check_venue
from engine.domain.catalog import ANY
from engine.domain.effects import CancelScope
from engine.domain.events import InstrumentListed
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import ConfigError
from engine.plugins import problems
from engine.runtime.account_runner import AccountRunner
from engine.runtime.credentials import Credential, Keys, environment_names
from engine.runtime.recovery import executor_of
from engine.runtime.venue_plugin import (
    AccountLink,
    AccountOpening,
    AccountSpec,
    VenuePlugin,
    url_key,
)
from engine.venues import registry
from storage.live_accounts import Unlock
from tests.kit.additions import ADDITIONS, in_the_rooms
from tests.kit.plugins import installed_from
from tests.venues.fake import Fake, fake_of
from tests.venues.services import AccountServices

ADDED = ADDITIONS / ("none" if in_the_rooms() else "plugins")
TOY = "engine.venues.toy" if in_the_rooms() else "plugins.toy.venue"


def scanned() -> dict[str, VenuePlugin]:
    """Return every venue there is, the added one among them."""
    with pytest.MonkeyPatch.context() as patch, installed_from(patch, ADDED):
        return dict(registry.plugins())


IDS = tuple(scanned())
TRADED = tuple(name for name, one in scanned().items() if one.market is not None)
"""Those with a market of their own."""
KEYED = tuple(
    name
    for name, one in scanned().items()
    if any(spec.credential_fields for spec in one.modes.values())
)
PATIENCE_S = 150.0


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the added venue, too."""
    with installed_from(monkeypatch, ADDED):
        yield


def plugin_of(name: str) -> VenuePlugin:
    return registry.plugins()[name]


def keyed(plugin: VenuePlugin) -> Iterator[AccountSpec]:
    return (one for one in plugin.modes.values() if one.credential_fields)


# -- the declaration -------------------------------------------------------------------------------


def test_every_folder_with_a_plugin_is_found() -> None:
    plugins, broken = registry.found()
    assert (sorted(plugins), broken) == (sorted(IDS), {})


@pytest.mark.parametrize("name", IDS)
def test_declaration_keeps_the_contract_of_a_venue(name: str) -> None:
    assert list(check_venue(plugin_of(name))) == []
    over_any = {
        mode for one in registry.plugins().values() if one.market is None for mode in one.modes
    }
    for mode, spec in plugin_of(name).modes.items():
        assert spec.link is not None or mode in over_any


@pytest.mark.parametrize("name", IDS)
def test_pages_are_told_what_is_declared(name: str) -> None:
    plugin = plugin_of(name)
    entry = plugin.entry()
    assert (entry.id, entry.title) == (plugin.id, plugin.title)
    assert [one.mode for one in entry.modes] == list(plugin.modes)


@pytest.mark.parametrize("name", IDS)
def test_address_is_known_to_the_configuration_and_a_given_one_wins(name: str) -> None:
    plugin = plugin_of(name)
    kinds = {key: one.url.partition("://")[0] for key, one in plugin.urls.items()}
    given = {key: f"{kind}://127.0.0.1/{key}" for key, kind in kinds.items()}
    assert plugin.setup(Config(), given).urls == given
    keyed_by = {url_key(name, key): key for key, one in plugin.urls.items() if one.meaning}
    config = load({env: given[key] for env, key in keyed_by.items()}, venues=registry.url_keys)
    found = plugin.setup(config).urls
    assert all(found[key] == given[key] for key in keyed_by.values())
    for env, key in keyed_by.items():
        wrong = load({env: "ftp://127.0.0.1"}, venues=registry.url_keys)
        with pytest.raises(ConfigError, match=f"{env}: must begin with {kinds[key].rstrip('s')}"):
            plugin.setup(wrong)


@pytest.mark.parametrize("name", IDS)
def test_credential_has_one_public_name_and_shows_nothing_else(name: str) -> None:
    for spec in keyed(plugin_of(name)):
        assert sum(not one.secret for one in spec.credential_fields) == 1
        secrets = {one.name: f"s3cret-{one.name}" for one in spec.credential_fields if one.secret}
        made = Credential(name, "who", secrets)
        for shown in (repr(made), str(made), f"{made}"):
            assert "s3cret" not in shown
        with pytest.raises(TypeError):
            pickle.dumps(made)
        named = set(environment_names(name, spec.credential_fields))
        assert named <= set(registry.secret_names())


@pytest.mark.parametrize("name", IDS)
def test_credential_that_cannot_be_right_is_refused_without_its_value(name: str) -> None:
    for spec in keyed(plugin_of(name)):
        for field in spec.credential_fields:
            assert field.wrong
            wrong = "" if field.pattern == ANY else "S3CRET!"
            with pytest.raises(ConfigError) as refused:
                field.check(wrong)
            assert "S3CRET!" not in str(refused.value)


def test_broken_folder_is_told_and_the_others_trade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "torn": "x = 1\nraise ValueError('half a file')",
        "empty": "",
        "demo": "from engine.venues.demo.plugin import PLUGIN",
        "other": f"from {TOY}.plugin import PLUGIN",
    }
    for name, text in texts.items():
        (tmp_path / name / "venue").mkdir(parents=True)
        (tmp_path / name / "venue" / "plugin.py").write_text(text)
    with installed_from(monkeypatch, ADDED, tmp_path):
        plugins, broken = registry.found()
        assert sorted(plugins) == sorted(IDS)
        assert "torn/venue/plugin.py:2: ValueError: half a file" in broken["torn"]
        assert "declares no PLUGIN" in broken["empty"]
        assert "there is a venue of this name already" in broken["demo"]
        assert "folder and id must be the same" in broken["other"]
        told = {one.plugin for one in problems()}
    assert told == set(texts)


def test_broken_folder_of_the_product_is_told_and_the_others_trade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "plugin.py").write_text("import package_nobody_installed\n")
    monkeypatch.setattr(engine.venues, "__path__", [*engine.venues.__path__, str(tmp_path)])
    with installed_from(monkeypatch, ADDED):
        plugins, broken = registry.found()
    assert sorted(plugins) == sorted(IDS)
    assert "plugin.py:1: ModuleNotFoundError" in broken["lacking"]


# -- beside its fake -------------------------------------------------------------------------------


class Opened:
    """One account of a plug-in, wired as an engine wires it."""

    def __init__(self, plugin: VenuePlugin, mode: Mode, fake: Fake, folder: Path) -> None:
        spec = plugin.modes[mode]
        self.settings = AccountSettings(name="mine", venue=plugin.id, mode=mode)
        keys = None
        if fake.credential is not None and spec.credential_fields:
            wallet = fake.credential.wallet.lower()
            kept = Unlock(account="mine", wallet=wallet, doctor_ns=1, phrase_ns=1, who="t")
            keys = Keys(
                plugin.id, spec.credential_fields,
                found={"mine": fake.credential}, unlocks={"mine": kept},
            )  # fmt: skip
        setup = plugin.setup(fake.config, fake.urls)
        self.opening = AccountOpening(setup, spec, keys)
        self.market = plugin.market(setup) if plugin.market else None
        self.services: Any = AccountServices(folder, fake.config)
        self.executor, _ = executor_of(self.settings, 1)
        self.executor.resume()
        desk = AccountCore(
            cache=MarketCache(), executor=self.executor, bots=(), decide=lambda _: None
        )
        wiring: dict[str, Any] = {
            "core": desk, "recorder": self.services.recorder, "clock": self.services.clock,
            "meter": self.services.meter, "alert": self.services.alert,
            "crash": self.services.crashes.append,
        }  # fmt: skip
        self.runner: AccountRunner = self.opening.runner(
            self.services, self.settings, self.executor, wiring
        )
        self.services.runners[self.runner.account] = self.runner
        desk.begin(self.services.clock.now_ns())
        self.tasks: list[asyncio.Task[None]] = []

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                assert self.services.crashes == []
                for task in self.tasks:
                    assert not task.done(), task.exception()
                self.runner.tick()
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.runner.close()
        for venue in self.services.venues.values():
            await venue.close()
        self.services.recorder.close()


def modes() -> list[tuple[str, Mode]]:
    """Return every mode of a venue whose accounts have a link of their own."""
    return [
        (name, mode)
        for name, one in scanned().items()
        for mode, spec in one.modes.items()
        if spec.link is not None and one.market is not None
    ]


@asynccontextmanager
async def opened(name: str, mode: Mode, folder: Path) -> AsyncIterator[Opened]:
    async with fake_of(name, plugin_of(name), folder) as fake:
        made = Opened(plugin_of(name), mode, fake, folder)
        try:
            yield made
        finally:
            await made.close()


@pytest.mark.parametrize(("name", "mode"), modes())
async def test_account_begins_blind_is_funded_and_may_place(
    name: str, mode: Mode, tmp_path: Path
) -> None:
    async with opened(name, mode, tmp_path) as account:
        assert account.opening.refusal(account.settings) == ""
        streams = account.opening.begin(account.settings, funded=False)
        assert {"user_feed", "heartbeat"} <= set(account.executor.unhealthy)
        account.tasks += [asyncio.ensure_future(stream()) for stream in streams]
        await account.until(lambda: account.executor.ledger.state.cash_settled_micro > 0)
        await account.until(lambda: not account.executor.recovering)
        await account.until(lambda: "user_feed" not in account.executor.unhealthy)


async def test_account_speaks_as_fast_as_its_venue_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = GatewaySettings(places_in_flight_max=1)
    given: list[Any] = []
    wired = AccountLink.wired

    def kept(self: AccountLink, gateway: dict[str, Any], wiring: dict[str, Any]) -> AccountRunner:
        given.append(gateway["settings"])
        return wired(self, gateway, wiring)

    monkeypatch.setattr(AccountLink, "wired", kept)
    plugin = plugin_of("toy")
    modes = {Mode.DEMO: replace(plugin.modes[Mode.DEMO], limits=slow)}
    made = Opened(replace(plugin, modes=modes), Mode.DEMO, Fake(Config(), {}), tmp_path)
    await made.close()
    assert given == [slow]


@pytest.mark.parametrize(("name", "mode"), modes())
async def test_door_alone_proves_that_nothing_is_open(
    name: str, mode: Mode, tmp_path: Path
) -> None:
    async with fake_of(name, plugin_of(name), tmp_path) as fake:
        made = Opened(plugin_of(name), mode, fake, tmp_path)
        if name == "demo":  # an account is there once an engine has opened it
            await made.services.venues[AccountId("mine")].open(1)
        door = await made.opening.venue(made.settings)
        assert door is not None
        try:
            await door.cancel_all(CancelScope())
            assert (await door.open_orders()).orders == ()
        finally:
            await door.close()
            await made.close()


@pytest.mark.parametrize("name", KEYED)
async def test_account_without_its_key_stays_closed_and_silent_in_words(
    name: str, tmp_path: Path
) -> None:
    plugin = plugin_of(name)
    spec = plugin.modes[Mode.LIVE]
    keys = Keys(name, spec.credential_fields)
    opening = AccountOpening(plugin.setup(Config(home=tmp_path)), spec, keys)
    settings = AccountSettings(name="mine", venue=name, mode=Mode.LIVE)
    for why in (opening.refusal(settings), opening.unaskable(settings)):
        assert "its key is missing" in why
        assert f"{name.upper()}_ACCOUNT" in why


@pytest.mark.parametrize("name", sorted({name for name, mode in modes() if mode is Mode.DEMO}))
async def test_market_is_told_to_whoever_joins(name: str, tmp_path: Path) -> None:
    async with opened(name, Mode.DEMO, tmp_path) as account:
        assert account.market is not None
        for stream in account.market.join(account.services, account.runner):
            account.tasks.append(asyncio.ensure_future(stream()))
        views = account.runner.core.cache.views
        await account.until(lambda: any(view.trusted for view in views.values()))
        assert all(key.startswith(f"{name}:") for key in views)
        assert any(isinstance(one, InstrumentListed) for one in account.services.kept)


@pytest.mark.parametrize("name", TRADED)
async def test_listing_is_told_in_a_sentence(name: str, tmp_path: Path) -> None:
    async with fake_of(name, plugin_of(name), tmp_path) as fake:
        plugin = plugin_of(name)
        assert plugin.market is not None
        services: Any = AccountServices(tmp_path, fake.config)
        summary = await plugin.market(plugin.setup(fake.config, fake.urls)).sync(services)
        services.recorder.close()
        assert "new" in summary
        assert services.kept or services.catalogued or "0 new" in summary


@pytest.mark.parametrize("name", KEYED)
async def test_doctor_answers_with_findings(name: str, tmp_path: Path) -> None:
    async with fake_of(name, plugin_of(name), tmp_path) as fake:
        found = await registry.examined(fake.config, fake.credential, frozenset())
        assert found
        assert all(one.said and (one.fix or one.grade == "ok") for one in found)
