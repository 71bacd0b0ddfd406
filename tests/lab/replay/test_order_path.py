"""The budget of an order: see `bench.order_path`."""

from __future__ import annotations

import sys

import pytest

from bench.order_path import BUDGET, per_order


@pytest.fixture(scope="module")
def costs() -> dict[str, float]:
    return per_order()


def test_an_order_costs_no_more_records_than_its_budget(costs: dict[str, float]) -> None:
    assert costs["record"] <= BUDGET["record"], costs


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="bytecodes differ between versions")
def test_an_order_costs_no_more_steps_than_its_budget(costs: dict[str, float]) -> None:
    assert costs["opcode"] <= BUDGET["opcode"], costs
    assert costs["call"] <= BUDGET["call"], costs
