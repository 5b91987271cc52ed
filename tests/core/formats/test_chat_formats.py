"""Conversations of other programs: which shapes are read, and what is never learned from them."""

from __future__ import annotations

import json

import pytest

from pipelines.core.formats.chat_formats import conversations_from_json, read_conversations
from pipelines.core.problems import CharacterProblems
from tests.core.formats.talks import lines, messages, read, said, sharegpt

SHOP = ["u:Is the shop open?", "c:Open since nine."]
BELL = ["u:And the bell?", "c:It lies."]


def shop(user: str = "user", character: str = "assistant", **more: object) -> dict[str, object]:
    return messages((user, "Is the shop open?"), (character, "Open since nine."), **more)


def bell(user: str = "user", character: str = "assistant", **more: object) -> dict[str, object]:
    return messages((user, "And the bell?"), (character, "It lies."), **more)


def turns(record: dict[str, object]) -> object:
    return record["messages"]


# ---------------------------------------------------------------- shapes


def test_sharegpt_list_lines_and_single_object() -> None:
    talk = sharegpt(("human", "Hi"), ("gpt", "Ho"), ("human", "And?"), ("gpt", "So."), system="Be nice.")
    expected = [["u:Hi", "c:Ho", "u:And?", "c:So."]]
    assert lines(read([talk]).interactions) == expected
    assert lines(read(talk).interactions) == expected
    assert lines(read("\ufeff" + json.dumps(talk) + "\n\n" + json.dumps(talk)).interactions) == expected * 2
    assert "system instructions were left out" in said(read(talk))


def test_messages_lines_with_a_damaged_one() -> None:
    text = "\n".join([json.dumps(messages(("user", "Hi"), ("assistant", "Ho"))), '{"messages": [', "7"])
    found = conversations_from_json(text, "chat.jsonl")
    assert lines(found.interactions) == [["u:Hi", "c:Ho"]]
    assert {problem.message for problem in found.notes} == {
        "lines that are not JSON were left out.",
        "records without a conversation were left out.",
    }
    assert all(problem.field == "chat.jsonl" and problem.severity == "warning" for problem in found.notes)


def test_only_line_feeds_end_a_line_of_json() -> None:
    odd = "Is the shop\u2028open?\u2029\x85\x0b\x0cYes?"
    text = "\r\n".join(
        json.dumps(talk, ensure_ascii=False) for talk in (sharegpt(("human", odd), ("gpt", "Ho")), bell())
    )
    assert lines(read(text).interactions)[1] == BELL
    assert lines(read(text).interactions)[0][0].startswith("u:Is the shop\u2028open?")


