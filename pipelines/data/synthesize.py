"""Optional: a few conversations become many, written by an OpenAI-compatible endpoint of the creator's choice.

    expansion = expand(character, split, wanted=40, settings=Settings.from_environment())

Nothing is sent anywhere unless `UNDERSTUDY_LLM_URL` is set. What is sent: name, persona, style, facts and example
conversations; never pictures, and never the held-out split, which is only compared with here. New conversations that
repeat each other, the character's own, or a line of the held-out split are dropped and counted.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.core.character.character import Character, Interaction, TestSplit
from pipelines.core.character.system_prompt import system_text
from pipelines.core.formats.chat_formats import conversations_from_json
from pipelines.core.formats.json_text import parse_json
from pipelines.core.problems import CharacterProblems
from pipelines.core.settings import Settings
from pipelines.core.words import comparable_words, count_words, normalized_words

PER_REQUEST = 5
"""Conversations asked for at once; more tire the writer, fewer repeat the instructions."""

EXAMPLES = 4
"""Conversations of the creator shown in one request, others each time."""

MAX_ANSWER_BYTES = 4_000_000
RETRIES = 2
"""Times one request is repeated after the endpoint was busy or did not answer."""

SAME_WORDS_SHARE = 0.8
"""Two lines are copies when they share this part of all their different words (Jaccard)."""

SHORT_WORDS = 4
"""Lines of fewer words are no copies of each other: everyone says "Good morning"."""

INSTRUCTIONS = """You write training conversations for a role-play character.
Write {count} new conversations between a user and {name}. Each has two to four exchanges, begins with the user and
ends with {name}. Stay true to the persona, the way of speaking and the facts; invent no new facts about {name}.
Vary topics, moods and lengths; repeat none of the examples.
Answer with JSON lines only, one conversation a line, like
{{"messages": [{{"role": "user", "content": "..."}}, {{"role": "assistant", "content": "..."}}]}}"""


class SynthesizeError(Exception):
    """The endpoint is not set or does not answer usefully; the text says what to change."""


@dataclass(frozen=True)
class Synthesized:
    """What the endpoint wrote, sifted."""

    interactions: tuple[Interaction, ...]
    """New conversations, without pictures or scenes."""
    dropped: dict[str, int]
    """How many were left out, by reason: "duplicate", "copy of the test split", "unreadable answer"."""
    requests: int


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    # A redirect would carry the key to another host.
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def synthesize(
    character: Character, split: TestSplit | None, wanted: int, settings: Settings, seed: int = 0
) -> Synthesized:
    """Ask for new conversations until `wanted` are good or twice the expected requests are used up.

    Raises ExpandError when no endpoint is set, it refuses, or nothing it wrote can be used.
    """
    if not settings.llm_url:
        raise SynthesizeError("No endpoint is set, nothing was sent: set UNDERSTUDY_LLM_URL and UNDERSTUDY_LLM_MODEL")
    known = _Lines(_user_lines(character.interactions))
    replies = _Lines(_replies(character.interactions))
    held_out = _Lines(_held_out_lines(split))
    chosen = random.Random(f"expand {seed}")
    good: list[Interaction] = []
    dropped: Counter[str] = Counter()
    most = 2 * -(-wanted // PER_REQUEST)
    requests = 0
    while len(good) < wanted and requests < most:
        requests += 1
        answer = _ask(_request(character, chosen), settings)
        for interaction in _conversations(answer, dropped):
            openings, said = _user_lines([interaction])[:1], _replies([interaction])
            if any(held_out.has(turn.text) for turn in interaction):
                dropped["copy of the test split"] += 1
            elif any(known.has(line) for line in openings) or all(replies.has(line) for line in said):
                dropped["duplicate"] += 1
            else:
                good.append(interaction)
                known.add(openings)
                replies.add(said)
    if wanted and not good:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in dropped.items()) or "empty answers"
        raise SynthesizeError(f"{settings.llm_model} wrote nothing usable ({reasons}); try another model")
    return Synthesized(tuple(good[:wanted]), dict(dropped), requests)


class _Lines:
    # A set of lines that knows near copies; few hundred lines, so every pair is compared.
    def __init__(self, lines: Sequence[str]) -> None:
        self.words: list[frozenset[str]] = []
        self.texts: set[str] = set()
        self.add(lines)

    def add(self, lines: Sequence[str]) -> None:
        self.texts.update(normalized_words(line) for line in lines)
        self.words += [frozenset(comparable_words(line)) for line in lines]

    def has(self, line: str) -> bool:
        text = normalized_words(line)
        words = frozenset(comparable_words(line))
        if count_words(line) < SHORT_WORDS:
            return False
        return text in self.texts or any(
            len(words & other) >= SAME_WORDS_SHARE * len(words | other) for other in self.words
        )


def _user_lines(interactions: Sequence[Interaction]) -> list[str]:
    return [turn.text for turns in interactions for turn in turns if turn.role == "user"]


def _replies(interactions: Sequence[Interaction]) -> list[str]:
    return [turn.text for turns in interactions for turn in turns if turn.role == "character"]


def _held_out_lines(split: TestSplit | None) -> list[str]:
    if split is None:
        return []
    said = [turn.text for turn in itertools.chain.from_iterable(split.dialogues)]
    return said + [choice.question for choice in split.choices]


def _request(character: Character, chosen: random.Random) -> list[dict[str, str]]:
    examples = chosen.sample(character.interactions, min(EXAMPLES, len(character.interactions)))
    facts = chosen.sample(character.facts, min(20, len(character.facts)))
    roles = {"user": "user", "character": "assistant"}
    shown = [
        json.dumps(
            {"messages": [{"role": roles[turn.role], "content": turn.text} for turn in turns if turn.role in roles]},
            ensure_ascii=False,
        )
        for turns in examples
    ]
    known = "\n".join(f"- {fact.question} {fact.answer}" for fact in facts)
    told = f"{system_text(character)}\n\nFacts:\n{known}\n\nExamples:\n" + "\n".join(shown)
    return [
        {"role": "system", "content": INSTRUCTIONS.format(count=PER_REQUEST, name=character.name)},
        {"role": "user", "content": told},
    ]


def _conversations(answer: str, dropped: Counter[str]) -> Iterator[Interaction]:
    # The answer may wrap its lines into a code fence.
    lines = [line for line in answer.split("\n") if not line.strip().startswith("```")]
    try:
        interactions = conversations_from_json("\n".join(lines), "the answer").interactions
    except CharacterProblems:
        dropped["unreadable answer"] += 1
        return
    for turns in interactions:
        if turns[0].role == "user" and turns[-1].role == "character" and all(turn.text.strip() for turn in turns):
            yield turns
        else:
            dropped["unreadable answer"] += 1


def _ask(messages: list[dict[str, str]], settings: Settings) -> str:
    body = json.dumps({"model": settings.llm_model, "messages": messages, "temperature": 0.9}).encode()
    headers = {"Content-Type": "application/json"}
    if settings.llm_key:
        headers["Authorization"] = f"Bearer {settings.llm_key}"
    address = f"{settings.llm_url}/chat/completions"
    opener = urllib.request.build_opener(_NoRedirects)
    for attempt in range(RETRIES + 1):
        request = urllib.request.Request(address, data=body, headers=headers)
        try:
            with opener.open(request, timeout=settings.llm_timeout_s) as response:
                return _words(response.read(MAX_ANSWER_BYTES), address)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504) or attempt == RETRIES:
                mend = {
                    401: "check UNDERSTUDY_LLM_KEY",
                    403: "check UNDERSTUDY_LLM_KEY",
                    404: "check UNDERSTUDY_LLM_URL (it usually ends in /v1) and UNDERSTUDY_LLM_MODEL",
                }
                told = mend.get(error.code, "check UNDERSTUDY_LLM_URL, or try again later")
                raise SynthesizeError(f"{address} answered {error.code} {error.reason}: {told}") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == RETRIES:
                raise SynthesizeError(
                    f"{address} cannot be reached ({error}): is the server running, and UNDERSTUDY_LLM_URL right?"
                ) from error
        time.sleep(2**attempt * 0.5)
    raise AssertionError("every attempt returns or raises")


def _words(raw: bytes, address: str) -> str:
    try:
        content = parse_json(raw, address)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, CharacterProblems) as error:
        raise SynthesizeError(f"{address} did not answer like an OpenAI-compatible endpoint: check the URL") from error
    if not isinstance(content, str):
        raise SynthesizeError(f"{address} answered without text: choose a chat model in UNDERSTUDY_LLM_MODEL")
    return content
