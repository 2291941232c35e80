from __future__ import annotations

import random

from tools.tabletop.queries import COLOUR_NAMES, LABELS, known_words, phrase


def test_training_asks_in_known_words_only() -> None:
    rng, known = random.Random(0), set(known_words())
    for _ in range(500):
        label = rng.choice([*LABELS, None])
        colour = rng.choice([*COLOUR_NAMES, None]) if label is not None else rng.choice(COLOUR_NAMES)
        assert set(phrase(rng, label, colour).split()) <= known


def test_a_query_keeps_its_colour_and_is_grammatical() -> None:
    rng = random.Random(1)
    texts = [phrase(rng, "mug", "orange") for _ in range(200)]
    assert all("orange" in text for text in texts)
    assert any("an orange" in text for text in texts)
    assert not any("a orange" in text for text in texts)
    assert {"mug", "cup"} <= {word for text in texts for word in text.split()}
