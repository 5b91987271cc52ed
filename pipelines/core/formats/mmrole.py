"""MMRole in: one role of the data set as a character, its test samples as the held-out split.

The role's profile becomes persona and style, its samples conversations about a picture that somebody shows: the human,
or another role, whose name stands in `Message.speaker`. What only the other says, what is told about a picture, and a
model's answers are never learned. Samples of the same talk, each one line longer, become one conversation. Nothing of
the test is learned: talks with a reply of the test, or with its question about the same picture, are left out.
What a character has no place for is kept under `extensions.mmrole`, from which `mmrole_export.py` writes the samples.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

from pipelines.core.character.character import Character, Fact, Interaction, TestSplit, is_file_name, message
from pipelines.core.formats.import_notes import Mended, chosen_role, note, notes_from, refuse, tell
from pipelines.core.formats.imported_character import ImportedCharacter
from pipelines.core.formats.mmrole_files import MMRoleSource, Sample
from pipelines.core.formats.mmrole_records import RUN_ON_LEFT_OUT, Line, MMRoleRecord, talk_of
from pipelines.core.problems import Problem, left_out
from pipelines.core.words import count_words, normalized_words

KEPT_KEY = "mmrole"
"""Key in `Character.extensions` for what samples need beside the conversations."""
LICENCE = "Texts of MMRole: MIT. Pictures: film stills and COCO photos, whose rights are other people's."
MAX_PHRASES_CHARS = 200
"""Most characters of catchphrases in the fact about them; facts are short."""
SEEN_WORDS = 4
"""Shorter lines may stand in training and test alike."""

_TITLE = re.compile(r"^(?:#{1,6}[ \t]+(?P<heading>[^\n]+?)|\*\*(?P<bold>[^*\n]+)\*\*[ \t]*:?)[ \t]*$", re.MULTILINE)
_MANNER = re.compile(r"personalit|catchphrase|性格|口头禅|名言|台词", re.IGNORECASE)
_PHRASES = re.compile(r"catchphrase|口头禅|名言|台词", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“](?P<words>[^\"“”\n]{2,160})[\"”]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_TURN_NUMBER = re.compile(r"_(\d+)$")


@dataclass
class _Talk:
    """Samples of one talk: the longest of them."""

    record: MMRoleRecord
    split: str
    interaction: Interaction
    id: str


@dataclass
class _Pictures:
    source: MMRoleSource
    missing: set[str] = field(default_factory=set)
    found: dict[str, bytes] = field(default_factory=dict)

    def name_of(self, image: str) -> str:
        """File name of a picture by its path, "" when it is not there; its bytes are read once."""
        name = file_name(image)
        if name not in self.found and image not in self.missing:
            data = self.source.picture(image) if name else None
            if data is None:
                self.missing.add(image)
            else:
                self.found[name] = data
        return name if name in self.found else ""


def file_name(image: str) -> str:
    """A picture's name in the character folder: its path with two underscores between folders, which leads back."""
    name = re.sub(r"[\\:*?\"<>|\x00-\x1f]", "_", "__".join(PurePosixPath(image).parts)).lstrip(".")
    if not name or is_file_name(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{digest}{PurePosixPath(image).suffix.lower()}"


def choose_role(source: MMRoleSource, role: str = "") -> str:
    """The role that is meant: the named one, spelled as it is there, or the only one.

    Raises:
        RoleNeeded: several and none named. CharacterProblems: no such role, or no sample that can be read.
    """
    roles = source.roles()
    if not roles:
        refuse(source.name, "holds no sample that can be read", "Get the file again.")
    if not role and len(roles) == 1:
        return next(iter(roles))
    return chosen_role(source.name, roles, role)


def read_mmrole(source: MMRoleSource, role: str = "") -> ImportedCharacter:
    """One role of a source with both splits; raises as `choose_role` does."""
    role = choose_role(source, role)
    pictures, mended = _Pictures(source), Mended()
    samples = list(source.samples(role))
    mended.update(source.unreadable)
    answered = sum(sample.record.has_answer for sample in samples)
    if answered:
        mended[left_out("answers of a model were left out: the role's own reply stands beside them")] += answered
    for sample in samples:
        if sample.record.run_on:
            tell(mended, RUN_ON_LEFT_OUT, sample.record.run_on)
    talks = [talk for sample in samples if (talk := _talk(sample, pictures, mended))]
    tests = _distinct([talk for talk in talks if talk.split])
    trained = _unseen(_longest([talk for talk in talks if not talk.split]), tests, mended)
    records = [sample.record for sample in samples]
    if any(record.language != "English" for record in records):
        mended["samples in another language are kept: the starter knows English alone"] += sum(
            record.language != "English" for record in records
        )
    for image in sorted(pictures.missing)[:1]:
        more = "" if len(pictures.missing) == 1 else f" and {len(pictures.missing) - 1} more"
        mended[left_out(f"pictures that are not in images/ were left out: {image[:80]}{more}")] += len(pictures.missing)
    character = _character(role, records, [*trained, *tests])
    in_training, in_test = _shown(trained), _shown(tests)
    character_images = {file: pictures.found[file] for file in in_training}
    test_images = {file: pictures.found[file] for file in in_test}
    return ImportedCharacter(
        _with_talks(character, trained, in_training),
        TestSplit(dialogues=tuple(talk.interaction for talk in tests), input_images=in_test),
        character_images,
        test_images,
        [*notes_from(mended, source.name), *_told(source.name, role, trained, tests)],
    )


def _with_talks(character: Character, talks: Sequence[_Talk], images: tuple[str, ...]) -> Character:
    return replace(character, interactions=tuple(talk.interaction for talk in talks), input_images=images)


def _told(file: str, role: str, trained: Sequence[_Talk], tests: Sequence[_Talk]) -> list[Problem]:
    """What the creator must know of an import in which nothing went wrong."""
    notes = [
        note(
            file,
            f"The pictures show what {role} talks about, not {role}.",
            f"Add about ten pictures of {role}: the looks are learned from them.",
        )
    ]
    if tests:
        notes.append(
            note(
                file, f"{len(tests)} samples of the test are kept for the scorecard and never learned.", outcome="kept"
            )
        )
    if not trained:
        mend = "Take the training file too (data/train), or write conversations."
        notes.append(note(file, f"There is no training sample of {role}, only the test.", mend))
    return notes


# ---------------------------------------------------------------- samples -> conversations


def lines_of(record: MMRoleRecord) -> list[Line]:
    """All lines of a sample, its reply last; those of one side in a row are joined."""
    last = [Line(record.other, record.words)] if record.words else []
    return talk_of([*record.history, *last, Line(record.role, record.reply)], record.role)


def interaction_of(record: MMRoleRecord, image: str) -> Interaction:
    """A sample's lines as a conversation; where the role begins, the other shows the picture without a word.

    image: file name of the picture, "" for none. () when the role begins about a picture that is not there.
    """
    lines = lines_of(record)
    if lines[0].name == record.role:
        if not image:
            return ()
        lines = [Line(record.other, ""), *lines]
    shown, info = [image] if image else [], record.image_info
    turns = [message("user", lines[0].words, shown, speaker=lines[0].name, image_info=info)]
    for line in lines[1:]:
        is_own = line.name == record.role
        turns.append(message("character", line.words) if is_own else message("user", line.words, speaker=line.name))
    return tuple(turns)


def _talk(sample: Sample, pictures: _Pictures, mended: Counter[str]) -> _Talk | None:
    record = sample.record
    interaction = interaction_of(record, pictures.name_of(record.image) if record.image else "")
    if not interaction:
        sentence = left_out("talks that the role begins about a missing picture were left out")
        tell(mended, sentence, f"{record.id}: {record.reply}")
        return None
    # A sample's id is its talk's and the place of the reply in it.
    id = record.id if sample.split else _TURN_NUMBER.sub("", record.id)
    return _Talk(record, sample.split, interaction, id)


def _distinct(talks: Sequence[_Talk]) -> list[_Talk]:
    return list({digest(talk.interaction): talk for talk in reversed(talks)}.values())[::-1]


def _longest(talks: Sequence[_Talk]) -> list[_Talk]:
    """Of talks that begin alike the longest: its replies are all learned, the shorter ones' among them."""
    kept: dict[Interaction, _Talk] = {}
    beginnings: set[Interaction] = set()
    for talk in sorted(talks, key=lambda talk: -len(talk.interaction)):
        turns = talk.interaction
        if turns in beginnings:
            continue
        beginnings.update(turns[:end] for end in range(2, len(turns) + 1))
        kept[turns] = talk
    order = {turns: place for place, turns in enumerate(dict.fromkeys(talk.interaction for talk in talks))}
    return sorted(kept.values(), key=lambda talk: order[talk.interaction])


def _unseen(talks: Sequence[_Talk], tests: Sequence[_Talk], mended: Counter[str]) -> list[_Talk]:
    """The talks of which the test holds no reply, and no line about the same picture."""
    tested = {line for talk in tests for line in _comparable(talk.interaction)}
    unseen = []
    for talk in talks:
        if tested & set(_comparable(talk.interaction)):
            sentence = left_out("talks with a line of the test were dropped from training")
            tell(mended, sentence, f"{talk.id}: {talk.interaction[-1].text}")
        else:
            unseen.append(talk)
    return unseen


def _comparable(interaction: Interaction) -> list[tuple[str, str, tuple[str, ...]]]:
    lines = ((turn.role, normalized_words(turn.text), turn.images) for turn in interaction)
    return [line for line in lines if count_words(line[1]) >= SEEN_WORDS]


def _shown(talks: Iterable[_Talk]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(file for talk in talks for turn in talk.interaction for file in turn.images))


def digest(interaction: Interaction) -> str:
    """Names a conversation by its content, so that what is kept about it is found while nobody changed it."""
    parts = "\n".join(repr((turn.role, turn.speaker, turn.text, turn.images)) for turn in interaction)
    return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()[:12]


# ---------------------------------------------------------------- the character


def _character(role: str, records: Sequence[MMRoleRecord], talks: Sequence[_Talk]) -> Character:
    """Texts and facts of a role, and what samples need to be written again."""
    profile = next((record.profile for record in records if record.profile), "")
    persona, style = texts_of(profile)
    scripts = Counter(record.script for record in records if record.script)
    script = scripts.most_common(1)[0][0] if scripts else ""
    others = {record.other: record.other_profile for record in records if record.other and record.other_profile}
    kept: dict[str, object] = {
        "role": role,
        "script": script,
        "profile": profile,
        "system": next((record.system for record in records if record.system), ""),
        "others": others,
        "wording": _wording(records),
        "samples": {
            digest(talk.interaction): _plain(
                {
                    "id": talk.id,
                    "scenario": talk.record.scenario,
                    "image": talk.record.image,
                    "split": talk.split,
                    "language": "" if talk.record.language == "English" else talk.record.language,
                }
            )
            for talk in talks
        },
    }
    return Character(
        name=role,
        persona=persona or (f"{role} from {script}." if script else role),
        style=style,
        facts=_facts(role, profile),
        licence=LICENCE,
        extensions={KEPT_KEY: {key: value for key, value in kept.items() if value}},
    )


def _plain(entry: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in entry.items() if value}


def _wording(records: Sequence[MMRoleRecord]) -> dict[str, dict[str, str]]:
    """Scenario -> the sentences that most of its samples have around their parts."""
    counted: dict[tuple[str, str], Counter[str]] = {}
    for record in records:
        for key, template in record.wording.items():
            counted.setdefault((record.scenario, key), Counter())[template] += 1
    found: dict[str, dict[str, str]] = {}
    for (scenario, key), templates in sorted(counted.items()):
        found.setdefault(scenario, {})[key] = templates.most_common(1)[0][0]
    return found


def texts_of(profile: str) -> tuple[str, str]:
    """Persona and style of a profile: its sections on personality and catchphrases are the style."""
    sections = _sections(profile)
    persona = [text for title, text in sections if text and not _MANNER.search(title)]
    style = [text for title, text in sections if text and _MANNER.search(title)]
    return "\n\n".join(persona), "\n\n".join(style)


def _sections(profile: str) -> list[tuple[str, str]]:
    """Title and text of each section; words before the first title have none."""
    titles = list(_TITLE.finditer(profile))
    first = profile[: titles[0].start()] if titles else profile
    found = [("", first.strip())]
    for title, following in zip_longest(titles, titles[1:]):
        text = profile[title.end() : following.start() if following else len(profile)]
        found.append(((title["heading"] or title["bold"]).strip(), text.strip()))
    return found


def _facts(role: str, profile: str) -> tuple[Fact, ...]:
    """One fact: what the role likes to say, as far as the profile quotes it."""
    said = "\n".join(text for title, text in _sections(profile) if _PHRASES.search(title))
    answer = ""
    for found in _QUOTED.finditer(said):
        longer = f"{answer} {found['words'].strip()}".strip()
        if len(longer) > MAX_PHRASES_CHARS:
            break
        answer = longer
    question = "你常说什么\uff1f" if _HAN.search(role) else "What do you like to say?"
    return (Fact(question, answer),) if answer else ()


def kept_of(character: Character) -> dict[str, Any]:
    """What an import has kept of MMRole; {} without."""
    kept = character.extensions.get(KEPT_KEY)
    return kept if isinstance(kept, dict) else {}
