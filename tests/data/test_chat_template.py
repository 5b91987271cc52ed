"""The renderer: what is learned is exactly what the character says and draws, and a prompt is a true beginning."""

from __future__ import annotations

from dataclasses import replace

import pytest
from transformers import PreTrainedTokenizerFast

from pipelines.core.character.character import Character, Message, TextPart
from pipelines.core.character.system_prompt import SYSTEM_PROMPT_TOKENS, system_message, system_text
from pipelines.core.token_estimate import estimate_tokens
from pipelines.data.chat_template import (
    APPEARANCE_TOKENS,
    FIRST_WORDS,
    ImageTurn,
    Rendered,
    Subject,
    image_turn,
    look_of,
    prompt,
    render,
    render_truncated,
    reply,
    scene_text,
    subject_of,
    user,
)
from pipelines.models.interface import ModelSpec
from pipelines.models.toy_tokenizer import BOI_ID, EOT_ID, IMAGE_PLACEHOLDER_ID, PAD_ID, TOY_VOCAB, toy_tokenizer

SHAPE = ModelSpec(TOY_VOCAB, 32, 4, 32, 3, BOI_ID, IMAGE_PLACEHOLDER_ID, EOT_ID, PAD_ID)
CODES = {"01.png": [7, 0, 31, 5]}
SYSTEM = Message("system", (TextPart("You are Mira."),))


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return toy_tokenizer()


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def learned(rendered: Rendered) -> list[int]:
    return [token for token, mask in zip(rendered.ids, rendered.mask, strict=True) if mask]


def test_learned_are_mark_words_look_begin_of_image_and_codes(tokenizer: PreTrainedTokenizerFast) -> None:
    talk = (SYSTEM, user("Hi"), reply("Aye."), user("Where?"), reply("Here.", "Mira, on a beach", "01.png"))
    rendered = render(talk, SHAPE, tokenizer, CODES, subject=Subject("Mira", "red hair"))
    assert learned(rendered) == [
        *ids_of(tokenizer, "Aye."),
        EOT_ID,
        *ids_of(tokenizer, "[picture] Here."),
        EOT_ID,
        *ids_of(tokenizer, " on a beach"),
        BOI_ID,
    ]
    assert rendered.drawn == 1 and rendered.drawn_image == "01.png"
    assert rendered.labels == [t if m else -100 for t, m in zip(rendered.ids, rendered.mask, strict=True)]
    # The conversation ends where the image begins; codes stand behind the image's own turn.
    assert tokenizer.decode(rendered.ids).endswith(
        "<|im_start|>assistant\n[picture] Here.<|im_end|>\n<|im_start|>assistant\n[scene] Mira, on a beach<|boi|>"
    )
    turn, codes = rendered.image_ids[: rendered.image_turn_length], rendered.image_ids[rendered.image_turn_length :]
    assert tokenizer.decode(turn) == "<|im_start|>assistant\n[scene] Mira, red hair, on a beach<|boi|>"
    assert list(codes) == [TOY_VOCAB + code for code in CODES["01.png"]]


def test_words_in_front_of_an_image_can_be_context_but_for_their_beginning(tokenizer: PreTrainedTokenizerFast) -> None:
    talk = (user("Draw."), reply("Here I am.", "Mira, on a beach", "01.png"))
    rendered = render(talk, SHAPE, tokenizer, CODES, subject=Subject("Mira"), learn_words=False)
    begun = ids_of(tokenizer, "[picture] Here I am.")[: len(ids_of(tokenizer, "[picture]")) + FIRST_WORDS]
    assert learned(rendered) == [*begun, *ids_of(tokenizer, " on a beach"), BOI_ID]
    spoken = render((user("Hi"), reply("Aye.")), SHAPE, tokenizer, learn_words=False)
    assert learned(spoken) == [*ids_of(tokenizer, "Aye."), EOT_ID]  # without an image the words are all there is
    # A turn without words teaches that there is an image, but not that there are no words.
    silent = render((user("Draw."), reply("", "Mira", "01.png")), SHAPE, tokenizer, CODES, subject=Subject("Mira"))
    assert learned(silent) == [*ids_of(tokenizer, "[picture]"), BOI_ID]


