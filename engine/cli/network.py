"""What the environment asks of every connection: proxies, exceptions from them, certificates.

Three libraries connect from here (httpx, aiohttp, websockets), and each reads the environment in
its own way, where a client is made. What one of them could not take is found here, before any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import ConfigError

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "SOCKS_PROXY")
SPOKEN = {"http", "https"}
CERTIFICATES = {"SSL_CERT_FILE": Path.is_file, "SSL_CERT_DIR": Path.is_dir}
NO_PROXY = "NO_PROXY"


def problems(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give each variable that no connection could be made with, and the sentence that says why.

    A proxy's address is not repeated: it may hold a password.
    """
    for name, value in environment.items():
        if name.upper() in PROXIES and value:
            why = _proxy_problem(value)
            if why:
                yield (
                    name,
                    (
                        f"{name} names {why}: unset it, or name an HTTP proxy as http://HOST:PORT "
                        "(SOCKS is not supported)"
                    ),
                )
        right = CERTIFICATES.get(name)
        if right is not None and value and not right(Path(value)):
            kind = "file" if name.endswith("FILE") else "folder"
            yield name, f"{name} names no {kind} that is there ({value}): unset or correct it"


def _proxy_problem(address: str) -> str:
    """Return why an address is no proxy that is spoken here; empty where it is one."""
    try:
        # As curl takes it: an address without a scheme is an HTTP proxy.
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "an address that cannot be read"
    if parts.scheme.lower() not in SPOKEN:
        return f"a proxy that is spoken to by {parts.scheme}"
    return "" if host else "no host"


def require_network(environment: MutableMapping[str, str], *, spared: bool) -> list[str]:
    """Refuse an environment no connection can be made in. Raises ConfigError.

    `spared`: KILL goes past what stands in its way. Such variables are taken out of `environment`
    and the sentences returned. In NO_PROXY `[::1]` becomes `::1`, the form all libraries read.
    """
    for name in (NO_PROXY, NO_PROXY.lower()):
        if "[" in environment.get(name, ""):
            environment[name] = environment[name].replace("[", "").replace("]", "")
    found = list(problems(environment))
    if found and not spared:
        raise ConfigError(". ".join(sentence for _, sentence in found))
    for name, _ in found:
        del environment[name]
    return [sentence for _, sentence in found]
