"""Errors, named by what we know and what we do about it.

PitbossError
├── BrokenInvariant       our code is wrong      → journal, cancel all, crash; start is recovery
│   └── InvalidTransition an order or fill moved outside its table
├── ConfigError           cannot start           → exit 2, no restart, the sentence is shown
├── BadInput              a file or value is unreadable → say where; nothing was changed
│   ├── BadRequest        the same, with a stable word for scripts
│   └── TookTooLong       a plug-in's code was interrupted → its own work ends
├── NotSent               no effect at the venue → may retry
├── OutcomeUnknown        sent, no answer        → order is UNKNOWN; ask, never resend
│   └── VenueDown         a maintenance page     → as above, and place nothing for a while
├── Throttled             refused, untouched     → wait `retry_after_ns`
├── VenueClosed           restarting, post-only, cancel-only, disabled → obey the mode
├── AuthRefused           cannot trade           → halt the account; a person must act
├── PluginFailed          a plug-in's code raised → its own work ends; everything else goes on
├── NoEngine              nobody there to do it  → start one; nothing was left
└── StorageError          the disk or database refused → say what to do; nothing was lost
    ├── AlreadyRuns       another program of this kind has the home → stop it first
    ├── JournalCorrupt    a record does not match its checksum
    └── LeaseLost         a later start has the account → this one places nothing any more

Values, not exceptions: `Denied` from risk, `OrderRejected` from a venue.
"""

from __future__ import annotations

import errno
import re


class PitbossError(Exception):
    """Base of all errors Pitboss raises on purpose."""


class BrokenInvariant(PitbossError):
    """Our own code is wrong: journal, cancel all, crash. Start is recovery."""


class InvalidTransition(BrokenInvariant):
    """An order or a fill was asked to move along an edge its table does not have."""


class ConfigError(PitbossError):
    """The engine cannot start with what it was given: exit code 2, no restart."""


class BadInput(PitbossError):
    """A file, frame or value cannot be read. The text says where and what to do."""


class BadRequest(BadInput):
    """A request cannot be done; `reason` is one stable word for scripts."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class TookTooLong(BadInput):
    """A plug-in's code took longer than its time and was interrupted; the text says where."""


class NotSent(PitbossError):
    """The request never reached the venue: no effect, may be retried."""


class OutcomeUnknown(PitbossError):
    """The request was sent and nothing answered: ask, never resend."""


class PluginFailed(PitbossError):
    """A plug-in's code raised what it did not name; the text says file, line and what it was."""


class VenueDown(OutcomeUnknown):
    """A proxy's or a maintenance page came in place of an answer: nothing else is placed now.

    `retry_after_ns` is how long the venue asks to wait; 0 = it did not say.
    """

    def __init__(self, text: str, retry_after_ns: int = 0) -> None:
        super().__init__(text)
        self.retry_after_ns = retry_after_ns


class NoEngine(PitbossError):
    """No engine runs that could do what was asked: nothing was left for one."""


class Throttled(PitbossError):
    """The venue refused untouched because of a rate limit."""

    def __init__(self, text: str, retry_after_ns: int) -> None:
        super().__init__(text)
        self.retry_after_ns = retry_after_ns


class VenueClosed(PitbossError):
    """The venue does not take this kind of request now; `mode` says what it still takes.

    `retry_after_ns` is how long the venue asks to wait; 0 = it did not say.
    """

    def __init__(self, text: str, mode: str, retry_after_ns: int = 0) -> None:
        super().__init__(text)
        self.mode = mode
        self.retry_after_ns = retry_after_ns


class AuthRefused(PitbossError):
    """The venue refuses our credential: halt the account, a person must act."""


class StorageError(PitbossError):
    """The disk or the database refused. The text says what to do; nothing was lost."""


class AlreadyRuns(StorageError):
    """Another program of this kind holds the home's lock."""


class JournalCorrupt(StorageError):
    """A journal record does not match its checksum."""


class LeaseLost(StorageError):
    """A later start of the engine has taken the lease: nothing of this one may be placed."""


_FULL = "the disk is full; free some space and do it again"
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "the disk is read-only; mount it writable, and see in `dmesg` why it is not",
    errno.EIO: "the disk failed; see `dmesg`, and do not trust it any further",
    errno.EACCES: "this user may not use it; check the owner and permissions of file and folder",
    errno.EPERM: "this user may not use it; check the owner and permissions of file and folder",
}


def reason_of(error: BaseException) -> str:
    """Return the stable word of an error: its own, or the name of its kind, as `bad_input`."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return str(getattr(error, "reason", "") or name)


def os_sentence(error: OSError) -> str:
    """Return what a refusal of the disk means and what to do; of anything else its own words."""
    advice = _ADVICE.get(error.errno or 0)
    about_files = error.filename is not None or error.errno in {errno.ENOSPC, errno.EDQUOT}
    if advice is None or not about_files:
        return str(error) or type(error).__name__
    return f"{error.filename or 'a file could not be written'}: {advice} ({error.strerror})"