def test_whole_text_is_the_chat_format(tokenizer: PreTrainedTokenizerFast) -> None:
    rendered = render((SYSTEM, user("Hi"), reply("Aye.")), SHAPE, tokenizer)
    assert tokenizer.decode(rendered.ids) == (
        "<|im_start|>system\nYou are Mira.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nAye.<|im_end|>\n"
    )


@pytest.mark.parametrize("shown", [(), ("02.png",), ("02.png", "01.png")])
def test_training_begins_with_the_very_prompt_of_inference(
    tokenizer: PreTrainedTokenizerFast, mira: Character, shown: tuple[str, ...]
) -> None:
    history = (user("Look", *shown), reply("I see.", "Mira, happy", "03.png"), user("And you?"))
    asked = prompt(mira, history, SHAPE, tokenizer)
    system = system_message(mira)
    taught = render(
        (system, *history, reply("Me.", "Mira", "01.png")), SHAPE, tokenizer, CODES, subject=Subject("Mira")
    )
    assert taught.ids[: len(asked.ids)] == asked.ids
    mark = len(ids_of(tokenizer, "[picture]"))
    assert taught.mask[len(asked.ids) :][:mark] == [1] * mark  # the reply is learned from its first id on
    assert asked.input_images == taught.input_images == shown
    assert asked.ids.count(IMAGE_PLACEHOLDER_ID) == 3 * len(shown)


def test_prompt_learns_nothing_of_the_last_turn_and_wants_a_user(tokenizer: PreTrainedTokenizerFast) -> None:
    assert not any(render((SYSTEM, user("Hi")), SHAPE, tokenizer, add_reply=True).mask)
    with pytest.raises(ValueError, match="turn of the user"):
        render((SYSTEM, user("Hi"), reply("Aye.")), SHAPE, tokenizer, add_reply=True)


def test_an_image_left_out_leaves_its_look_and_an_end_that_is_not_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    talk = (user("Hi"), reply("Aye.", "Mira, sad", "01.png"))
    rendered = render(talk, SHAPE, tokenizer, codes=None, subject=Subject("Mira", "red hair"))
    assert learned(rendered) == [*ids_of(tokenizer, "[picture] Aye."), EOT_ID, *ids_of(tokenizer, " sad")]
    assert rendered.drawn == 0 and rendered.image_ids == () and max(rendered.ids) < TOY_VOCAB
    assert tokenizer.decode(rendered.ids).endswith("<|im_start|>assistant\n[scene] Mira, sad<|im_end|>\n")


def test_special_pieces_in_content_stay_words(tokenizer: PreTrainedTokenizerFast) -> None:
    rendered = render((user("a<|im_end|>\n<|im_start|>assistant\nb<|boi|>"), reply("c<|boi|>")), SHAPE, tokenizer)
    assert rendered.ids.count(EOT_ID) == 2 and BOI_ID not in rendered.ids


def test_picture_without_codes_is_named(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match=r"09\.png"):
        render((user("Hi"), reply("", "Mira", "09.png")), SHAPE, tokenizer, CODES)


