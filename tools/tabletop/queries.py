"""The words that the small model knows, and how it is asked for things in training."""

from __future__ import annotations

import random

from f3rm_core.evaluation.language import CANONICAL_NEGATIVES
from tools.tabletop.layout import BACKGROUND
from tools.tabletop.shapes import CLASSES
from tools.tabletop.surfaces import COLOURS

CLASS_NAMES = tuple(CLASSES)
COLOUR_NAMES = tuple(COLOURS)
LABELS = (*CLASS_NAMES, *BACKGROUND)
"""What a patch can be, in the order of the model's labels."""

SYNONYMS = {
    "mug": ("cup", "coffee mug"),
    "bowl": ("dish",),
    "bottle": ("wine bottle",),
    "teapot": ("tea pot", "kettle"),
    "ball": ("sphere",),
    "lamp": ("table lamp", "desk lamp"),
    "donut": ("doughnut", "ring"),
    "duck": ("rubber duck", "toy duck"),
    "table": ("wooden table", "tabletop"),
    "cloth": ("tablecloth", "placemat"),
    "floor": ("ground",),
    "wall": ("background", "wallpaper"),
    "purple": ("violet",),
}
TEMPLATES = ("{}", "{}", "a {}", "the {}", "a photo of a {}", "a photo of the {}", "a picture of a {}", "one {}")
ANY_OBJECT = ("object", "thing", "")
"""With a colour alone."""

ABSENT = (
    "elephant",
    "guitar",
    "car",
    "keyboard",
    "window",
    "person",
    "shoe",
    "tree",
    "cat",
    "phone",
    "banana",
    "apple",
)
"""Things that are in no scene: asked for in training, so that the model learns to find nothing."""


def phrase(rng: random.Random, label: str | None = None, colour: str | None = None) -> str:
    """A way to ask for a label, a colour, or both."""
    noun = rng.choice(ANY_OBJECT) if label is None else _word(rng, label)
    words = f"{_word(rng, colour)} {noun}".strip() if colour is not None else noun
    text = rng.choice(TEMPLATES).format(words)
    return text.replace("a orange", "an orange").replace("a elephant", "an elephant")


def known_words() -> list[str]:
    """Every word that a query of training can hold."""
    texts = [*TEMPLATES, *LABELS, *COLOUR_NAMES, *ANY_OBJECT, *ABSENT, *CANONICAL_NEGATIVES, "an"]
    texts += [text for words in SYNONYMS.values() for text in words]
    return sorted({word for text in texts for word in text.replace("{}", " ").split()})


def _word(rng: random.Random, word: str) -> str:
    """The word itself, or now and then a synonym."""
    synonyms = SYNONYMS.get(word, ())
    return rng.choice(synonyms) if synonyms and rng.random() < 0.35 else word
