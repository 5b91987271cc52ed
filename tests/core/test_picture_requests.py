"""Which sentences ask for a picture, and what it shall show."""

from __future__ import annotations

import pytest

from pipelines.core.picture_requests import picture_request
from pipelines.data.chat_template import IMAGE_REQUESTS, LOOSE_REQUESTS

ASKED = {
    "Show me yourself laughing in the snow": "laughing, in the snow",
    "It is cold out here. Show me yourself laughing in the snow, please. How are you?": "laughing, in the snow",
    "Can you send me a picture of you on a beach?": "on a beach",
    "hey Nella, could you please draw a sketch of yourself asleep in your bed and tell me a joke": "asleep, in the bed",
    "draw you in the rain": "in the rain",
    "I want you to paint yourself as a pirate": "as a pirate",
    "Show me your angry face.": "angry",
    "Let me see your new coat!": "wearing a new coat",
    "Nella, show me your kitchen": "in the kitchen",
    "Show me Nella in space": "in space",
    "Draw a dragon": "with a dragon",
    "Tell me a story and show me a picture of you dancing in the rain while you hold an umbrella": (
        "dancing, in the rain, holding an umbrella"
    ),
    "I want a picture of you sitting on a chair in the snow because I miss you": "sitting, on a chair, in the snow",
    "I wish I could see you in that blue coat": "in that blue coat",
    "Can we see you dancing?": "dancing",
    "Would you mind sending me a picture?": "",
    "Another picture, please!": "",
    "selfie?": "",
    "Aye? Show me.": "",
    "Would love a picture of you at the beach!": "at the beach",
    "hi! pls send a pic of u in the snow": "in the snow",
    "What does Nella look like when she's angry?": "angry",
    "Let's see you in a wizard hat": "in a wizard hat",
    "What do you look like?": "",
    "Show me a happy picture of you": "happy",
    "Nella, a photo of you at the market please": "at the market",
}
NOT_ASKED = """I drew you a picture yesterday
Do you draw?
Please don't show me a picture of you
Don't draw yourself in the rain
Show me how to tie a knot
Show me you trust me
Show me the way home
What a nice picture!
Can I see you tomorrow?
I want to see you again
Who taught you to draw yourself?
I sit here and draw a picture of the sea
Thanks for the picture of you
What do you look like in this picture?
Did you send me a picture?
He said "show me yourself" and left
Can I show you a picture of my dog?
Let me draw you
Let me take a picture of you
Take a picture, it will last longer
I'd love to see your face when they find out
I can picture you laughing
Draw your own conclusions
If you show me a picture I will believe you
You never send pictures
draw your sword!
Draw the curtains, please.
Give me your hand
I'd like to see the sea
Picture this: a dark night"""


@pytest.mark.parametrize(("words", "look"), ASKED.items())
def test_a_direct_request_is_found_with_what_it_names(words: str, look: str) -> None:
    found = picture_request(words, "Nella Tarn")
    assert found is not None and found.look == look


@pytest.mark.parametrize("words", NOT_ASKED.splitlines())
def test_other_sentences_ask_for_none(words: str) -> None:
    assert picture_request(words, "Nella Tarn") is None


def test_every_request_of_the_training_is_one() -> None:
    look = "happy, wearing a red hoodie, on a beach"
    for wording in IMAGE_REQUESTS:
        found = picture_request(wording.format(description=look))
        assert found is not None and found.look == look, wording
    fields = {"expression": "angry", "clothes": "a red hoodie", "place": "on a beach"}
    for field, wording in LOOSE_REQUESTS.items():
        found = picture_request(wording.format(**fields))
        assert found is not None and fields[field] in found.look, wording


def test_a_long_message_is_read_quickly_and_a_look_stays_short() -> None:
    words = "Show me yourself " + "laughing and " * 150
    found = picture_request(words)
    assert found is not None and len(found.look.split()) <= 24
    assert picture_request("you show me a " * 200) is None
