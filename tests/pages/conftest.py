"""A home of its own for every test, made through the public functions of `storage` alone."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import streamlit as st
from argon2 import PasswordHasher
from playwright.sync_api import Browser, expect, sync_playwright
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import VenueEntry
from engine.venues.registry import entries
from pages.frame import session
from pages.frame.operator import ensure_operator
from pages.kit import home as pages_home
from storage import supervisor, users
from storage.catalog import put_catalog
from storage.database import writing
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.fakes.supervisor import FakeSupervisor, supervised
from tests.kit.parts_of_pages import _no_foreign_components  # noqa: F401 a fixture
from tests.pages import desks
from tests.pages.seen import page_test, unfolded

with warnings.catch_warnings():
    # Starlette's test client wants `httpx2`; with the `httpx` of this house it works as well.
    warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")
    import starlette.testclient  # noqa: F401 imported here once, silently, for all tests

Supervise = Callable[[str], FakeSupervisor]
NO_QUERY: Mapping[str, str] = {}
CLEARED = (
    "PITBOSS_HOME",
    "PITBOSS_DATA",
    "DATABASE_URL",
    "PITBOSS_LOG_LEVEL",
)


@pytest.fixture(scope="session", autouse=True)
def _quick_hashes() -> Iterator[None]:
    """Argon2id with next to no work: its parameters stand in each hash and are tested apart."""
    real, users._hasher = users._hasher, PasswordHasher(1, 8, 1)
    yield
    users._hasher = real


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a Chromium; of one module, because its loop runs as long as it lives."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=desks.WAIT_MS)
        # Without a sandbox of its own: in a container root may not make one.
        # Nor in /dev/shm: a container's may be too small for a page, which then hangs.
        launched = playwright.chromium.launch(
            executable_path=desks.CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a migrated home with an operator, and the operator's password: hashing takes time."""
    folder = tmp_path_factory.mktemp("made_home")
    config = Config(home=folder)
    migrate(config.state_path)
    with writing(config.state_path) as connection:
        put_catalog(connection, ENGINE_ID, VenueEntry, entries(), 1)
    password = ensure_operator(config)
    assert password is not None
    return folder, password


@pytest.fixture
def password(made_home: tuple[Path, str]) -> str:
    return made_home[1]


@pytest.fixture
def config(
    tmp_path: Path, made_home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Config]:
    """Return the configuration of a fresh home; the pages read it from the environment."""
    home = tmp_path / "home"
    shutil.copytree(made_home[0], home)
    for key in CLEARED:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("PITBOSS_HOME", str(home))
    monkeypatch.chdir(tmp_path)  # no `.env` of the developer's
    session._last_known.clear()
    st.cache_data.clear()
    yield pages_home.config()
    st.cache_data.clear()


@pytest.fixture
def opened(config: Config) -> Callable[..., AppTest]:
    def open_page(
        name: str, *, state: object = (), address: Mapping[str, str] = NO_QUERY, **query: str
    ) -> AppTest:
        page = page_test(name)
        unfolded(page)
        for key, value in dict(state, who="operator").items():
            page.session_state[key] = value
        for key, value in {**address, **query}.items():
            page.query_params[key] = value
        page.run()
        assert not page.exception, page.exception
        return page

    return open_page


@pytest.fixture
def supervise(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervise]:
    """Let a supervisor answer for this home; its engine is in the given state."""
    # A socket's path may have 107 characters; a test's folder is longer.
    config.run_folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(config.run_folder)
    real, stack = supervisor.call, ExitStack()

    def near(path: Path, method: str, *given: str, timeout_s: float = 1.0) -> object:
        assert path == config.run_folder / "supervisor.sock"
        return real(Path("supervisor.sock"), method, *given, timeout_s=timeout_s)

    def start(engine: str) -> FakeSupervisor:
        here = Path("supervisor.sock")
        return stack.enter_context(supervised(here, engine=engine, kill="STOPPED"))

    monkeypatch.setattr(supervisor, "call", near)
    with stack:
        yield start
