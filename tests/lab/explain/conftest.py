from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.lab.simulate import simulated_account


@pytest.fixture(autouse=True, scope="module")
def one_owner_an_instrument() -> Iterator[None]:
    """Let each market have one owner: several have a test of their own, and more to plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_account, "SHARED", 0.0)
        patch.setattr(simulated_account, "GIVES", 0.0)
        yield
