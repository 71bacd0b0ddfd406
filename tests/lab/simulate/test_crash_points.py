"""Law K at every crash point: whatever a death leaves of the journal, a byte has left under a name.

One quiet world, lived again for each record its engine writes once it trades, and for each place
that may die between its commit and its first byte. The power cut takes what was not durable, or
nothing. The next life must know every order that reached the exchange under the name it has there.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.lab.simulate.world import MS, S, World, without_gc
from engine.log import silent
from storage.journal import decode

SEED = 3
TRADES_NS = 4 * S
"""In so long it has placed and cancelled a dozen times."""


class Extreme(Random):
    """Chance, but that a cut takes all it can or nothing."""

    uncut = False

    def randint(self, a: int, b: int) -> int:
        return b if self.uncut else a


def begin_run(home: Path, *, uncut: bool) -> tuple[World, SimulatedAccount, EngineRun]:
    world = World(SEED, faults=(), accounts=1)
    (account,) = world.accounts
    account.disk._random = chance = Extreme(SEED)
    chance.uncut = uncut
    account.begin(home)
    assert account.engine_run is not None
    return world, account, account.engine_run


def restarted(world: World, account: SimulatedAccount, dead: EngineRun) -> int:
    """Let it die and start again; count the orders the exchange has heard of, all known by name."""
    end_ns = world.exchange.now_ns + 30 * S
    while world.exchange.now_ns < end_ns:
        assert world._until(world.exchange.now_ns + 250 * MS), account.verdicts
        run = account.engine_run
        if dead.dead and run is not None and run.open and not run.executor.recovering:
            break
    else:
        pytest.fail("no second life trades")
    for number, order in account.side.arrived.items():
        known = run.executor.record(number)
        assert known is not None, f"order {number} is at the exchange and nobody knows it"
        assert known.identity == account.side.prepare(order).identity
    return len(account.side.arrived)


@pytest.mark.long
@pytest.mark.parametrize("uncut", [False, True], ids=["cut to what is durable", "all is written"])
def test_a_death_with_any_record_leaves_no_order_without_its_name(
    tmp_path: Path, *, uncut: bool
) -> None:
    with silent(), without_gc():
        world, account, _ = begin_run(tmp_path / "whole", uncut=uncut)
        assert world._until(world._begin_ns + TRADES_NS)
        kinds = [record.kind for record in account.disk.rows]
        account.close()
        points = range(kinds.index("PlaceOrder") + 1, len(kinds))
        assert {"PlaceOrder", "OrderAccepted", "CancelOrders", "OrderCancelled"} <= {
            kinds[point - 1] for point in points
        }
        arrived = []
        for point in points:
            world, account, run = begin_run(tmp_path / str(point), uncut=uncut)
            run.journal.dies_in = point
            arrived.append(restarted(world, account, run))
            account.close()
    assert max(arrived) > 10


@pytest.mark.long
def test_a_death_between_commit_and_first_byte_leaves_a_name_and_no_order(tmp_path: Path) -> None:
    with silent(), without_gc():
        for moment in range(12):
            world, account, run = begin_run(tmp_path / str(moment), uncut=False)
            assert world._until(world._begin_ns + 1_600 * MS + moment * 200 * MS)
            run.network.sending_dies = True
            restarted(world, account, run)
            asked = [decode(one) for one in account.disk.rows if one.kind == "PlaceOrder"]
            first = {one.order.id for one in asked if one.order.fence == 1}
            assert first - account.side.arrived.keys(), "it has its name and has never left"
            account.close()
