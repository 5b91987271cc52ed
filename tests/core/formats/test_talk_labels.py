"""Labels before a colon: speakers however they are written, prose that only looks like them, others inside a reply."""

from __future__ import annotations

import time

import pytest

from pipelines.core.formats.card_examples import read_blocks
from pipelines.core.formats.speaker_labels import SpeakerNames
from tests.core.formats.label_samples import PROSE, SPEAKERS
from tests.core.formats.talks import lines, messages, read, said, sharegpt

NAMES = SpeakerNames("Tola Brask")
SHOP, BELL = ["u:Is the shop open?", "c:Open since nine."], ["u:And the bell?", "c:It lies."]


def blocks(text: str, name: str = "Tola Brask") -> list[list[str]]:
    return lines(read_blocks(text, SpeakerNames(name))[0])


@pytest.mark.parametrize(("user", "character"), SPEAKERS)
def test_speakers_are_known_in_every_way_they_are_written(user: str, character: str) -> None:
    text = f"{user}: {SHOP[0][2:]}\n{character}: {SHOP[1][2:]}\n{user}: {BELL[0][2:]}\n{character}: {BELL[1][2:]}"
    assert blocks(text) == [SHOP + BELL]


@pytest.mark.parametrize("reply", PROSE)
def test_prose_with_colons_is_no_speaker(reply: str) -> None:
    whole = reply.replace("{{user}}", "you")
    asked = "{{user}}: Yes?\n{{char}}: Hm.\n%s\n{{user}}: And?\n{{char}}: Again.\n%s"
    both = [["u:Yes?", f"c:Hm.\n{whole}", "u:And?", f"c:Again.\n{whole}"]]
    assert blocks(asked % (reply, reply)) == both
    assert blocks(asked.replace("{{user}}:", "Anna:").replace("{{char}}:", "Tola:") % (reply, reply)) == both
    assert blocks("{{user}}: Yes?\n{{char}}: " + reply) == [["u:Yes?", f"c:{whole}"]]
    for own in ("", "Tola: "):
        told = [
            sharegpt(
                ("human", "Yes?"), ("gpt", f"{own}Hm.\n{reply}"), ("human", "And?"), ("gpt", f"{own}Again.\n{reply}")
            )
        ]
        assert lines(read(told).interactions) == both
    assert lines(read([sharegpt(("human", "Yes?"), ("gpt", reply))]).interactions) == [["u:Yes?", f"c:{whole}"]]


@pytest.mark.parametrize(
    "line",
    [
        "guard: Halt there!",
        "old man: I waited an hour.",
        "Ben: Since ten!",
        "Orin Brask: It does not.",
        "Guard #2: Halt I say!",
        "Ben (whispers): Since ten!",
        "Ben [shouts]: Since ten!",
        "Ben *shouts*: Since ten!",
        "Ben _shouts_: Since ten!",
        "**Ben** (shouts): Since ten!",
        '"Ben": Since ten!',
        "[10:15] Ben: Since ten!",
        "**Ben:** Since ten!",
        "{{random_user_2}}: Since ten!",
        "The Old Man: Since ten!",
    ],
)
def test_what_somebody_else_says_inside_a_reply_is_never_learned(line: str) -> None:
    text = "{{user}}: Is the shop open?\n{{char}}: Open since nine.\n%s\n{{user}}: And the bell?\n{{char}}: It lies."
    [talk] = blocks(text % line)
    assert [turn for turn in talk if turn[0] == "c"] == [SHOP[1], BELL[1]]
    [talk] = lines(
        read(
            [sharegpt(*zip(("human", "gpt"), ("Is the shop open?", f"Open since nine.\n{line}"), strict=True))]
        ).interactions
    )
    assert talk == SHOP


def test_stage_directions_without_brackets_need_a_speaker_who_is_known() -> None:
    text = "{{user}}: Open?\n{{char}}: Since nine.\nBen, shouting: Since ten!\n{{user}}: So?\n{{char}}: No.\n"
    [talk] = blocks(text + "Ben: Yes!")
    assert talk == ["u:Open?", "c:Since nine.", "u:So?", "c:No."]
    found, mended = read_blocks("{{user}}: Open? {{char}} *yawns*: No. {{user}}, waving: So?\n{{char}}: No.", NAMES)
    assert lines(found) == [["u:Open?", "c:No.", "u:So?", "c:No."]]
    assert mended["stage directions between a name and its colon were left out"] == 2


