"""What importers say: every note tells what became of it as data, and its sentence says the same."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.import_notes import Mended, note, notes_from, tell
from pipelines.core.problems import Problem, changed, left_out, only_kept
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_charx, as_json, as_png, foreign
from tests.core.formats.whole_inputs import whole_inputs, write_tola

LEFT_OUT = ("left out", "not taken", "not read", "not used", "not in it", "dropped", "taken once", "belongs to no")
LEFT_OUT += ("no held-out pictures", "turns without words")
"""How a sentence says that something is not taken in."""
MESSY_TALK = (
    "<START>\nbefore\n{{user}}: Hi {{random:a,b}}{{#if x}}y{{/if}}\n{{char}}: Aye.\n{{char}}: Aye."
    "\nBen: Me too.\nBen: So.\n{{user}}: And?\n<START>\nnobody says this\n<START>\n{{char}}: Hello?"
    "\n{{char}}: <think>hm</think>Well."
)
MESSY_RECORDS = [
    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi <image>"}, 7]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Aye.", "weight": 0}]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>x</think>Aye."}]},
    {
        "messages": [
            {"role": "user", "say": "Hi"},
            {"role": "Ben", "content": "Me too."},
            {"role": "user", "content": ""},
        ]
    },
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Aye."}], "character": "Ben"},
    {"prompt": "Rain?", "chosen": "Always.", "rejected": "Never."},
    {"strange": 1},
]


def _messy(scratch: Path) -> dict[str, bytes]:
    """Files that need mending, by name; conversations and lorebooks are added to Tola."""
    odd = {"type": "other", "name": "song", "ext": "mp3", "uri": "https://x.example/song.mp3"}
    gone = {"type": "icon", "name": "main", "ext": "png", "uri": "embeded://gone.png"}
    card = foreign(name="Tola", mes_example=MESSY_TALK, nickname=7, assets=[odd, gone, {"type": "icon"}])
    more = {"alternate_greetings": ["Hm."], "system_prompt": "Be kind.", "post_history_instructions": "Now."}
    card["data"] |= more
    rows = io.StringIO()
    csv.writer(rows).writerows([["file_name", "text", "score"], ["a.png", "long " * 80, "1"], ["no.png", "x", "2"]])
    pictures = {f"train/{name}.png": encoded(drawing(number)) for number, name in enumerate("ab")}
    pictures |= {"train/c.png": pictures["train/a.png"], "train/d.png": b"MZ" * 50, "test/e.png": encoded(drawing(5))}
    texts = {"train/metadata.csv": rows.getvalue().encode(), "train/nobody.txt": b"x", "train/song.mp3": b"x"}
    write_tola(scratch / "tola")
    own = {path.relative_to(scratch / "tola").as_posix(): path.read_bytes() for path in (scratch / "tola").rglob("*.*")}
    own["images/09.png"] = own.pop("images/02.png")
    own["character.yaml"] += b"colour: red\n"
    lines = "\n".join([*map(json.dumps, MESSY_RECORDS), "no record"])
    return {
        "messy.png": as_png({"ccv3": card}),
        "messy.json": as_json(card | {"spec_version": "3.1"}),
        "messy-pictures.zip": as_charx(pictures | texts),
        "messy-folder.zip": as_charx(own),
        "messy.jsonl": lines.encode("cp1252"),
        "messy.txt": f"{MESSY_TALK}\nTola: Caf\u00e9.".encode("cp1252"),
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    """The notes of every whole input and of files that need mending."""
    folder = tmp_path_factory.mktemp("sources")
    files = {one.name: one.data for one in whole_inputs(folder / "whole")} | _messy(folder / "messy")
    single = ("picture.", "character.yaml", "test.yaml", "caption.txt")
    added = [one.name for one in whole_inputs(folder / "again") if one.is_added] + ["messy.jsonl", "messy.txt"]
    found: list[Problem] = []
    for name, data in files.items():
        if name.startswith(single):
            continue
        source, target = folder / name, folder / f"of {name}"
        if name.endswith(".folder"):
            zipfile.ZipFile(io.BytesIO(data)).extractall(source)
        else:
            source.write_bytes(data)
        if name in added:
            write_tola(target)
        found += import_file(source, target, role="Tola" if "mmrole" in name else "", keeps_adapter=False)
    return found


def test_every_note_of_an_import_tells_what_became_of_it(told: list[Problem]) -> None:
    assert {item.outcome for item in told} == {"left out", "changed", "kept"}
    assert len({item.message for item in told}) > 30, "too little is told to prove anything"
    assert not [item.message for item in told if "(" in item.message and " x)" in item.message]


def test_sentence_and_outcome_agree(told: list[Problem]) -> None:
    for item in told:
        says = "left out" in item.message
        assert not says or item.outcome == "left out", item
        assert item.outcome != "left out" or any(words in item.message for words in LEFT_OUT), item
        assert "kept for export" not in item.message or item.outcome in ("kept", "left out"), item


def test_the_same_sentence_has_one_outcome_and_one_mend(told: list[Problem]) -> None:
    kinds = {(item.message, item.outcome, item.mend) for item in told}
    assert not [message for message, times in Counter(message for message, *_ in kinds).items() if times > 1]


def test_counted_changes_carry_outcome_count_and_examples() -> None:
    mended = Mended()
    for line in ("a", "b"):
        tell(mended, left_out("lines were left out", "Look at them."), line)
    more = Mended({changed("turns were joined"): 1, only_kept("parts are kept for export"): 3, "names were put in": 1})
    out, joined, kept, names = notes_from(mended + more, "x.json")
    assert (out.outcome, out.count, out.examples, out.mend) == ("left out", 2, ("a", "b"), "Look at them.")
    assert (out.message, out.said) == ("lines were left out.", "lines were left out (2 x).")
    assert (joined.outcome, joined.said, joined.mend) == ("changed", "turns were joined.", "")
    assert (kept.outcome, kept.count, names.outcome) == ("kept", 3, "changed")
    assert note("x.json", "It is so.").outcome == "changed"


def test_problems_of_before_are_read_and_written_as_they_were() -> None:
    old = {"field": "persona", "message": "No.", "mend": "Yes.", "severity": "error"}
    assert Problem.from_json(old) == Problem("persona", "No.", "Yes.") and Problem.from_json(old).to_json() == old
    (new,) = notes_from(Mended({left_out("lines were left out"): 2}), "x.json")
    assert Problem.from_json(json.loads(json.dumps(new.to_json()))) == new
    assert new.to_json() | {"outcome": "left out", "count": 2} == new.to_json()
