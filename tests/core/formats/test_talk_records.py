"""Records of conversations: names beside roles, marks of bad answers, empty keys, rows of one conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.core.problems import CharacterProblems
from tests.core.formats.mmrole_samples import train_samples
from tests.core.formats.talks import lines, messages, read, said, sharegpt

SHOP, BELL = ["u:Is the shop open?", "c:Open since nine."], ["u:And the bell?", "c:It lies."]


def turn(role: str, words: object, **more: object) -> dict[str, object]:
    return {"role": role, "content": words, **more}


def asked(*turns: dict[str, object], **more: object) -> list[dict[str, object]]:
    return [{"messages": list(turns), **more}]


SHOP_TURNS = turn("user", "Is the shop open?"), turn("assistant", "Open since nine.")
BELL_TURNS = turn("user", "And the bell?"), turn("assistant", "It lies.")


# ---------------------------------------------------------------- names beside roles


@pytest.mark.parametrize("key", ["name", "character", "speaker", "handle"])
def test_other_names_in_the_characters_role_are_other_people(key: str) -> None:
    talk = [
        turn("user", "Open?"),
        turn("assistant", "Ask Tola.", **{key: "Orla"}),
        turn("user", "Is the shop open?"),
        turn("assistant", "Open since nine.", **{key: "Tola"}),
    ]
    found = read(asked(*talk))
    assert lines(found.interactions) == [SHOP] and "'Orla'" in said(found)
    told = read(asked(talk[0], talk[1], talk[3]))
    assert lines(told.interactions) == [["u:Open?\nOrla: Ask Tola.", "c:Open since nine."]]


def test_one_foreign_name_throughout_is_another_name_of_the_character() -> None:
    found = read(asked(SHOP_TURNS[0], turn("assistant", "Open since nine.", name="clockbot-7")))
    assert lines(found.interactions) == [SHOP] and "'clockbot-7' were taken as the character's" in said(found)
    two = [
        turn("user", "Open?"),
        turn("assistant", "Yes.", name="Orla"),
        turn("user", "No?"),
        turn("assistant", "No.", name="Ben"),
    ]
    with pytest.raises(CharacterProblems, match="'Orla', 'Ben' are unknown"):
        read(asked(*two))


def test_a_character_beside_a_role_names_whom_a_record_is_with() -> None:
    rows = [
        {"role": "assistant", "character": "Orla Finn", **sharegpt(("human", "Who?"), ("gpt", "Orla."))},
        {"role": "assistant", "character": "Tola Brask", **sharegpt(("human", "And the bell?"), ("gpt", "It lies."))},
    ]
    assert lines(read(rows).interactions) == [BELL]


@pytest.mark.parametrize("name", ["Tola Brask", "Tola_Brask"])
@pytest.mark.parametrize("key", ["role", "name"])
def test_a_role_without_a_name_is_somebody_else_where_others_bear_it(name: str, key: str) -> None:
    own = {"role": "assistant", "content": "Open since nine.", key: name}
    bare = turn("assistant", "As an AI I cannot say.")
    later = [BELL_TURNS[0], {**own, "content": "It lies."}]
    for talk in ([SHOP_TURNS[0], own, bare, *later], [SHOP_TURNS[0], bare, own, *later]):
        found = read(asked(*talk))
        assert lines(found.interactions) == [SHOP + BELL]
        [told] = [note for note in found.notes if "under a role without a name were left out" in note.message]
        assert told.examples == ("assistant: As an AI I cannot say.",)
    between = read(asked(SHOP_TURNS[0], own, bare, {**own, "content": "It lies."}))
    assert lines(between.interactions) == [[*SHOP, "u:assistant: As an AI I cannot say.", "c:It lies."]]


def test_where_nobody_is_the_user_the_role_without_a_name_is() -> None:
    talk = sharegpt(("Tola Brask", "Careful."), ("gpt", "Is the shop open?"), ("Tola Brask", "Open since nine."))
    found = read([talk, {"messages": [turn("user", "And the bell?"), turn("assistant", "It lies.")]}])
    assert lines(found.interactions) == [SHOP, BELL] and "were taken as the user's" in said(found)


def test_a_user_who_bears_the_characters_name_makes_the_assistant_somebody_else() -> None:
    talk = [turn("user", "Careful.", name="Tola Brask"), turn("assistant", "Sorry!", name="Ben")]
    for answers in (talk[1], turn("assistant", "Sorry!")):
        found = read([*asked(talk[0], answers), *asked(*BELL_TURNS)])
        assert lines(found.interactions) == [BELL]
    mixed = asked(SHOP_TURNS[0], turn("assistant", "Ask Tola.", name="clockbot-7"), *SHOP_TURNS)
    assert lines(read(mixed).interactions) == [SHOP]


def test_an_answer_of_its_own_column_is_the_characters_beside_its_name() -> None:
    talk = [SHOP_TURNS[0], turn("Tola Brask", "Open since nine."), BELL_TURNS[0]]
    for chosen in ("It lies.", BELL_TURNS[1], [BELL_TURNS[1]]):
        assert lines(read(asked(*talk, chosen=chosen, rejected="No.")).interactions) == [SHOP + BELL]
    assert lines(read([{"prompt": talk, "completion": "It lies."}]).interactions) == [SHOP + BELL]


@pytest.mark.parametrize(
    "key",
    [
        *("role", "character", "char_name", "botName", "role_name", "agent_role", "agentRole", "characterName"),
        *("persona_name", "speaker", "bot", "char", "assistant_name", "model_name", "source_character"),
    ],
)
def test_whom_a_record_is_with_is_known_under_many_keys(key: str) -> None:
    other, own = {key: "Captain Rell"}, {key: "Tola"}
    for rows in (asked(*SHOP_TURNS, **other), [{"prompt": "Snow?", "completion": "Aye.", **other}]):
        assert lines(read([*rows, *asked(*BELL_TURNS, **own)]).interactions) == [BELL]
    inside = [*asked(*SHOP_TURNS, **{key: {"name": "Captain Rell"}}), *asked(*BELL_TURNS, **{key: {"id": 1}})]
    assert lines(read(inside).interactions) == [BELL]
    for part in ("meta", "metadata"):
        found = read([*asked(*SHOP_TURNS, **{part: other}), *asked(*BELL_TURNS, **{part: own})])
        assert lines(found.interactions) == [BELL] and "other characters were left out: 'Captain Rell'" in said(found)


@pytest.mark.parametrize("name", ["gpt-4o", "Qwen2.5-7B-Instruct", "GPT-4", "Claude", "meta/llama", "speaker_01", "3"])
def test_the_model_that_wrote_an_answer_is_no_character(name: str) -> None:
    for key in ("model_name", "speaker", "bot", "assistant_name"):
        assert lines(read(asked(*SHOP_TURNS, **{key: name})).interactions) == [SHOP]


# ---------------------------------------------------------------- whom a prompt asks for


@pytest.mark.parametrize(
    "prompt",
    [
        "You are Captain Rell, an old sailor.",
        "You are Captain Rell. Stay in character.",
        "Act as Captain Rell.",
        "Enter RP mode. Reply to Anna while staying in character as Captain Rell.",
        "Name: Captain Rell\nPersonality: gruff",
        "Please step into the shoes of **Captain Rell**.",
        "From now on you're Captain Rell and nobody else.",
        "Pretend to be Captain Rell from Sea Tales.",
        "Assume the role of Captain Rell",
    ],
)
def test_prompts_that_ask_for_somebody_else_are_of_other_characters(prompt: str) -> None:
    system = [
        *asked(turn("system", prompt), *SHOP_TURNS),
        *asked(*SHOP_TURNS, system=prompt),
        {"system_prompt": prompt, "prompt": "Is the shop open?", "completion": "Open since nine."},
    ]
    found = read([*system, *asked(*BELL_TURNS)])
    assert lines(found.interactions) == [BELL]
    assert "other characters were left out: 'Captain Rell' (3 x)" in said(found)
    first = read(asked(turn("user", f"{prompt}\nIs the shop open?"), SHOP_TURNS[1]))
    assert len(first.interactions) == 1 and "ask for somebody else: 'Captain Rell'" in said(first)
    own = read(asked(*SHOP_TURNS, system=prompt, character="Tola Brask"))
    assert lines(own.interactions) == [SHOP] and "Rell" not in said(own)


@pytest.mark.parametrize(
    "prompt",
    [
        "You are Tola Brask.",
        "You are Tola, a mender of clocks.",
        "You are Captain Brask.",
        "You are {{char}}.",
        "You are an assistant who plays the role of Tola. You are Nimbus.",
        "You are ChatGPT, a large language model.",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        "You are A Helpful Assistant.",
        "You are English. You mend clocks.",
        "You are Anna's neighbour.",
        "You are late. Act as a nurse. Answer as JSON. Write like Hemingway.",
        "Role: Clock Mender",
        "You are \u4e00\u4e2a\u52a9\u624b. You are \u00e9l\u00e8ve.",
        "The user:\nName: Anna Holt\nAge: 34",
        "The user is called Anna. You are talking to Anna.",
    ],
)
def test_prompts_for_the_character_or_nobody_change_nothing(prompt: str) -> None:
    found = read([*asked(turn("system", prompt), *SHOP_TURNS), *asked(*BELL_TURNS, system=prompt)])
    assert lines(found.interactions) == [SHOP, BELL] and "somebody else" not in said(found)


def test_a_prompt_with_both_names_is_kept_and_told() -> None:
    found = read(asked(*SHOP_TURNS, system="You are Captain Rell. Tola Brask comes in."))
    assert lines(found.interactions) == [SHOP] and "ask for somebody else: 'Captain Rell'" in said(found)
    log = "System: You are Captain Rell.\nUser: Is the shop open?\nAssistant: A fine ship."
    with pytest.raises(CharacterProblems, match="other characters were left out: 'Captain Rell'"):
        read(log)


# ---------------------------------------------------------------- good and bad answers


@pytest.mark.parametrize(
    "mark",
    [
        {"weight": "0"},
        {"weight": 0.0},
        {"train": "false"},
        {"trainable": "no"},
        {"desirable": False},
        {"label": "rejected"},
        {"rating": -1},
        {"rating": "-1"},
        {"feedback": "thumbs_down"},
        {"vote": "down"},
        {"score": -3},
        {"quality": "bad"},
        {"label": [False]},
        {"label": ["bad"]},
        {"is_bad": True},
        {"is_rejected": "true"},
        {"bad": True},
        {"liked": False},
        {"is_good": "no"},
        {"approved": False},
        {"feedback": {"rating": "bad", "text": "No."}},
        {"rating": {"value": -1}},
    ],
)
def test_answers_marked_as_bad_in_words_or_numbers_are_never_learned(mark: dict[str, object]) -> None:
    bad = turn("assistant", "As an AI I have no shop.", **mark)
    assert lines(read(asked(SHOP_TURNS[0], bad, *BELL_TURNS)).interactions) == [BELL]
    rows = [
        {"prompt": "Is the shop open?", "completion": "Bad.", **mark},
        {"prompt": "And the bell?", "completion": "It lies."},
    ]
    assert lines(read(rows).interactions) == [BELL]


@pytest.mark.parametrize(
    "mark",
    [
        *({"rating": 0}, {"weight": 1}, {"train": "true"}, {"label": "clocks"}, {"label": None}, {"label": []}),
        *(
            {"label": [True, False]},
            {"bad": 1},
            {"bad": "luck"},
            {"is_bad": False},
            {"liked": True},
            {"rejected": "yes"},
        ),
        *({"feedback": {}}, {"feedback": {"rating": 0}}, {"label": {"type": "none"}}),
    ],
)
def test_other_marks_change_nothing(mark: dict[str, object]) -> None:
    assert lines(read(asked(SHOP_TURNS[0], turn("assistant", "Open since nine.", **mark))).interactions) == [SHOP]


def test_what_a_record_calls_rejected_is_never_learned() -> None:
    old = {"from": "gpt", "value": "Bad."}
    chosen = {"from": "gpt", "value": "Open since nine."}
    ends = {**sharegpt(("human", "Is the shop open?"), ("gpt", "Bad.")), "chosen": chosen, "rejected": old}
    found = read([ends])
    assert lines(found.interactions) == [SHOP] and [one.rejected for one in found.rejected] == ["Bad."]
    empty = {**messages(("user", "Snow?"), ("assistant", "Bad.")), "chosen": "", "rejected": "Bad."}
    alone = {"prompt": "Snow?", "chosen": "", "rejected": "Bad."}
    assert lines(read([empty, alone, *asked(*BELL_TURNS)]).interactions) == [BELL]
    whole = "\n\nHuman: Is the shop open?\n\nAssistant: "
    found = read([{"chosen": f"{whole}Open since nine.", "rejected": f"{whole}Never."}])
    assert lines(found.interactions) == [SHOP] and [one.rejected for one in found.rejected] == ["Never."]


def test_a_rejected_answer_that_equals_the_chosen_one_teaches_nothing() -> None:
    found = read([{"prompt": "Is the shop open?", "chosen": "Open since nine.", "rejected": " Open  since nine."}])
    assert lines(found.interactions) == [SHOP] and not found.rejected and "say the same as the chosen" in said(found)
    other = read([{"prompt": "Is the shop open?", "chosen": "Open since nine.", "rejected": "No."}])
    assert len(other.rejected) == 1 and "stage 2 learns to prefer the chosen" in said(other)


def test_sillytavern_values_as_words_and_empty_replies_with_swipes() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "Anna", "is_user": "true", "mes": "Is the shop open?"},
        {"name": "Tola", "is_user": "false", "mes": "", "swipes": ["Open since nine.", "No."], "swipe_id": 0},
        {"name": "Anna", "is_user": True, "mes": "Hidden?"},
        {"name": "Tola", "is_user": False, "is_system": True, "mes": "A hidden answer."},
        {"name": "Anna", "is_user": "false", "mes": "And the bell?"},
        {"name": "Tola", "is_user": False, "mes": "It lies."},
    ]
    found = read("\n".join(map(json.dumps, rows)))
    assert lines(found.interactions) == [SHOP + BELL] and [one.rejected for one in found.rejected] == ["No."]


# ---------------------------------------------------------------- words and keys


@pytest.mark.parametrize(
    "nothing", [None, "", "\u200b", "\u2060\ufeff", [{"type": "image_url", "image_url": {"url": "x"}}]]
)
def test_a_question_without_an_answer_does_not_run_into_the_next(nothing: object) -> None:
    talk = asked(turn("user", "What is your name?"), turn("assistant", nothing), *BELL_TURNS)
    assert lines(read(talk).interactions) == [BELL]


def test_thoughts_that_were_cut_are_not_said() -> None:
    cut = turn("assistant", "<think>\nShe asks"), turn("assistant", "I answer.</think>It lies.")
    talk = asked(turn("user", "Open?"), cut[0], turn("user", "And the bell?"), cut[1])
    assert lines(read(talk).interactions) == [BELL]


def test_texts_in_parts_and_objects() -> None:
    parts = ["Since ", {"type": "bold", "text": "nine"}, ", mind it."]
    telegram = [
        {"id": 1, "type": "message", "from": "Anna", "text": "Open?"},
        {"id": 2, "type": "message", "from": "Tola Brask", "text": parts},
        {"id": 3, "type": "service", "actor": "Anna", "action": "pin_message", "text": ""},
    ]
    found = read({"name": "Anna", "type": "personal_chat", "messages": telegram})
    assert lines(found.interactions) == [["u:Open?", "c:Since nine, mind it."]] and "unknown" not in said(found)
    gemini = {
        "contents": [{"role": "user", "parts": [{"text": "Open?"}]}, {"role": "model", "parts": [{"text": "Yes."}]}]
    }
    assert lines(read(gemini).interactions) == [["u:Open?", "c:Yes."]]
    objects = asked(
        turn("user", {"type": "text", "text": "Open?"}), turn("assistant", {"content_type": "text", "parts": ["Yes."]})
    )
    assert lines(read(objects).interactions) == [["u:Open?", "c:Yes."]]


def test_empty_keys_hide_nothing() -> None:
    rows = [
        {"instruction": "Is the shop open?", "input": "", "output": "", "response": "Open since nine."},
        {"prompt": "", "completion": "", "question": "And the bell?", "answer": "It lies."},
        {"input": "", "output": "Always.", "instruction": None, "question": "Rain?"},
        {"conversation": ["c1"], "messages": [turn("user", "Snow?"), turn("assistant", "Never.")]},
    ]
    assert lines(read(rows).interactions) == [SHOP, BELL, ["u:Rain?", "c:Always."], ["u:Snow?", "c:Never."]]


@pytest.mark.parametrize(
    "record",
    [
        {"text": "<|im_start|>user\nIs the shop open?<|im_end|>\n<|im_start|>assistant\nOpen since nine.<|im_end|>"},
        {"text": "### Human: Is the shop open?### Assistant: Open since nine."},
        {"text": "<s>[INST] Is the shop open? [/INST] Open since nine.</s>"},
        {"conversation": "USER: Is the shop open? ASSISTANT: Open since nine.</s>"},
        {"conversations": "Human: Is the shop open?\n\nAssistant: Open since nine."},
        {
            "prompt": "<|im_start|>user\nIs the shop open?<|im_end|>\n<|im_start|>assistant\n",
            "completion": "Open since nine.<|im_end|>",
        },
        {"prompt": "\n\nHuman: Is the shop open?\n\nAssistant:", "completion": " Open since nine."},
        {"messages": json.dumps(list(SHOP_TURNS))},
    ],
)
def test_conversations_in_one_text(record: dict[str, object]) -> None:
    assert lines(read([record]).interactions) == [SHOP]


def test_names_as_keys_can_hold_them() -> None:
    talk = [
        *SHOP_TURNS[:1],
        turn("assistant", "Open since nine.", name="Tola_Brask"),
        turn("user", "x"),
        turn("assistant", "y", name="Orla"),
    ]
    assert lines(read(asked(*talk)).interactions) == [SHOP]


def test_rows_of_one_conversation_are_put_together() -> None:
    rows = [{**one, "conversation_id": number} for number, talk in enumerate((SHOP_TURNS, BELL_TURNS)) for one in talk]
    assert lines(read("\n".join(map(json.dumps, rows))).interactions) == [SHOP, BELL]
    pairs = [("Is the shop open?", "Open since nine."), ("And the bell?", "It lies.")]
    together = [{"conversation_id": "a", "user": user, "assistant": reply} for user, reply in pairs]
    assert lines(read(together).interactions) == [SHOP + BELL]
    assert lines(read([{**row, "conversation_id": at} for at, row in enumerate(together)]).interactions) == [SHOP, BELL]


def test_control_characters_and_huge_numbers_do_no_harm() -> None:
    talk = json.dumps(asked(turn("user", "Open?\x07"), turn("assistant", "Since\x00 \x1b[31mnine\x1b[0m.\x0b")))
    found = read(talk.replace('"role"', '"id": ' + "9" * 5000 + ', "role"', 1))
    assert lines(found.interactions) == [["u:Open?", "c:Since nine."]]


def test_one_sample_of_mmrole_without_another_role_is_one_like_any_other() -> None:
    whole = next(one for one in train_samples() if one["other_role"] == "a curious human" and "human-role" in one["id"])
    right = lines(read([whole], str(whole["role"])).interactions)
    for records in ([{**whole, "other_role": None}], [whole, {**whole, "other_role": None}]):
        assert lines(read(records, str(whole["role"])).interactions) == right * len(records)
