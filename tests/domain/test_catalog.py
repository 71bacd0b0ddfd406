from __future__ import annotations

import pytest

from engine.domain.catalog import CredentialField
from engine.errors import ConfigError


def test_a_value_that_looks_wrong_is_refused_in_a_sentence_that_does_not_repeat_it() -> None:
    field = CredentialField(name="key", title="Key", pattern="[a-z]+")
    assert field.check("abc") == "abc"
    with pytest.raises(ConfigError) as refused:
        field.check("abc7")
    assert str(refused.value) == "it does not look right: copy it again, in full"
