"""The way of a live account to its first order, as steps: which are done, and what is next. Pure.

A step counts as done only where something stored proves it, for the wallet that signs now.
"""

from __future__ import annotations

from typing import NamedTuple

from storage.examinations import Examination
from storage.live_accounts import Unlock


class AccountFacts(NamedTuple):
    """What is stored of one account."""

    account: str
    key_wallet: str
    """The wallet of the key in the vault; empty = the vault holds none."""
    doctor: Examination | None
    selftest: Examination | None
    unlock: Unlock | None
    engine_started_ns: int | None
    """When the engine that runs now was started; None = none runs."""
    beat_ns: int | None = None
    """When the account's last heartbeat was sent to its venue; None = never."""


class LiveStep(NamedTuple):
    """One step. `command` is what is typed on the machine, empty where nothing is."""

    name: str
    done: bool
    said: str
    command: str = ""


def steps(known: AccountFacts) -> tuple[LiveStep, ...]:
    """Return all steps in their order."""
    return (_key(known), _doctor(known), _phrase(known), _selftest(known), _restart(known))


def _key(known: AccountFacts) -> LiveStep:
    command = f"python -m engine credentials set {known.account} --wallet 0x…"
    if known.key_wallet:
        return LiveStep("Key", True, f"the vault holds one for {known.key_wallet}")
    if known.doctor is not None and known.doctor.wallet:
        # A verdict exists only where somebody signed: the key is in the engine's environment.
        said = f"not in the vault; one from the environment was used for {known.doctor.wallet}"
        return LiveStep("Key", True, said)
    return LiveStep(
        "Key", False, "the vault holds none: set it here under Credentials, or", command
    )


def _doctor(known: AccountFacts) -> LiveStep:
    command = f"python -m engine unlock {known.account} --check"
    verdict = known.doctor
    if verdict is None:
        return LiveStep("Doctor", False, "nobody has looked yet", command)
    if not _of_this_wallet(known, verdict.wallet):
        return LiveStep(
            "Doctor", False, f"the verdict is of another wallet, {verdict.wallet}", command
        )
    if not verdict.green:
        failed = ", ".join(one.name for one in verdict.failures)
        return LiveStep("Doctor", False, f"to mend: {failed}", command)
    return LiveStep("Doctor", True, "green")


def _phrase(known: AccountFacts) -> LiveStep:
    command = f"python -m engine unlock {known.account}"
    if known.unlock is None:
        said = "the account is locked; the phrase is typed on the machine, not here"
        return LiveStep("Phrase", False, said, command)
    if not _of_this_wallet(known, known.unlock.wallet):
        said = f"it was unlocked for another wallet, {known.unlock.wallet}"
        return LiveStep("Phrase", False, said, command)
    return LiveStep("Phrase", True, "unlocked")


def _selftest(known: AccountFacts) -> LiveStep:
    command = f"python -m engine selftest {known.account} --live"
    verdict = known.selftest
    if verdict is None or not _of_this_wallet(known, verdict.wallet):
        said = "one small real order, cancelled at once; stop the engine first"
        return LiveStep("Self-test", False, said, command)
    if not verdict.green:
        failed = ", ".join(one.name for one in verdict.failures)
        return LiveStep("Self-test", False, f"it failed at: {failed}", command)
    return LiveStep("Self-test", True, "green")


def _restart(known: AccountFacts) -> LiveStep:
    started = known.engine_started_ns
    if started is None:
        return LiveStep("Start", False, "no engine runs: start the desk")
    unlocked_ns = None if known.unlock is None else known.unlock.phrase_ns
    if unlocked_ns is not None and (known.beat_ns or 0) > max(started, unlocked_ns):
        return LiveStep("Start", True, "the engine has opened the account: it beats at its venue")
    if unlocked_ns is None or started < unlocked_ns:
        said = (
            "an engine reads keys and unlockings at its start, and when its vault is opened: "
            "restart it after the others, or open the vault under Credentials"
        )
        return LiveStep("Start", False, said)
    return LiveStep("Start", True, "the engine was started after the unlocking")


def _of_this_wallet(known: AccountFacts, wallet: str) -> bool:
    """Say whether a verdict is of the key in the vault; without one it cannot be compared."""
    return not known.key_wallet or wallet.lower() == known.key_wallet.lower()