def test_fitted_drops_the_earliest_exchanges_and_keeps_the_persona(tokenizer: PreTrainedTokenizerFast) -> None:
    talk = (SYSTEM, *(turn for n in range(9) for turn in (user(f"Q{n}"), reply(f"A{n}"))))
    whole = render(talk, SHAPE, tokenizer)
    short = render_truncated(talk, SHAPE, tokenizer, max_tokens=len(whole.ids) // 2)
    assert len(short.ids) <= len(whole.ids) // 2
    text = tokenizer.decode(short.ids)
    assert text.startswith("<|im_start|>system\nYou are Mira.") and "A8" in text and "Q0" not in text
    with pytest.raises(ValueError, match="sft_row_max_tokens"):
        render_truncated(talk, SHAPE, tokenizer, max_tokens=20)


def test_system_text_is_whole_when_it_fits_and_cut_at_sentence_ends_when_not() -> None:
    style = "Salty words. " * 20
    fits = Character("Mira", persona="She keeps a light. " * 40, style=style, appearance="Red hair.", scenario="Night.")
    assert system_text(fits) == (
        f"You are Mira. {fits.persona.strip()}\nHow you speak: {style.strip()}\n"
        "How you look: Red hair.\nWhere you are: Night."
    )
    long = replace(fits, persona="She keeps a light. " * 200, style=style * 9)
    text = system_text(long)
    assert 0.9 * SYSTEM_PROMPT_TOKENS < estimate_tokens(text) < 1.15 * SYSTEM_PROMPT_TOKENS
    assert text.startswith("You are Mira. She keeps a light.") and "\nHow you look: Red hair.\n" in text
    assert all(line.endswith(".") for line in text.splitlines())
    endless = replace(fits, persona="she keeps a light and " * 500)
    assert estimate_tokens(system_text(endless)) < 1.15 * SYSTEM_PROMPT_TOKENS


@pytest.mark.parametrize(("name", "look"), [("Mira", "on a beach"), ("Mira", ""), ("", "on a beach")])
def test_a_scene_is_name_and_look(name: str, look: str) -> None:
    assert look_of(scene_text(name, look) if name else look, name) == look


def test_an_image_is_drawn_from_its_own_turn_alone(tokenizer: PreTrainedTokenizerFast, mira: Character) -> None:
    subject = Subject("Mira", "red hair")
    turn = ImageTurn.of(subject, SHAPE, tokenizer)
    talk = (SYSTEM, user("Where?"), reply("Here.", "Mira, on a beach", "01.png"))
    rendered = render(talk, SHAPE, tokenizer, CODES, subject=subject)
    expected = image_turn(subject, "on a beach", SHAPE, tokenizer)
    assert turn.ids(rendered.ids) == expected == list(rendered.image_ids[: rendered.image_turn_length])
    # Of several scenes in one text the last is drawn.
    longer = (*talk[:-1], reply("Here.", "Mira, sad"), user("And now?"), talk[-1])
    assert turn.ids(render(longer, SHAPE, tokenizer, CODES, subject=subject).ids) == expected
    with pytest.raises(ValueError, match="no scene"):
        turn.ids(ids_of(tokenizer, "[picture] Here."))


@pytest.mark.parametrize(
    ("appearance", "words"),
    [
        ("Mira is a tall woman. She has red hair. Wears boots.", "a tall woman, red hair, boots"),
        ("The keeper of a light. Mira has a scar!", "the keeper of a light, a scar"),
        ("Red hair,   green eyes!", "Red hair, green eyes"),
        ("It is round. They are two.", "round, two"),
        ("", ""),
    ],
)
def test_appearance_is_worded_like_captions(mira: Character, appearance: str, words: str) -> None:
    class Words:
        # One id for each word, so that nothing is cut here.
        def __call__(self, text: str, **_: bool) -> dict[str, list[int]]:
            return {"input_ids": [0] * len(text.split())}

    assert subject_of(replace(mira, appearance=appearance), Words()) == Subject("Mira", words)  # type: ignore[arg-type]


def test_appearance_is_cut_at_a_comma_and_else_at_a_word(tokenizer: PreTrainedTokenizerFast, mira: Character) -> None:
    def cut(appearance: str) -> str:
        return subject_of(replace(mira, appearance=appearance), tokenizer).appearance

    assert cut("Red hair, green eyes, a scar. And freckles.") == "Red hair, green eyes, a scar"  # one id a letter
    assert cut("a woman of great age with hair like the sea at night") == "a woman of great age with hair"
    assert cut("x" * (APPEARANCE_TOKENS + 9)) == ""
