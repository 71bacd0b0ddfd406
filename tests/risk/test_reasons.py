from engine.risk.reasons import MEANINGS, DenyReason


def test_every_reason_has_one_sentence_in_the_order_of_the_gate():
    assert list(MEANINGS) == list(DenyReason)
    for sentence in MEANINGS.values():
        assert sentence.endswith(".")
        assert sentence[0].isupper()
        assert "\n" not in sentence
