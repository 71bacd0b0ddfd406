"""`python -m tests.fakes.polymarket --port P`: the venue on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.fakes.polymarket.server import run
from tests.fakes.polymarket.settings import Settings


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.polymarket", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 = any free one")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same venue")
    parser.add_argument("--cash", type=float, default=10_000, help="pUSD a new wallet owns")
    parser.add_argument("--crowd", type=float, default=20, help="actions of others a second")
    parser.add_argument("--no-series", action="store_true", help="no rolling 5-minute market")
    parser.add_argument("--shelf", type=int, default=0, help="markets that are only listed")
    given = parser.parse_args()
    settings = Settings(seed=given.seed, faucet_micro=int(given.cash * 1_000_000))
    settings.shelf, settings.shelf_bad = given.shelf, True
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(settings, given.port, crowd_per_s=given.crowd, series=not given.no_series))


if __name__ == "__main__":
    main()
