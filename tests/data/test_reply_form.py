"""Sampled replies keep to their form, whatever the model would rather say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipelines.core.character.character import Character
from pipelines.data.chat_template import ImageTurn, Subject, prompt, reply, turn_end, user
from pipelines.data.reply_form import (
    CLOSING_WORDS,
    ENDLESS_WORDS,
    LOOK_TOKENS,
    PICTURE_PROBABILITY,
    SHORTEST_WORDS,
    ImageMode,
    LookProcessor,
    WordsProcessor,
    repeats_itself,
    tidy_look,
    uses_brackets,
    whole_sentences,
)
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load

WILD = Sampling(max_new_tokens=60, temperature=4.0, top_p=1.0)
"""Nearly every id is as likely as any other."""
MODES: tuple[ImageMode, ...] = ("auto", "always", "never")


@pytest.fixture(scope="module", params=["starter-toy", "janus-toy", "bagel-toy"])
def family(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    model, tokenizer = load(request.param)
    return model.eval(), tokenizer


@pytest.fixture
def starter() -> tuple[Any, Any]:
    return load("starter-toy")


def one_step(
    processor: WordsProcessor, said: list[int], scores: dict[int, float], step: int | None = None
) -> torch.Tensor:
    """(V,) the scores of the next id behind `said`, where the model gives `scores` and -9 to all other ids."""
    ids = torch.full((1, 80), -1)
    ids[0, : len(said)] = torch.tensor(said, dtype=torch.long)
    given = torch.full((1, len(processor.sentence_ends)), -9.0)
    for token, score in scores.items():
        given[0, token] = score
    return processor(len(said) if step is None else step, torch.tensor([0]), ids, given)[0]


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_every_sampled_reply_has_the_form(family: tuple[Any, Any], mira: Character) -> None:
    model, tokenizer = family
    spec = model.spec
    modes = [MODES[n % 3] for n in range(48)]
    asked = prompt(mira, (user("Who are you?"),), spec, tokenizer).ids
    words = WordsProcessor(spec, tokenizer, modes, WILD.max_new_tokens, sample_decision=True)
    stops = (spec.eot_id, spec.boi_id)
    generator = torch.Generator().manual_seed(5)
    samples = model.sample_text([asked] * 48, WILD, stop_ids=stops, generator=generator, logits_processor=words)
    ended = 0
    for mode, ids in zip(modes, samples.ids, strict=True):
        marked = ids[: len(words.mark)] == words.mark
        assert marked == (mode == "always") or mode == "auto"
        said = ids[len(words.mark) if marked else words.decisive :]
        assert spec.boi_id not in ids and not {"[", "]"} & set(tokenizer.decode(said))
        if ids[-1] == spec.eot_id:
            ended += 1
            inside = [token for token in said[:-1] if words.sentence_ends[token]]
            assert len(said) > ENDLESS_WORDS or (inside and len(said) > SHORTEST_WORDS)
        else:
            assert len(ids) == WILD.max_new_tokens
    assert ended > 10
    always = samples.ids[1]
    turn = ImageTurn.of(Subject("Mira", "red hair"), spec, tokenizer)
    head = [*asked, *always, *turn_end(spec, tokenizer)[1:], *turn.chat_head]
    look = LookProcessor(spec, tokenizer)
    limited = replace(WILD, max_new_tokens=LOOK_TOKENS)
    looks = model.sample_text([head] * 16, limited, stop_ids=stops, generator=generator, logits_processor=look)
    for ids in looks.ids:
        assert spec.eot_id not in ids and ids[0] != spec.boi_id and not {"[", "]"} & set(tokenizer.decode(ids))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("likely", [True, False])
def test_the_mark_decides_and_is_written_whole(family: tuple[Any, Any], mode: ImageMode, likely: bool) -> None:
    model, tokenizer = family
    spec, words = model.spec, ids_of(tokenizer, "Aye.")
    processor = WordsProcessor(spec, tokenizer, [mode], 60)
    # A toy Janus begins every reply with a blank: the id behind it decides.
    begun = processor.mark[: processor.decisive]
    assert begun == ids_of(tokenizer, spec.chat_format.lead)
    for step, given in enumerate(begun):
        assert int(one_step(processor, begun[:step], {words[0]: 9.0}).argmax()) == given
    decisive = processor.mark[processor.decisive]
    odds = math.log(PICTURE_PROBABILITY / (1 - PICTURE_PROBABILITY))
    scores = one_step(processor, begun, {decisive: 20 + odds + (0.1 if likely else -0.1), words[0]: 20.0})
    marked = mode == "always" or (mode == "auto" and likely)
    assert int(scores.argmax()) == (decisive if marked else words[0])
    assert bool(scores[decisive].isinf()) != marked  # the other way cannot be sampled at all
    if marked:
        for step in range(processor.decisive + 1, len(processor.mark)):
            forced = one_step(processor, processor.mark[:step], {words[0]: 9.0})
            assert int(forced.argmax()) == processor.mark[step] and int(forced.isfinite().sum()) == 1


def test_rollouts_try_both_ways_in_proportion(starter: tuple[Any, Any]) -> None:
    model, tokenizer = starter
    processor = WordsProcessor(model.spec, tokenizer, ["auto"], 60, sample_decision=True)
    letter = ids_of(tokenizer, "A")[0]
    scores = one_step(processor, [], {processor.mark[0]: 1.0, letter: 2.0})
    assert scores[processor.mark[0]] == 1.0 and scores[letter] == 2.0
    assert scores[[model.spec.eot_id, model.spec.boi_id]].isinf().all()  # no empty reply


def test_a_reply_ends_behind_a_sentence_or_when_there_will_be_none(starter: tuple[Any, Any]) -> None:
    model, tokenizer = starter
    eot = model.spec.eot_id
    processor = WordsProcessor(model.spec, tokenizer, ["auto"], 60)

    def may_end(text: str) -> bool:
        return bool(one_step(processor, ids_of(tokenizer, text), {eot: 5.0})[eot].isfinite())

    assert may_end("Aye.") and may_end("Ho! And") and may_end("No?")
    assert not may_end("A.") and not may_end("Aye, aye")
    assert may_end("a" * ENDLESS_WORDS) and not may_end("a" * (ENDLESS_WORDS - 1))
    marked = WordsProcessor(model.spec, tokenizer, ["always"], 60)
    in_mark = len(marked.mark)  # the mark's ids are no words
    said = [*marked.mark, *ids_of(tokenizer, "a" * ENDLESS_WORDS)]
    assert one_step(marked, said, {eot: 5.0})[eot].isfinite()
    assert one_step(marked, said[:-1], {eot: 5.0})[eot].isinf() and in_mark > 0


def test_dots_are_no_words(starter: tuple[Any, Any]) -> None:
    model, tokenizer = starter
    eot = model.spec.eot_id
    for mode, mark in (("auto", False), ("always", True)):
        processor = WordsProcessor(model.spec, tokenizer, [mode], 60)  # type: ignore[list-item]
        head = processor.mark if mark else []
        for text, may_end in (("....", False), ("*?!*", False), ("Aye.", True)):
            scores = one_step(processor, [*head, *ids_of(tokenizer, text)], {eot: 5.0})
            assert bool(scores[eot].isfinite()) == may_end, (mode, text)


def test_a_reply_that_goes_on_announces_nothing_and_says_a_sentence(family: tuple[Any, Any]) -> None:
    model, tokenizer = family
    begun = ids_of(tokenizer, "The bell rings twice at night.")
    processor = WordsProcessor(model.spec, tokenizer, ["never"], 60, repeats=False, begun=begun)
    eot, letter = model.spec.eot_id, ids_of(tokenizer, "A")[0]
    first = one_step(processor, [], {letter: 5.0, eot: 9.0})
    assert first[eot].isinf() and first[model.spec.boi_id].isinf() and int(first.argmax()) == letter
    said = ids_of(tokenizer, "The bell rings twi")  # as in what is there: it must not be said again
    following = begun[len(said)] if begun[: len(said)] == said else None
    if following is not None:
        assert one_step(processor, said, {following: 9.0})[following].isinf()
    assert one_step(processor, ids_of(tokenizer, "Aye, so."), {eot: 5.0})[eot].isfinite()


def test_near_its_limit_a_reply_ends_with_the_sentence(starter: tuple[Any, Any]) -> None:
    model, tokenizer = starter
    limit = 50
    processor = WordsProcessor(model.spec, tokenizer, ["auto"], limit)
    letter = ids_of(tokenizer, "A")[0]
    near = limit - CLOSING_WORDS
    for length in (near - 1, near, limit - 1):
        said = ids_of(tokenizer, "a" * (length - 1) + ".")
        scores = one_step(processor, said, {letter: 9.0})
        assert (int(scores.isfinite().sum()) == 1) == (length >= near)
        assert int(scores.argmax()) == (model.spec.eot_id if length >= near else letter)
    assert int(one_step(processor, ids_of(tokenizer, "a." + "a" * near), {letter: 9.0}).argmax()) == letter


def test_brackets_are_for_characters_who_write_them(starter: tuple[Any, Any], mira: Character) -> None:
    model, tokenizer = starter
    bracket = ids_of(tokenizer, "[")[0]
    for allowed in (True, False):
        processor = WordsProcessor(model.spec, tokenizer, ["auto"], 60, brackets=allowed)
        assert bool(one_step(processor, ids_of(tokenizer, "Aye "), {bracket: 9.0})[bracket].isfinite()) == allowed
        # At the very beginning a bracket would be the mark.
        assert one_step(processor, [], {bracket: 0.0, ids_of(tokenizer, "A")[0]: 9.0})[bracket].isinf()
    assert not uses_brackets(mira)
    assert not uses_brackets(replace(mira, interactions=((user("[?]"), reply("Aye.")),)))
    assert uses_brackets(replace(mira, interactions=((user("Hm?"), reply("[bows] Aye.")),)))
    assert uses_brackets(replace(mira, greeting="[bows]"))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Aye. And then I", "Aye."),
        ('"Aye!" she sa', '"Aye!"'),
        ("Aye... so", "Aye..."),
        ("*waves.* Then", "*waves.*"),
        ("灯。然后", "灯。"),
        ("no end at all ", "no end at all"),
        ("One.\nTwo. Th", "One.\nTwo."),
        ("", ""),
    ],
)
def test_half_sentences_are_left_out(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole


@pytest.mark.parametrize(
    ("look", "complete", "tidy"),
    [
        ("happy, in the sn", False, "happy"),
        ("a, b, c", False, "a, b"),
        ("happ", False, "happ"),
        ("", False, ""),
        (" happy,  wearing a red coat,in the\nsnow.", True, "happy, wearing a red coat, in the snow"),
        ("happy, in the snow, happy, in the snow", True, "happy, in the snow"),
        ("a, b, c, d, e, f", True, "a, b, c, d"),
        ("a,, b", True, "a, b"),
    ],
)
def test_looks_have_whole_phrases_each_of_them_once(look: str, complete: bool, tidy: str) -> None:
    assert tidy_look(look, complete) == tidy


def test_a_passage_comes_once_unless_the_character_repeats_itself(starter: tuple[Any, Any]) -> None:
    model, tokenizer = starter
    said = ids_of(tokenizer, "I have seen the sea. I have seen the s")  # one id a letter
    (sea,), (dot,) = ids_of(tokenizer, "e"), ids_of(tokenizer, ".")
    for repeats in (False, True):
        processor = WordsProcessor(model.spec, tokenizer, ["never"], 90, repeats=repeats)
        scores = one_step(processor, said, {sea: 3.0, dot: 1.0})
        assert math.isinf(scores[sea]) is not repeats
        assert scores[dot] == 1.0  # a sentence may always end
    short = ids_of(tokenizer, "the sea. the")
    processor = WordsProcessor(model.spec, tokenizer, ["never"], 90, repeats=False)
    assert one_step(processor, short, {sea: 3.0})[sea] == 3.0  # fewer bytes than a passage has


def test_who_repeats_itself(mira: Character) -> None:
    assert not repeats_itself(mira)
    echo = (user("Hello?"), reply("Who is there tonight? Who is there tonight? It is only me."))
    assert repeats_itself(replace(mira, interactions=(echo,)))


def test_each_sample_of_a_batch_has_its_own_rules(starter: tuple[Any, Any]) -> None:
    model, tokenizer = starter
    processor = WordsProcessor(model.spec, tokenizer, ["never", "never"], 60, brackets=[True, False])
    bracket = int(processor.bracketed[0])
    scores = processor(3, torch.arange(2), torch.full((2, 60), 5), torch.zeros(2, len(processor.sentence_ends)))
    assert scores[0, bracket] == 0.0 and scores[1, bracket] == -math.inf