def test_labels_with_a_role_are_somebody_else_where_others_have_the_name() -> None:
    log = "User: Is the shop open?\nTola: Open since nine.\nAssistant: As an AI I cannot say.\n"
    log += "User: And the bell?\nTola: It lies."
    found = read(log)
    assert lines(found.interactions) == [SHOP + BELL] and "under a role without a name" in said(found)
    inside = sharegpt(("human", "Is the shop open?"), ("gpt", "Tola: Open since nine.\nAI: I cannot say."))
    assert lines(read([inside]).interactions) == [SHOP]
    apart = sharegpt(
        *(("human", "Is the shop open?"), ("gpt", "Tola: Open since nine.")),
        *(("human", "Rain?"), ("gpt", "AI: I cannot say."), ("human", "And the bell?"), ("gpt", "It lies.")),
    )
    assert lines(read([apart]).interactions) == [SHOP + BELL]


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ("Since nine. Ben: Since ten!", "Ben"),
        ('"Since nine." Old Ben: "Since ten!"', "Old Ben"),
        ("Since nine.\nBen - Since ten!", "Ben"),
        ("Since nine.\nBen, shouting: Since ten!", "Ben"),
        ("Since nine.\n[Scene: rain]", "[Scene: rain]"),
    ],
)
def test_words_that_may_be_somebody_elses_are_told(words: str, begins: str) -> None:
    found, mended = read_blocks(f"{{{{user}}}}: Open?\n{{{{char}}}}: {words}", NAMES)
    told = f"words inside replies may be somebody else's: they begin with {begins!r}"
    assert lines(found) == [["u:Open?", f"c:{words}"]] and mended[told] == 1
    assert told in said(read([sharegpt(("human", "Open?"), ("gpt", words))]))


@pytest.mark.parametrize(
    "words",
    [
        "Two. Note: Bring the key.",
        "Yes. First: Wind it. Second: Wait.",
        "Tola - That is me.",
        "Well - So it goes.",
        "I said: No. Nine - ten at most.",
        "[Mood: calm]\nYes.",
        "The clock - Brass - is slow.",
        "At 12:30. Never: late.",
    ],
)
def test_ordinary_words_are_not_told_as_somebody_elses(words: str) -> None:
    assert "may be somebody else's" not in said(read([sharegpt(("human", "Open?"), ("gpt", words))]))


def test_names_with_a_dash_are_speakers_where_the_macros_have_one() -> None:
    text = "{{user}} - Is the shop open?\n{{char}} - Open since nine.\nBen - Since ten!\nNote - It rains.\n"
    [talk] = blocks(text + "{{user}} - And the bell?\n{{char}} - It lies.\nBen - Never!\nof course - not")
    assert talk[:2] == SHOP and talk[2:] == BELL


def test_notes_of_the_author_are_out_of_character() -> None:
    found, mended = read_blocks("{{user}}: Open?\n{{char}}: Yes.\nA/N: written by me", NAMES)
    assert lines(found) == [["u:Open?", "c:Yes."]]
    assert mended["words out of character (OOC) and notes to the writer were left out"] == 1


def test_two_speakers_on_one_line() -> None:
    assert blocks("{{user}}: hi {{char}}: hello") == [["u:hi", "c:hello"]]
    inline = "{{user}}: Is the shop open? {{char}}: Open since nine. {{user}}: And the bell?\n{{char}}: It lies."
    assert blocks(inline) == [SHOP + BELL]
    told = blocks("{{user}}: Who?\n{{char}}: I said to {{user}}: wait. {{user}} waited: long.")
    assert told == [["u:Who?", "c:I said to you: wait. you waited: long."]]
    run_on = sharegpt(
        ("human", "Is the shop open?"), ("gpt", "Open since nine. {{user}}: And the bell? {{char}}: It lies.")
    )
    assert lines(read([run_on]).interactions) == [SHOP + BELL]


