"""What every test that draws a page in its own process does without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.components.v2.component_manager import BidiComponentManager


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_components() -> Iterator[None]:
    """Look for parts of pages in no installed package: that is most of a page's first run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            BidiComponentManager, "discover_and_register_components", lambda *_, **__: None
        )
        yield
