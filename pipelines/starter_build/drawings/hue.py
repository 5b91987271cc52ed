"""Pictures turned in hue, and captions without the words for colours.

A character whose colours no word describes can only be learned from pictures of it. So some are drawn in colours turned
by an angle, and none of their captions names a colour.
"""

from __future__ import annotations

import re

from PIL import Image

from pipelines.models.starter.vocabulary import COLOURS, CRITTER_COLOURS, HAIR_COLOURS, RARE_HAIR_COLOURS, SKINS

FULL_TURN = 256
"""Steps of hue in a whole turn."""
_PHRASES = {"pink cheeks": "round cheeks", "a gold medal": "a medal", "a pale belly": "a belly"}
_COLOUR_WORDS = sorted({*COLOURS, *HAIR_COLOURS, *RARE_HAIR_COLOURS, *CRITTER_COLOURS, *SKINS, "blonde", "golden"})
# Not inside a compound: "orange-red" goes as a whole, "blackboard" stays.
_COLOURS = re.compile(
    rf"(?<![\w-])({'|'.join(_COLOUR_WORDS)})(-({'|'.join(_COLOUR_WORDS)}))*(?![\w-])\s*", re.IGNORECASE
)
_ARTICLE = re.compile(r"\b([Aa])n? (?=(\w))")


def turn_hue(image: Image.Image, steps: int) -> Image.Image:
    """The RGB image with its hues moved by `steps` of `FULL_TURN`; greys, black and white stay."""
    if steps % FULL_TURN == 0:
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point([(step + steps) % FULL_TURN for step in range(FULL_TURN)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def without_colours(text: str) -> str:
    """The caption without its words for colours: "wearing an orange hoodie" -> "wearing a hoodie"."""
    for phrase, plain in _PHRASES.items():
        text = text.replace(phrase, plain)
    bare = _COLOURS.sub("", text)
    bare = _ARTICLE.sub(lambda found: f"{found[1]}{'n' if found[2].lower() in 'aeiou' else ''} ", bare)
    return re.sub(r"\s+(?=[,.]|$)", "", re.sub(r"\s{2,}", " ", bare)).strip()
