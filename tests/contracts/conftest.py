"""Pages are held to their contract among all other things."""

from __future__ import annotations

from tests.kit.parts_of_pages import _no_foreign_components  # noqa: F401 a fixture