def test_lists_of_turns_and_lists_of_lists() -> None:
    assert lines(read(turns(shop())).interactions) == [SHOP]
    assert lines(read([turns(shop()), turns(bell())]).interactions) == [SHOP, BELL]
    by_line = "\n".join(
        json.dumps(turn) for turn in [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Ho"}]
    )
    assert lines(read(by_line).interactions) == [["u:Hi", "c:Ho"]]


def test_columns_of_pairs() -> None:
    alpaca = [
        {"instruction": "Is the shop open?", "input": "", "output": "Open since nine."},
        {"instruction": "And the bell?", "input": "the one over the door", "output": "It lies."},
    ]
    assert lines(read(alpaca).interactions) == [SHOP, ["u:And the bell?\nthe one over the door", "c:It lies."]]
    earlier = {
        "instruction": "And the bell?",
        "output": "It lies.",
        "history": [["Is the shop open?", "Open since nine."]],
    }
    assert lines(read(earlier).interactions) == [SHOP + BELL]
    for asked, answered in (("prompt", "completion"), ("question", "answer"), ("input", "output")):
        assert lines(read([{asked: "And the bell?", answered: "It lies."}]).interactions) == [BELL]
    history = {
        "internal": [["<|BEGIN-VISIBLE-CHAT|>", "Careful."], ["And the bell?", "It lies."]],
        "visible": [["", "<b>"]],
    }
    assert lines(read(history).interactions) == [BELL]


def test_chosen_answers_are_learned_and_rejected_ones_kept() -> None:
    chosen, rejected = (
        {"from": "gpt", "value": "Open since nine."},
        {"from": "gpt", "value": "As an AI I have no shop."},
    )
    asked = sharegpt(("human", "Is the shop open?"))["conversations"]
    for record in (
        {"conversations": asked, "chosen": chosen, "rejected": rejected},
        {"prompt": "Is the shop open?", "chosen": chosen["value"], "rejected": rejected["value"]},
        {"prompt": asked, "chosen": [chosen], "rejected": [rejected]},
        {"chosen": [*asked, chosen], "rejected": [*asked, rejected]},  # type: ignore[misc]
    ):
        found = read([record])
        assert lines(found.interactions) == [SHOP]
        assert [reply.to_json() for reply in found.rejected] == [
            {"prompt": "Is the shop open?", "chosen": "Open since nine.", "rejected": "As an AI I have no shop."}
        ]
        assert "not chosen" in said(found)


def sillytavern(*lines_: tuple[str, bool, str], **last: object) -> str:
    header = {"user_name": "Anna", "character_name": "Tola Brask", "chat_metadata": {}}
    rows = [{"name": name, "is_user": is_user, "is_system": False, "mes": words} for name, is_user, words in lines_]
    rows[-1].update(last)
    return "\n".join(json.dumps(row) for row in [header, *rows])


def test_sillytavern_chats_with_swipes_and_groups() -> None:
    opening = ("Tola Brask", False, "Careful, Anna. That one bites.")
    asked, answered = ("Anna", True, "Is the shop open?"), ("Tola Brask", False, "Open since nine.")
    found = read(sillytavern(opening, asked, answered, swipes=["Open since nine.", "No."], swipe_id=0))
    assert lines(found.interactions) == [SHOP] and "opening words were left out" in said(found)
    assert [reply.rejected for reply in found.rejected] == ["No."]
    group = read(sillytavern(asked, ("Ben", False, "Since ten!"), answered, ("Ben", False, "Ten.")))
    assert lines(group.interactions) == [["u:Is the shop open?\nBen: Since ten!", "c:Open since nine."]]
    assert "'Ben'" in said(group)
    hidden = read(sillytavern(asked, answered, ("System", False, "Chat saved."), is_system=True))
    assert lines(hidden.interactions) == [SHOP]
    with pytest.raises(CharacterProblems, match="'Tola Brask'"):
        read(sillytavern(asked, answered), name="Orla Finn")


def test_words_under_other_keys_and_in_parts() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "Look"}]
    found = read(messages(("user", parts), ("assistant", "Nice.")))
    assert lines(found.interactions) == [["u:Look", "c:Nice."]] and "pictures named" in said(found)
    value = [{"type": "text", "value": "Look"}]
    assert lines(read(messages(("user", value), ("assistant", [{"type": "text", "value": "Nice."}]))).interactions) == [
        ["u:Look", "c:Nice."]
    ]
    assert lines(
        read([{"messages": [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Ho"}]}]).interactions
    )
    with pytest.raises(CharacterProblems, match=r"Turns without words: they have the keys 'words'.*`content`"):
        read([{"messages": [{"role": "user", "words": "Hi"}, {"role": "assistant", "words": "Ho"}]}])


def test_an_empty_key_never_hides_a_filled_one() -> None:
    first = {**sharegpt(("human", "Is the shop open?"), ("gpt", "Open since nine.")), "messages": None}
    second = {"conversations": None, "messages": [{"from": None, "value": None, **turn} for turn in turns(bell())]}  # type: ignore[attr-defined]
    assert lines(read("\n".join(map(json.dumps, (first, second)))).interactions) == [SHOP, BELL]
    assert lines(read([{"conversations": [], **bell()}]).interactions) == [BELL]
    assert lines(
        read(
            '[{"messages": [{"role": "user", "content": "a"}, {"role": "gpt", "content": "b"}], "n": NaN}]'
        ).interactions
    )


def test_other_columns_are_explained() -> None:
    with pytest.raises(CharacterProblems) as caught:
        conversations_from_json(json.dumps([{"words": "Say hi", "reply": "Hi"}] * 3), "table.json")
    assert "table.json" in str(caught.value) and "'words'" in str(caught.value) and '"from"' in str(caught.value)
    with pytest.raises(CharacterProblems, match=r"not JSON.*Send a JSON list"):
        conversations_from_json("hello\nworld")


# ---------------------------------------------------------------- what is mended


@pytest.mark.parametrize("make", [sharegpt, messages])
def test_what_strict_readers_stumble_over_is_mended_and_told(make: object) -> None:
    assert callable(make)
    user, bot = ("human", "gpt") if make is sharegpt else ("user", "assistant")
    records = [
        make((bot, "Welcome."), (user, "Hi"), (bot, "Ho")),
        make(("system", "You are X."), (user, "Hi"), (user, "there"), (bot, "Ho"), (user, "bye")),
        make((user, "<image>\nWhat is this?"), (bot, "A cat."), ("narrator", "It rains.")),
        make((user, "  "), (bot, "Alone.")),
        make((user, "Nobody answers")),
    ]
    found = read(records)
    assert lines(found.interactions) == [
        ["u:Hi", "c:Ho"],
        ["u:Hi\nthere", "c:Ho"],
        ["u:What is this?", "c:A cat."],
        ["u:Hello.", "c:Alone."],
    ]
    for words in (
        "opening words",
        "system instructions",
        "joined",
        "last line of the user",
        "pictures named",
        "narrator",
        "empty turns",
        "only the character speaks",
        "says nothing",
    ):
        assert words in said(found)


def test_macros_are_resolved_as_in_cards() -> None:
    talk = sharegpt(
        ("human", "{{user}} knocks, {{ char }}?"), ("gpt", "{{char}} looks at {{user}}'s coat, <USER>. <BOT> nods.")
    )
    assert lines(read(talk).interactions) == [
        ["u:you knocks, Tola Brask?", "c:Tola Brask looks at your coat, you. Tola Brask nods."]
    ]


@pytest.mark.parametrize(
    "mark",
    [
        "<image>\n",
        "<image_placeholder>\n",
        "Picture 1: <img>clocks/1.jpg</img>\n",
        "<start_of_image>",
        "<|begin_of_image|><|end_of_image|>",
        "<IMG_CONTEXT>",
        "<im_start> <im_end> ",
        "[IMAGE] ",
        "[PIC]\n",
        "[img]http://a.example/a.png[/img]",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg== ",
        "<image>clocks/1.png</image>",
        "![clock](https://example.org/c.png) ",
        "<|image|>",
        "<|image_1|>",
        "<image 1> ",
        '<img="tola_smile">',
        "<|vision_start|><|image_pad|><|vision_end|>",
    ],
)
def test_marks_of_pictures_and_sounds_are_taken_out_and_counted(mark: str) -> None:
    found = read(sharegpt(("human", f"{mark}And this?"), ("gpt", "Slow, 2 < 3 ![no].")))
    assert lines(found.interactions) == [["u:And this?", "c:Slow, 2 < 3 ![no]."]]
    assert "pictures named" in said(found)


@pytest.mark.parametrize("mark", ["<video>", "<audio>", "<audio>a.wav</audio>", "<video>\n", "[AUDIO] ", "<speech>"])
def test_films_and_sounds_are_told_as_such(mark: str) -> None:
    found = read(sharegpt(("human", f"{mark}And this?"), ("gpt", "Slow.")))
    assert lines(found.interactions) == [["u:And this?", "c:Slow."]]
    assert "films and sounds" in said(found) and "pictures named" not in said(found)
    part = {"type": "audio", "audio": "a.wav"}, {"type": "text", "text": "And this?"}
    assert "films and sounds" in said(read(messages(("user", list(part)), ("assistant", "Slow."))))


@pytest.mark.parametrize(
    "shown", ["<image>", "<image 1> compared with <image 2>?", "What is in <image>?", "<video>\n<image>", "[IMG]"]
)
def test_a_question_that_is_only_shown_goes_with_its_answer(shown: str) -> None:
    talk = [("human", "Is the shop open?"), ("gpt", "Open since nine."), ("human", shown), ("gpt", "A cat.")]
    found = read([sharegpt(*talk), sharegpt(*talk[2:], *(("human", "And the bell?"), ("gpt", "It lies.")))])
    assert lines(found.interactions) == [SHOP, BELL] and "only showed was left out" in said(found)
    log = (
        f"{{{{user}}}}: Is the shop open?\n{{{{char}}}}: Open since nine.\n{{{{user}}}}: {shown}\n{{{{char}}}}: A cat."
    )
    assert lines(read(log).interactions) == [SHOP]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("What is this? <image>", "What is this?"),
        ("<image> And that.", "And that."),
        ("Look at my dog. Is he in <image>?", "Look at my dog. Is he in ?"),
        ("I like [wink] <3 and 3 < 4.", "I like [wink] <3 and 3 < 4."),
        ("It says [image missing].", "It says [image missing]."),
        ("See [pic](a) or data: none.", "See [pic](a) or data: none."),
    ],
)
def test_other_words_around_marks_stay(words: str, kept: str) -> None:
    assert lines(read(sharegpt(("human", words), ("gpt", "Yes."))).interactions) == [[f"u:{kept}", "c:Yes."]]


def test_thoughts_are_not_said() -> None:
    found = read(sharegpt(("human", "And the bell?"), ("gpt", "<think>\nShe asks.\n</think>\n\nIt lies.")))
    assert lines(found.interactions) == [BELL] and "thoughts" in said(found)


# ---------------------------------------------------------------- who speaks


def test_the_character_by_name_is_the_character() -> None:
    named = messages(
        ("user", "Is the shop open?"), ("Tola Brask", "Open since nine."), ("user", "Why?"), ("Tola Brask", "So.")
    )
    assert lines(read([named]).interactions) == [[*SHOP, "u:Why?", "c:So."]]
    found = read([shop("Anna", "Tola Brask")])
    assert lines(found.interactions) == [SHOP] and "the lines of 'Anna' were taken as the user's" in said(found)


def test_speakers_that_nobody_told_are_named() -> None:
    with pytest.raises(CharacterProblems, match=r"the speakers 'Anna', 'Tola' are unknown.*'Tola Brask'"):
        read([shop("Anna", "Tola")])


def test_a_question_that_somebody_else_answered_goes_with_the_answer() -> None:
    talk = messages(
        ("user", "Is the shop open?"), ("bing", "Yes, from nine."), ("user", "And the bell?"), ("assistant", "It lies.")
    )
    found = read([talk])
    assert lines(found.interactions) == [BELL] and "'bing'" in said(found)


def test_what_is_marked_as_bad_is_never_learned() -> None:
    for mark in (False, "False", 0, "bad"):
        found = read([shop(label=mark), bell(label=True)])
        assert lines(found.interactions) == [BELL] and "marks as bad were not taken" in said(found)
    kto = [{"prompt": "Is the shop open?", "completion": "Sure!!", "label": False}, bell()]
    assert lines(read(kto).interactions) == [BELL]
    light = shop()
    light["messages"][1]["weight"] = 0  # type: ignore[index]
    assert lines(read([{"messages": [*turns(light), *turns(bell())]}]).interactions) == [BELL]  # type: ignore[misc]


def test_records_of_other_characters_are_left_out() -> None:
    found = read([shop(role="Captain Rell"), bell(role="Tola Brask"), shop(role_name="Nurse Ovie")])
    assert lines(found.interactions) == [BELL]
    assert "other characters were left out: 'Captain Rell', 'Nurse Ovie' (2 x)" in said(found)
    with pytest.raises(CharacterProblems, match=r"it is with 'Captain Rell'\. Import it into the folders of those"):
        read([shop(role="Captain Rell")])


def test_labels_inside_replies_say_who_speaks() -> None:
    talks = [
        sharegpt(("human", "Is the shop open?"), ("gpt", "Tola: Open since nine.")),
        sharegpt(("human", "And the bell?"), ("gpt", "Tola Brask: It lies.\nUser: Why?\nTola: So.")),
        sharegpt(("human", "Rain?"), ("gpt", "Ben: Always.")),
        sharegpt(("human", "Snow?"), ("gpt", "Ben: Never.")),
    ]
    assert lines(read(talks).interactions) == [SHOP, [*BELL, "u:Why?", "c:So."]]
    assert lines(read(sharegpt(("human", "Hi"), ("gpt", "AI: Ho"))).interactions) == [["u:Hi", "c:Ho"]]
    sign = sharegpt(("human", "Open?"), ("gpt", "Closed: come back late.\nYou: wait."))
    assert lines(read([sign, sign]).interactions)[0] == ["u:Open?", "c:Closed: come back late.\nYou: wait."]


def test_notes_show_the_lines_that_they_are_about() -> None:
    lines = [
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Aye."}]}',
        "not a record",
        '{"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Still there?"}]}',
    ]
    found = read_conversations("\n".join(lines), "talks.jsonl", "Ada")
    shown = {note.message.removesuffix("."): note.examples for note in found.notes}
    assert shown["lines that are not JSON were left out"] == ("line 2: not a record",)
    assert shown["a last line of the user without a reply was left out"] == ("Still there?",)
    assert shown["system instructions were left out: persona and scenario take their place"] == ("Be kind.",)
    assert found.notes[0].to_json()["examples"]


def test_a_chat_format_in_a_text_file_is_read() -> None:
    im = "<|im_start|>{}\n{}<|im_end|>\n".format
    shop_, bell_ = (im("user", talk[0][2:]) + im("assistant", talk[1][2:]) for talk in (SHOP, BELL))
    assert lines(read(shop_ + bell_).interactions) == [SHOP + BELL]
    for parted in (shop_ + "\n" + bell_, im("system", "Hum.") + shop_ + im("system", "Hum.") + bell_):
        assert lines(read(parted).interactions) == [SHOP, BELL]
    inst = "<s>[INST] Is the shop open? [/INST] Open since nine.</s><s>[INST] And the bell? [/INST] It lies.</s>"
    assert lines(read(inst).interactions) == [SHOP, BELL]
    with pytest.raises(CharacterProblems, match="other characters were left out: 'Captain Rell'"):
        read(im("system", "You are Captain Rell.") + shop_)


def test_turns_that_say_only_whether_a_person_speaks() -> None:
    for user, other in (
        ({"is_human": True}, {"is_human": False}),
        ({"isUser": 1}, {"isUser": 0}),
        ({}, {"is_bot": "true"}),
    ):
        talk = [
            {"message": "Is the shop open?", **(user or {"is_bot": False})},
            {"message": "Open since nine.", **other},
        ]
        assert lines(read([{"bot_name": "Tola Brask", "conversation": talk}]).interactions) == [SHOP]
    named_ = [{"username": "Anna", "text": "Is the shop open?"}, {"username": "Tola Brask", "text": "Open since nine."}]
    assert lines(read([{"messages": named_}]).interactions) == [SHOP]


def test_a_refusal_says_which_keys_were_found_and_names_the_file_once() -> None:
    with pytest.raises(CharacterProblems) as refused:
        read([{"messages": [{"who": "x", "text": "Is it?"}, {"who": "y", "text": "Yes."}]}])
    text = str(refused.value)
    assert "they have the keys 'who', 'text'" in text and "under from, role, speaker" in text and "nobody" not in text
    assert text.count("talks.json") == 1 and "\nLines of somebody else" in text


def test_people_inside_replies_are_named() -> None:
    found = read([sharegpt(("human", "Snow?"), ("gpt", "Tola: Rarely.\nBen: Never!"))])
    assert lines(found.interactions) == [["u:Snow?", "c:Rarely."]] and "somebody else speaks in it: 'Ben'" in said(
        found
    )
