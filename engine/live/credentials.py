"""Where the credentials of live accounts come from: the environment, and the vault.

Both are read once, at a start. The passphrase is taken out of the environment with the rest, or
typed; a vault that stays locked opens no account.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from engine.config import read_env_file
from engine.domain.catalog import CredentialField
from engine.errors import BadInput, ConfigError
from engine.live.handover import PASSPHRASE, keep_to_itself
from engine.live.vault import Unlocked, same, shared
from engine.runtime.credentials import Credential, LockedKey, environment_names
from engine.venues.registry import credential_names, credential_spec, plugins
from storage.vault import read_vault

NOWHERE = Path(os.devnull)


def take_all(
    environment: MutableMapping[str, str],
    file: Path,
    vault_path: Path,
    spared: dict[str, str] | None = None,
) -> dict[str, Credential]:
    """Return every credential by account, and remove what is secret from the environment.

    A locked vault adds none. Raises ConfigError with the sentence that mends it, BadInput where the
    vault or a credential in it cannot be read. Given `spared`, nothing is raised: what could not be
    read stands there as a sentence by account, under "" where it may be anybody's.
    """
    keep_to_itself()
    alone = dict(environment)
    passphrase, found = "", dict[str, Credential]()
    with sparing(spared):
        passphrase = take_passphrase(environment, file)
    with sparing(spared):
        found = take(environment, file)
    if spared and not found:
        with suppress(ConfigError):  # it is reported already; the environment alone may be whole
            found = take(alone, NOWHERE)
    for account, credentials in from_vault(vault_path, passphrase, spared).items():
        if account not in found:
            found[account] = credentials
            continue
        if spared is None or found[account].wallet != credentials.wallet:
            del found[account]
            with sparing(spared, account):
                raise ConfigError(
                    f"account {account!r} has a credential in the environment and one in the "
                    "vault: remove one of them"
                )
    if spared is None:
        _refuse_shared(found, locked_keys(vault_path, found))
    return found


def _refuse_shared(found: Mapping[str, Credential], locked: Mapping[str, LockedKey]) -> None:
    """Raise ConfigError where two accounts have one wallet or one key; it names both."""
    known: list[tuple[str, Credential | LockedKey]] = [*found.items(), *locked.items()]
    for (name, one), (other, two) in combinations(known, 2):
        keys = one.venue == two.venue and (
            isinstance(one, Credential)
            and isinstance(two, Credential)
            and not set(one.secrets().values()).isdisjoint(filter(None, two.secrets().values()))
        )
        if keys or same(one, two):
            raise ConfigError(shared(name, other))


@contextmanager
def sparing(spared: dict[str, str] | None, *accounts: str) -> Iterator[None]:
    """Note what is raised, whatever it is, for the accounts it concerns; None = let it through."""
    try:
        yield
    except Exception as error:
        if spared is None:
            raise
        for account in accounts or ("",):
            spared[account] = str(error) or type(error).__name__


def take_passphrase(environment: MutableMapping[str, str], file: Path) -> str:
    """Return the vault's passphrase from the environment or `.env`, once; empty = not given."""
    return environment.pop(PASSPHRASE, "") or read_env_file(file).get(PASSPHRASE) or ""


def locked_keys(
    path: Path, found: Container[str], spared: dict[str, str] | None = None
) -> dict[str, LockedKey]:
    """Return whose keys the vault holds that are not read yet, by account.

    `spared` as with `take_all`.
    """
    vault = None
    with sparing(spared):
        vault = read_vault(path)
    entries = {} if vault is None else vault.entries
    return {
        name: LockedKey(entry.venue, entry.wallet)
        for name, entry in entries.items()
        if name not in found
    }


def from_vault(
    path: Path, passphrase: str, spared: dict[str, str] | None = None
) -> dict[str, Credential]:
    """Return what the vault holds, by account; nothing where it is absent or stays locked.

    `spared` as with `take_all`.
    """
    vault, opened = None, None
    with sparing(spared):
        vault = read_vault(path)
    if vault is None or not vault.entries or not passphrase:
        return {}
    with sparing(spared, *vault.entries):
        opened = Unlocked(vault, passphrase)
    found: dict[str, Credential] = {}
    for account, entry in () if opened is None else vault.entries.items():
        with sparing(spared, account):
            found[account] = _judged(opened.open(account, entry))
    return found


def take(environment: MutableMapping[str, str], file: Path) -> dict[str, Credential]:
    """Return the credentials by account, and remove them from the environment.

    One account's of each venue fit into an environment. The environment wins over the `.env` file.
    Raises ConfigError with the sentence that mends it.
    """
    given = {name: environment.pop(name, "") for name in credential_names()}
    found = read_env_file(file)
    given = {name: value or found.get(name) or "" for name, value in given.items()}
    made: dict[str, Credential] = {}
    for plugin in plugins().values():
        for spec in plugin.modes.values():
            made |= _taken(plugin.id, spec.credential_fields, given)
    return made


def _taken(
    venue: str, fields: Sequence[CredentialField], given: Mapping[str, str]
) -> dict[str, Credential]:
    whose, *parts = environment_names(venue, fields)
    if not fields or not any(given[name] for name in (whose, *parts)):
        return {}
    must = [whose, *(name for name, one in zip(parts, fields, strict=True) if one.needed)]
    missing = [name for name in must if not given[name]]
    if missing:
        needed = f"{', '.join(must[:-1])} and {must[-1]}"
        raise ConfigError(f"a live account needs {needed}: {', '.join(missing)} is missing")
    values = {one.name: given[name] for name, one in zip(parts, fields, strict=True)}
    (wallet,) = (values.pop(one.name) for one in fields if not one.secret)
    return {given[whose]: _judged(Credential(venue, wallet, values))}


def _judged(credential: Credential) -> Credential:
    """Return a credential that may be right. Raises ConfigError, BadInput for a venue not here."""
    spec = credential_spec(credential.venue)
    if spec is None:
        raise BadInput(f"the venue {credential.venue!r} is not installed, but has a key")
    spec.check(credential)
    return credential
