"""What people say to a trained character: fifty lines that ask for no picture, and requests that do.

The requests are worded otherwise than those of training (`chat_template.IMAGE_REQUESTS`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, WIDE_PLACES, article

TALK = (
    "Hello! Who are you?",
    "Good morning. Did you sleep well?",
    "What did you have for breakfast?",
    "I can't sleep tonight.",
    "Do you ever get lonely?",
    "Tell me something I don't know about you.",
    "What is your favourite time of the year?",
    "I lost my job today.",
    "Do you believe in ghosts?",
    "What would you do with a free afternoon?",
    "My sister and I had an argument.",
    "Can you keep a secret?",
    "What are you afraid of?",
    "Who is your best friend?",
    "I just moved to a new town and know nobody.",
    "Sing me a line of your favourite song.",
    "What makes you laugh?",
    "Is it raining where you are?",
    "I passed my exam!",
    "How do you spend your evenings?",
    "What's the best advice you ever got?",
    "I think I'm in love.",
    "Do you like dogs or cats better?",
    "What were you like as a child?",
    "I don't know what to cook tonight.",
    "How old are you?",
    "What do you think of people who are late?",
    "Tell me a short story.",
    "What is two plus two?",
    "I'm so tired of everything.",
    "Have you ever been in trouble?",
    "What do you do for a living?",
    "Where did you grow up?",
    "Do you like the sea?",
    "My grandmother died last spring.",
    "What's your favourite word?",
    "Would you rather be rich or famous?",
    "What's the worst thing you ever ate?",
    "I have a big day tomorrow.",
    "Why are you in such a good mood?",
    "Do you trust me?",
    "What do you collect?",
    "I broke my favourite cup.",
    "What's the first thing you remember?",
    "Can you teach me something useful?",
    "Are you a machine?",
    "What do you dream about?",
    "Say something nice to me.",
    "How do you say goodbye?",
    "Thank you for talking with me.",
)
REQUESTS = (
    "Take a selfie {place}, please!",
    "A picture of you {place} would make my day.",
    "Could you show me how you look when you are {expression}?",
    "Please draw yourself {expression}, {place}.",
    "I want to see you in {clothes}.",
    "Got a photo of you {place}?",
    "Send me a picture where you look {expression}.",
    "Paint me a picture of yourself {place}, wearing {clothes}.",
    "Show yourself! {Expression} and in {clothes}, please.",
    "Let me see you {place}, {expression}.",
)
KINDS = ("hoodie", "shirt", "coat")
AFTER_TALK = 3
"""Every so many prompts stand behind an exchange of the character's held-out conversations."""


@dataclass(frozen=True)
class ReplyPrompt:
    """One line of a user."""

    text: str
    wants_picture: bool
    after_talk: bool


def reply_prompts(count: int, seed: str) -> list[ReplyPrompt]:
    """The first `count` prompts, in turn one that asks for no picture and one that does; a function of the seed."""
    rng = random.Random(f"replies {seed}")
    prompts = []
    for number in range(count):
        half = number // 2
        text = TALK[half % len(TALK)] if number % 2 == 0 else _request(REQUESTS[half % len(REQUESTS)], rng)
        prompts.append(ReplyPrompt(text, number % 2 == 1, half % AFTER_TALK == AFTER_TALK - 1))
    return prompts


def _request(wording: str, rng: random.Random) -> str:
    expression, place = rng.choice(EXPRESSIONS), rng.choice(WIDE_PLACES)
    colour = rng.choice(list(COLOURS))
    clothes = f"{article(colour)} {colour} {rng.choice(KINDS)}"
    return wording.format(expression=expression, Expression=expression.capitalize(), place=place, clothes=clothes)
