"""Conversations from other programs' files: `read_conversations` takes any of them and says what it did.

`chat_records.py` knows the shapes, `card_examples.py` the `<START>` blocks and plain logs. Here it is decided who is
the character, what may be learned, and what the creator is told: words of somebody else, answers that are marked as
bad and conversations with other characters are never learned. Pictures inside such files are only names; they are
not imported. Text from which nothing can be used raises `CharacterProblems`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn

from pipelines.core.character.character import Interaction
from pipelines.core.character.macros import is_character_macro, is_user_macro
from pipelines.core.character.preferences import REJECTED_KEY
from pipelines.core.formats.blank_lines import NOT_PARTED, PARTED
from pipelines.core.formats.card_examples import (
    CALL_BY_NAME,
    BlockTurn,
    TurnRole,
    first_of,
    named,
    read_blocks,
    settle_turns,
    somebody_else,
    told_others,
    told_unsure,
    turn_of,
    within_limits,
)
from pipelines.core.formats.chat_logs import chat_logs
from pipelines.core.formats.chat_records import read_values, records_of
from pipelines.core.formats.import_notes import Mended, notes_from, refuse, tell
from pipelines.core.formats.label_words import NARRATOR_LABELS
from pipelines.core.formats.media_marks import needs_marks, without_marks
from pipelines.core.formats.mmrole_files import split_of
from pipelines.core.formats.mmrole_records import is_record
from pipelines.core.formats.prompted_names import is_mentioned, prompted_name
from pipelines.core.formats.speaker_evidence import Speaker
from pipelines.core.formats.speaker_labels import SpeakerLabels, SpeakerNames
from pipelines.core.formats.transcripts import transcripts_of
from pipelines.core.formats.turn_fields import ROLES, RawRecord, RawTurn
from pipelines.core.problems import CharacterProblems, Problem, changed, left_out
from pipelines.core.words import tidy_text, visible

BAD_LEFT_OUT = left_out("answers that the file marks as bad were not taken", "Nothing to do: they are never learned.")
SAME_LEFT_OUT = left_out("rejected answers that say the same as the chosen one were left out")
MAX_REJECTED = 1000
"""Most rejected answers that are kept of one file, and of one character."""
_JSON_BEGINS = re.compile(r"\s*(?:\{\s*\"|\[\s*[\[{\"])")


@dataclass(frozen=True)
class RejectedReply:
    """An answer that was not chosen, beside the one that was; the form of `Votes` (prompt, chosen, rejected)."""

    prompt: str
    chosen: str
    rejected: str

    def to_json(self) -> dict[str, str]:
        """`{"prompt", "chosen", "rejected"}`."""
        return {"prompt": self.prompt, "chosen": self.chosen, "rejected": self.rejected}


@dataclass(frozen=True)
class Conversations:
    """What a file held."""

    interactions: tuple[Interaction, ...]
    notes: list[Problem]
    """What was mended or left out, counted; warnings all."""
    rejected: tuple[RejectedReply, ...] = ()
    is_parted: bool | None = None
    """Whether empty lines were taken as the ends of conversations; None where they cannot be meant so."""
    otherwise: Conversations | None = None
    """The same text read the other way, where somebody may choose."""


def read_conversations(
    text: str, file: str, name: str = "", nickname: str = "", parts_at_blank: bool | None = None
) -> Conversations:
    """The conversations of a text: JSON, JSON lines, `<START>` blocks, a log of `Name: words`, a model's chat format.

    `name` is the character's; without one only roles and macros say who speaks. `parts_at_blank`: whether empty lines
    are the ends of conversations, where they may be (`blank_lines.py`); None where the text itself has to say.
    """
    if _JSON_BEGINS.match(text.lstrip("\ufeff")):
        return conversations_from_json(text, file, name, nickname)
    reader = _Reader(SpeakerNames(name, nickname))
    if talks := transcripts_of(text.lstrip("\ufeff"), parts_at_blank, reader.mended):
        found = reader.found([RawRecord(tuple(talk)) for talk in talks], Counter(), file)
    else:
        found = Conversations(*interactions_from_start_blocks(text, name, nickname, file, parts_at_blank))
    told = {note.message.removesuffix(".") for note in found.notes}
    return replace(found, is_parted=PARTED in told if told & {PARTED, NOT_PARTED} else None)


def with_rejected(extensions: Mapping[str, object], rejected: Iterable[RejectedReply]) -> dict[str, object]:
    """The extensions of a character with more answers that were not chosen, each once; at most `MAX_REJECTED`."""
    more = [reply.to_json() for reply in rejected]
    if not more:
        return dict(extensions)
    there = extensions.get(REJECTED_KEY)
    kept: list[object] = list(there) if isinstance(there, list) else []
    kept += [reply for number, reply in enumerate(more) if reply not in kept and reply not in more[:number]]
    return {**extensions, REJECTED_KEY: kept[:MAX_REJECTED]}


def interactions_from_start_blocks(
    text: str, name: str, nickname: str = "", file: str = "the examples", parts_at_blank: bool | None = None
) -> tuple[tuple[Interaction, ...], list[Problem]]:
    """Conversations of `<START>` blocks or a log, with `{{user}}:`, `{{char}}:` or a name before each turn."""
    interactions, mended = read_blocks(tidy_text(text).lstrip("\ufeff"), SpeakerNames(name, nickname), parts_at_blank)
    if not interactions:
        _refuse_all(file, "", "Begin each with <START>, and each turn with {{user}}: or {{char}}:.", mended)
    return interactions, notes_from(mended, file)


def conversations_from_json(text: str, file: str = "the data", name: str = "", nickname: str = "") -> Conversations:
    """The conversations of JSON or JSON lines in any of the shapes of `chat_records.py`."""
    reader = _Reader(SpeakerNames(name, nickname))
    values = read_values(text, file, reader.mended)
    if any(is_record(value) for value in values) and split_of(file):
        mend = "Import the whole data as a character: its test is kept for the scorecard."
        refuse(file, "is a test of MMRole, which must not be learned", mend)
    logs = [chat_logs(value) for value in values]
    rest = [value for value, chats in zip(values, logs, strict=True) if not chats]
    records, columns = records_of(rest, reader.mended)
    return reader.found([*(record for chats in logs for record in chats), *records], columns, file)


def conversations_of_records(
    records: Sequence[RawRecord], name: str, nickname: str = "", file: str = "the chats"
) -> Conversations:
    """The conversations of records that came with a character; none is no fault."""
    reader = _Reader(SpeakerNames(name, nickname))
    interactions = reader.read(records)
    return Conversations(interactions, notes_from(reader.mended + reader.told(), file), tuple(reader.rejected))


def _refuse_all(file: str, found: str, mend: str, mended: Counter[str]) -> NoReturn:
    """Refuse a file of which nothing is left, with everything that was left out as the reason."""
    message = f"{file} holds no conversation that can be read{found}."
    raise CharacterProblems([Problem(file, message, mend), *notes_from(mended, file)])


@dataclass
class _Reader:
    """Turns raw records into interactions."""

    names: SpeakerNames
    mended: Mended = field(default_factory=Mended)
    rejected: list[RejectedReply] = field(default_factory=list)
    strangers: Counter[str] = field(default_factory=Counter)
    """Speakers who are neither the user nor the character."""
    inside: Counter[str] = field(default_factory=Counter)
    """Other people whose lines stand inside the character's turns."""
    other_roles: Counter[str] = field(default_factory=Counter)
    """Characters other than this one, with whom records are."""
    unsure: Counter[str] = field(default_factory=Counter)
    """The note on words inside replies that may be somebody else's."""
    prompted: Counter[str] = field(default_factory=Counter)
    """Others whom instructions ask for in records that were kept all the same."""
    user: str = ""
    """The name that was taken for the user's."""
    users: frozenset[str] = frozenset()
    """Names beside the user's role, case-folded."""
    alias: str = ""
    """The one other name in the character's role, which is taken for the character's."""
    labels: SpeakerLabels = field(init=False)

    def read(self, records: Sequence[RawRecord]) -> tuple[Interaction, ...]:
        usable = first_of([record for record in records if self._is_usable(record)], self.mended)
        self._choose_names(usable)
        self._choose_user(usable)
        said: dict[TurnRole, list[str]] = {}
        people: dict[str, Speaker] = {}
        for turn in (turn for record in usable for turn in record.turns):
            role = self._role(turn)
            said.setdefault(role, []).append(turn.text)
            name = turn.name or turn.speaker
            if role == "other" and name and not self.names.is_character(name):
                people[name] = "other"
            elif role == "user" and name and name.casefold() not in ROLES and not self.names.is_character(name):
                people[name] = "user"
        self.labels = SpeakerLabels.of_turns(self.names, said.get("character", []), said.get("user", []), people)
        interactions = []
        for record in usable:
            settled = settle_turns(self._turns(record), self.mended)
            if settled:
                interactions.append(settled)
        self.unsure = told_unsure(interactions, self.names)
        return within_limits(interactions, self.mended)

    def found(self, records: Sequence[RawRecord], columns: Counter[str], file: str) -> Conversations:
        """What a file holds; `columns` are those of its records that hold no conversation."""
        interactions = self.read(records)
        notes = self.mended + self.told()
        if interactions:
            return Conversations(interactions, notes_from(notes, file), tuple(self.rejected))
        message = f" (it has the columns {named(columns)})" if columns else ""
        turns = '[{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]'
        mend = f'Each record must look like {{"conversations": {turns}}}.'
        if self.strangers:
            message += f": the speakers {named(self.strangers)} are unknown"
            own = repr(self.names.name) if self.names.name else "by its name"
            mend = f'Call the character "assistant" or {own} in the file, and the user "user".'
        elif self.other_roles:
            message += f": it is with {named(self.other_roles)}"
            mend = "Import it into the folders of those characters, or as a character of its own."
        _refuse_all(file, message, mend, notes)

    def told(self) -> Counter[str]:
        """What the creator must know about speakers that the file does not explain."""
        told: Counter[str] = Counter(self.unsure)
        if self.alias:
            sentence = f"the turns of {self.alias!r} were taken as the character's: it has no other name in the file"
            told[changed(sentence, "If that is somebody else, take them out of the file.")] += 1
        if self.user:
            told[f"the lines of {self.user!r} were taken as the user's"] += 1
        if self.strangers:
            known = "" if not self.names.name else f", not {self.names.name!r}"
            count = sum(self.strangers.values())
            sentence = (
                f"turns of an unknown speaker: {named(self.strangers)}{known} (known: user, assistant, human, gpt)"
            )
            told[changed(sentence, CALL_BY_NAME)] += count
        if self.inside:
            told[somebody_else(self.inside)] += self.inside.total()
        if self.other_roles:
            told.update(told_others(self.other_roles))
        if self.prompted:
            sentence = f"conversations were kept whose instructions ask for somebody else: {named(self.prompted)}"
            mend = "If the replies are not the character's, take these conversations out of the file."
            told[changed(sentence, mend)] += self.prompted.total()
        if self.rejected:
            sentence = "answers that were not chosen are kept as rejected ones: stage 2 learns to prefer the chosen"
            told[changed(sentence)] += len(self.rejected)
        return told

    def _is_usable(self, record: RawRecord) -> bool:
        known = record.role.strip().casefold()
        if known and known not in ROLES and self.names.name and not self.names.is_character(record.role):
            self.other_roles[record.role] += 1
            return False
        if known and self.names.is_character(record.role):
            return True  # whatever its prompt says
        prompts = [
            record.prompt,
            *(turn.text for turn in record.turns if ROLES.get(turn.speaker.casefold()) == "system"),
        ]
        other = next(filter(None, (prompted_name(prompt, self.names) for prompt in prompts)), "")
        if other and not any(is_mentioned(prompt, self.names) for prompt in prompts):
            self.other_roles[other] += 1
            return False
        asked = next((turn.text for turn in record.turns if ROLES.get(turn.speaker.casefold()) == "user"), "")
        if other := other or prompted_name(asked, self.names):
            self.prompted[other] += 1
        return True

    def _role(self, turn: RawTurn) -> TurnRole:
        plain = turn.speaker.casefold()
        if plain in ROLES and not turn.is_name:
            is_other = ROLES[plain] == "character" and turn.name and not self._is_own(turn.name)
            return "other" if is_other else ROLES[plain]
        if is_user_macro(turn.speaker) or (self.user and plain == self.user.casefold()) or plain in self.users:
            return "user"
        is_own = self.names.is_character if turn.is_name else self.names.is_whole_name
        if is_character_macro(turn.speaker) or is_own(turn.speaker):
            return "character"
        return "narrator" if plain in NARRATOR_LABELS else "other"

    def _is_own(self, name: str) -> bool:
        """Whether a name beside the character's role is the character's."""
        return not self.names.name or name == self.alias or self.names.is_character(name)

    def _choose_names(self, records: Sequence[RawRecord]) -> None:
        """Whether the character's role bears its name; one foreign name throughout is another name for it.

        It is none where the character's own stands beside the user's role, or where a conversation has both the name
        and the mere role.
        """
        called = [turn for record in records for turn in record.turns if turn.name]
        names = Counter(turn.name for turn in called if ROLES.get(turn.speaker.casefold()) == "character")
        users = {turn.name for turn in called if ROLES.get(turn.speaker.casefold()) == "user"}
        self.users = frozenset(name.casefold() for name in users if not self.names.is_character(name))
        shared = any(
            len({bool(turn.name) for turn in record.turns if ROLES.get(turn.speaker.casefold()) == "character"}) > 1
            for record in records
        )
        own = any(map(self.names.is_character, names.keys() | users))
        if self.names.name and len(names) == 1 and not own and not shared:
            [self.alias] = names

    def _choose_user(self, records: Sequence[RawRecord]) -> None:
        """Where nobody is called the user: whoever the character answers most often."""
        answered: Counter[str] = Counter()
        for record in records:
            roles = [self._role(turn) for turn in record.turns]
            if "user" in roles:
                return
            for turn, role, following in zip(record.turns, roles, roles[1:], strict=False):
                if role == "other" and following == "character" and turn.speaker and not turn.name:
                    answered[turn.speaker] += 1
        self.user = next((speaker for speaker, _ in answered.most_common(1)), "")

    def _turns(self, record: RawRecord) -> list[BlockTurn]:
        turns: list[BlockTurn] = []
        asked = ""
        last = len(record.turns) - 1
        is_named = any(map(self._bears_name, record.turns))
        for number, raw in enumerate(record.turns):
            role = self._role(raw)
            words = without_marks(raw.text, self.mended)
            if role == "character" and not (raw.is_good and (record.is_good or number != last)):
                tell(self.mended, BAD_LEFT_OUT, words)
                turns.append(BlockTurn("other", ""))
            elif role == "character":
                self._keep_rejected(asked, words, raw.rejected)
                turns += self._labelled(words, raw, is_named)
            elif role == "other":
                name = raw.name or raw.speaker
                if name or raw.is_name:
                    self.strangers[name or "(nobody)"] += 1
                turns.append(BlockTurn("other", self._resolved(words), name=name))
            else:
                words = self.labels.without_own_label(words) if role == "user" else words
                is_own = role == "user" and self._bears_name(raw)
                is_shown = role == "user" and (needs_marks(raw.text) or (raw.is_shown and not visible(words)))
                if role == "user":
                    asked = "" if is_shown else self._resolved(words)
                called: Literal["", "name"] = "name" if is_own else ""
                turns.append(BlockTurn(role, self._resolved(words), called=called, is_shown=is_shown))
        return turns

    def _labelled(self, words: str, raw: RawTurn, is_named: bool) -> list[BlockTurn]:
        """A reply by the speakers that its own lines name, else by what the record calls its speaker.

        `is_named`: some line of the record bears the character's name, so that a mere role is somebody else.
        """
        turns = []
        for part in self.labels.split_reply(words):
            turn = turn_of(part, self._resolved(part.words), self.mended)
            self.inside.update([part.label] if part.speaker == "other" else [])
            if turn.role == "character" and not turn.called and is_named and not is_character_macro(raw.speaker):
                turn = replace(turn, name=raw.name or raw.speaker, called="name" if self._bears_name(raw) else "role")
            turns.append(turn)
        return turns

    def _bears_name(self, turn: RawTurn) -> bool:
        """Whether a turn is said by the character's name, beside a role or instead of one."""
        plain = turn.speaker.casefold()
        if plain in ROLES and not turn.is_name:
            is_speaker = ROLES[plain] != "system"
            return is_speaker and bool(turn.name) and self.names.is_character(turn.name)
        return bool(self.names.name) and self._role(turn) == "character" and not is_character_macro(turn.speaker)

    def _resolved(self, words: str) -> str:
        # Without a name there is nothing to put in a macro's place; the checks warn of it.
        return self.names.resolve_in_speech(words, self.mended) if self.names.name else words

    def _keep_rejected(self, asked: str, chosen: str, rejected: Sequence[str]) -> None:
        for words in rejected:
            reply = RejectedReply(asked, self._resolved(chosen), self._resolved(words))
            if " ".join(chosen.split()) == " ".join(words.split()):
                tell(self.mended, SAME_LEFT_OUT, words)
            elif asked and words.strip() and len(self.rejected) < MAX_REJECTED:
                self.rejected.append(reply)
