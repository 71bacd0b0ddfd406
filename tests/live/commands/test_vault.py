"""A live account whose key lies in a locked vault, as processes against the venue's fake."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.config import Config
from engine.domain.commands import StartBot
from engine.domain.instruments import BotId
from engine.lab.incident.run import incident
from storage.commands import KILL_PROOF, STOP_PROOF, CommandState, Receipt
from tests.live.polymarket_programs import BOT, LivePrograms
from tests.live.programs import LONG_S

PASSPHRASE = "correct horse battery staple"
RESTS = "SELECT count(*) FROM orders WHERE state IN ('open', 'partial')"
TAKEN = "SELECT count(*) FROM orders WHERE state NOT IN ('pending', 'sent', 'rejected')"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[LivePrograms]:
    made = LivePrograms(tmp_path)
    made.fake()
    made.prepare()
    made.keep_in_vault(PASSPHRASE)
    yield made
    made.end()


def locked_engine(programs: LivePrograms) -> subprocess.Popen[bytes]:
    """Start an engine without the key; it beats with an unlock key of its own."""
    before = programs.unlock_key()
    engine = programs.engine(secret=False)
    programs.until(lambda: programs.unlock_key() not in ("", before), "it tells how it is")
    return engine


def dies_with_quotes_at_the_venue(programs: LivePrograms) -> int:
    """Live a life with the key, die in the middle of it; give how many quotes are left behind.

    The venue's own heartbeat does not act: nothing but a later life can account for them.
    """
    programs.hand("/settings", {"beat_timeout_s": 1e6})
    engine = programs.engine()
    assert programs.command(StartBot(bot=BotId(BOT))).state is CommandState.DONE
    programs.until(lambda: programs.rows(RESTS)[0][0], "it quotes")

    def caught() -> bool:
        """Stop it between two of its steps; where it was about to replace all, let it go on."""
        engine.send_signal(signal.SIGSTOP)
        if programs.open_orders():
            return True
        engine.send_signal(signal.SIGCONT)
        return False

    while True:
        programs.until(caught, "its quotes rest at the venue")
        engine.kill()
        engine.wait(150)
        if left := programs.open_orders():
            return left
        engine = programs.engine()  # the venue had yet to read that it cancels them all


def lived_again_the_same(programs: LivePrograms, at_ns: int) -> None:
    """What was decided after the opening follows from tape and journal, byte for byte."""
    compared = incident(
        Config(home=programs.home), at_ns=at_ns, around_ns=120 * 10**9, show=lambda *_: None
    ).compared
    assert compared.again, compared.notes
    assert compared.difference is None, compared.sentence()
    assert compared.effects


def ended(programs: LivePrograms, engine: subprocess.Popen[bytes]) -> Receipt:
    """Stop the engine; give its receipt."""
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(LONG_S) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    return receipt


@pytest.mark.long
def test_locked_engine_stops_and_claims_no_proof(programs: LivePrograms) -> None:
    left = dies_with_quotes_at_the_venue(programs)
    engine = locked_engine(programs)
    receipt = ended(programs, engine)
    assert not receipt.proven
    (account,) = receipt.accounts
    assert account.unknown >= left
    assert "the venue cannot be asked: its key lies in the vault, which is locked" in (
        receipt.sentence()
    )


@pytest.mark.long
def test_account_closed_at_the_start_is_recovered_by_opening_its_vault(
    programs: LivePrograms,
) -> None:
    dies_with_quotes_at_the_venue(programs)
    programs.forbid()
    closed_life = ended(programs, locked_engine(programs))
    assert (
        "NOT PROVEN: real: the venue cannot be asked: its key lies in the vault"
        in closed_life.sentence()
    )
    assert "orders of an earlier run may rest there" in closed_life.sentence()

    engine = locked_engine(programs)
    before = programs.rows(TAKEN)[0][0]
    closed = programs.open_vault(PASSPHRASE)
    assert "real stays closed: account 'real' is live and locked" in closed.answer

    programs.permit()
    opened = programs.open_vault(PASSPHRASE)
    assert opened.state is CommandState.DONE, opened.answer
    assert "the vault is open: real connects; real is recovered from " in opened.answer
    assert " without an end, and nothing is placed before" in opened.answer
    programs.until(lambda: programs.rows(TAKEN)[0][0] > before, "the bot quotes as it did")
    programs.until(
        lambda: programs.rows("SELECT state FROM bots") == [("running",)], "its bot runs"
    )
    receipt = ended(programs, engine)
    assert receipt.proven, receipt.sentence()
    assert (programs.live(), programs.open_orders()) == (0, 0)
    assert programs.problems() == []
    lived_again_the_same(programs, time.time_ns() - 5 * 10**9)


@pytest.mark.long
def test_account_recovered_under_a_kill_is_cancelled_and_proven_with_it(
    programs: LivePrograms,
) -> None:
    dies_with_quotes_at_the_venue(programs)
    programs.forbid()
    engine = locked_engine(programs)
    engine.send_signal(signal.SIGUSR1)
    programs.until(lambda: programs.receipt(KILL_PROOF), "the KILL has a receipt")
    killed = programs.receipt(KILL_PROOF)
    assert killed is not None
    assert (
        "NOT PROVEN: real: the venue cannot be asked: its key lies in the vault"
        in killed.sentence()
    )

    programs.permit()
    assert "real is recovered from " in programs.open_vault(PASSPHRASE).answer
    programs.until(
        lambda: (found := programs.receipt(KILL_PROOF)) and found.proven, "the KILL is proven"
    )
    proven = programs.receipt(KILL_PROOF)
    assert proven is not None
    assert [one.account for one in proven.accounts] == ["real"]
    assert programs.open_orders() == 0
    programs.until(lambda: programs.live() == 0, "every order has its end in the projection")
    programs.until(
        lambda: programs.rows("SELECT state FROM bots") == [("paused",)], "its bot is paused"
    )
    receipt = ended(programs, engine)
    assert receipt.proven, receipt.sentence()
    assert programs.problems() == []