def test_escaped_line_ends_and_html_breaks_end_lines() -> None:
    for end in ("\\n", "<br>", "<BR />"):
        text = f"<START>{end}" + end.join(
            [
                "{{user}}: Is the shop open?",
                "{{char}}: Open since nine.",
                "{{user}}: And the bell?",
                "{{char}}: It lies.",
            ]
        )
        assert blocks(text) == [SHOP + BELL]


def test_status_lines_lose_nothing() -> None:
    first, second = "Day: 3\nAffection: 10\n\nYes.", "Day: 4\nAffection: 9\n\nSo."
    assert blocks(f"{{{{user}}}}: Open?\n{{{{char}}}}:\n{first}\n{{{{user}}}}: Why?\n{{{{char}}}}:\n{second}") == [
        ["u:Open?", "c:Day: 3\nAffection: 10\n\nYes.", "u:Why?", "c:Day: 4\nAffection: 9\n\nSo."]
    ]


def test_a_title_behind_a_name_calls_nobody() -> None:
    text = "{{user}}: Open?\nTola: Listen.\nClock: nine, it says.\n{{user}}: Bell?\nTola: It lies."
    assert blocks(text, "Tola | The Clock Mender") == [
        ["u:Open?", "c:Listen.\nClock: nine, it says.", "u:Bell?", "c:It lies."]
    ]
    assert blocks("{{user}}: Open?\nThe: hm.\nTola: Yes.", "Tola the Red") == [["u:Open?\nThe: hm.", "c:Yes."]]


def test_the_users_name_before_turns_of_a_data_set() -> None:
    talks = [
        sharegpt(
            ("human", "Anna: Is the shop open?"), ("gpt", "Tola: Open since nine.\nAnna: And the bell?\nTola: It lies.")
        ),
        sharegpt(("human", "Anna: And the bell?"), ("gpt", "It lies.")),
    ]
    assert lines(read(talks).interactions) == [SHOP + BELL, BELL]
    named = [{"role": "user", "name": "Anna", "content": "Is the shop open?"}]
    named.append(
        {"role": "assistant", "name": "Tola", "content": "Open since nine.\nAnna: And the bell?\nTola: It lies."}
    )
    assert lines(read([{"messages": named}]).interactions) == [SHOP + BELL]
    several = sharegpt(("human", "Anna: Rain?"), ("gpt", "Always."), ("human", "Ben: Snow?"), ("gpt", "Never."))
    assert lines(read([several]).interactions) == [["u:Anna: Rain?", "c:Always.", "u:Ben: Snow?", "c:Never."]]


def test_a_user_called_you_is_no_label_inside_a_reply() -> None:
    named = [{"role": "user", "name": "You", "content": "Who?"}, {"role": "assistant", "content": "Look.\nYou: Late."}]
    assert lines(read([{"messages": named}]).interactions) == [["u:Who?", "c:Look.\nYou: Late."]]


def test_other_scripts_inside_replies() -> None:
    reply = "ミラ：九時から。\nベン：十時！\nミラ：違う。"  # noqa: RUF001
    found = read([sharegpt(("human", "何時？"), ("gpt", reply))], "時任ミラ")  # noqa: RUF001
    [talk] = lines(found.interactions)
    assert [turn for turn in talk if turn[0] == "c"] == ["c:九時から。", "c:違う。"]
    listed = sharegpt(("human", "何時"), ("gpt", "九時：開店。\n十時：お茶。"))  # noqa: RUF001
    assert len(read([listed], "時任ミラ").interactions[0]) == 2


def test_common_words_that_go_on_are_no_speakers() -> None:
    reply = "User: is a word I dislike.\nHuman: likewise."
    assert lines(read([sharegpt(("human", "And?"), ("gpt", reply))]).interactions) == [["u:And?", f"c:{reply}"]]
    listed = "Tola: Two.\nYou: late.\nMe: on time."
    assert lines(read([sharegpt(("human", "Who?"), ("gpt", listed))]).interactions) == [
        ["u:Who?", "c:Two.\nYou: late.\nMe: on time."]
    ]
    small = "user: is the shop open?\nbot: since nine.\nuser: why?\nbot: so."
    assert blocks(small) == [["u:is the shop open?", "c:since nine.", "u:why?", "c:so."]]


