"""The first password: `python -m pages.frame.operator` makes the operator and prints it once.

With `--renew` a lost password is replaced, which ends all sessions.
"""

from __future__ import annotations

import sys

from engine.config import Config
from engine.errors import PitbossError
from pages.kit.home import config, now_ns
from storage.schema import check_schema
from storage.users import OPERATOR, renew_password
from storage.users import ensure_operator as ensure


def ensure_operator(given: Config) -> str | None:
    """Make the operator where no one may sign in yet; give the password, once, else None.

    The state file must have been migrated. Raises StorageError.
    """
    check_schema(given.state_path)
    return ensure(given.state_path, now_ns())


def main(arguments: list[str]) -> int:
    """Print the first password, or a new one. Gives the exit code."""
    if arguments not in ([], ["--renew"]):
        print("usage: python -m pages.frame.operator [--renew]", file=sys.stderr)  # noqa: T201 a command's answer
        return 2
    try:
        given = config()
        password = ensure_operator(given)
        if password is None and arguments:
            password = renew_password(given.state_path, now_ns())
    except PitbossError as error:
        print(error, file=sys.stderr)  # noqa: T201 a command's answer
        return 4
    if password is None:
        print("there is an operator already; --renew sets a new password")  # noqa: T201 a command's answer
        return 1
    print(f"{OPERATOR} password (shown once): {password}")  # noqa: T201 a command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