def test_words_out_of_character_are_left_out_and_told() -> None:
    text = (
        "{{user}}: Open?\n{{char}}: Yes.\n(OOC: keep it short)\n((brb))\n{{user}}: Why? [OOC: no rush]\n{{char}}: So.\n"
    )
    found, mended = read_blocks(text + "[Keep the style of these examples.]", SpeakerNames("Tola"))
    assert lines(found) == [["u:Open?", "c:Yes.", "u:Why?", "c:So."]]
    assert mended["words out of character (OOC) and notes to the writer were left out"] == 4
    record = messages(("user", "Open?"), ("assistant", "Yes.\nOOC: shall I go on?"))
    assert lines(read([record]).interactions) == [["u:Open?", "c:Yes."]] and "OOC" in said(read([record]))
    plain = messages(("user", "Open?"), ("assistant", "Yes (mostly). [She nods.] The ((double)) bell, an ooc bell."))
    assert lines(read([plain]).interactions)[0][1] == "c:Yes (mostly). [She nods.] The ((double)) bell, an ooc bell."


def test_logs_of_other_programs_without_colons() -> None:
    for log in (
        "<anna> Is the shop open?\n<Tola> Open since nine.\n<anna> And the bell?\n<Tola> It lies.",
        "[10:15] <anna> Is the shop open?\n[10:16] <@Tola> Open since nine.\n<anna> And the bell?\n<Tola> It lies.",
        "Anna\tIs the shop open?\nTola Brask\tOpen since nine.\nAnna\tAnd the bell?\nTola Brask\tIt lies.",
        "{{user}} - Is the shop open?\n{{char}} - Open since nine.\n{{user}} - And the bell?\n{{char}} - It lies.",
    ):
        assert blocks(log) == [SHOP + BELL]
    dashed = "{{user}}: Open?\n{{char}}: Yes.\n{{char}} - a mender - nods."
    assert blocks(dashed) == [["u:Open?", "c:Yes.\nTola Brask - a mender - nods."]]


def test_a_group_that_always_speaks_in_a_row_is_no_list() -> None:
    text = "{{user}}: Open?\nTola: Since nine.\nOrla: Since ten!\nBen: Since noon!\nCara: Never!\n"
    text += "{{user}}: So?\nTola: Nine.\nOrla: Ten!\nBen: Noon!\nCara: Never, never!"
    assert blocks(text) == [["u:Open?", "c:Since nine.", "u:So?", "c:Nine."]]


def test_nothing_in_a_block_of_code_is_somebody() -> None:
    status = "```\nNearby: Ben, Orla.\nWatching: Cara!\n```"
    text = "{{{{user}}}}: Open?\n{{{{char}}}}: Yes.\n{}\n{{{{user}}}}: So?\n{{{{char}}}}: No.\n{}".format(
        status,
        status.replace("Ben", "Ann"),
    )
    assert [turn for turn in blocks(text)[0] if "```" in turn] == [
        f"c:Yes.\n{status}",
        f"c:No.\n{status}".replace("Ben", "Ann"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100000,
        "<think>" * 50000,
        "a" * 300000 + " {{user}}: x",
        " " * 200000 + "((",
        "(" * 200000 + "OOC",
        "x: " * 100000,
        "[" * 100000 + " examples",
        "*" * 100000 + ":",
        "<b>" * 50000 + ":",
        "A b " * 50000,
        "\n" * 200000,
        "1. " * 100000,
        "*a* " * 80000 + ":",
        "[a] Tola [a]" * 30000,
        "A, falling " * 30000,
    ],
)
def test_nothing_takes_long(text: str) -> None:
    began = time.process_time()
    read_blocks(f"{{{{user}}}}: Open?\n{{{{char}}}}: Yes.\n{text}", SpeakerNames("Tola"))
    read([sharegpt(("human", "Open?"), ("gpt", f"Yes: {text}"))], "Tola")
    assert time.process_time() - began < 5
