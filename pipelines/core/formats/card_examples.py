"""Example conversations as Character Cards write them: `<START>` blocks of `{{user}}:` and `{{char}}:` lines.

`read_blocks` turns such text into interactions, `write_blocks` is the way back (without scenes and pictures, for which
the form has no place). Who speaks is decided in `speaker_labels.py`. `settle_turns` brings the turns of any source
into the order that training needs (user first, character last); the formats of `chat_formats.py` use it too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal, TypeVar

from pipelines.core.character.character import Interaction, Role, message
from pipelines.core.formats.blank_lines import TITLE, TITLED
from pipelines.core.formats.blank_lines import part as part_at_blank
from pipelines.core.formats.import_notes import Mended, tell
from pipelines.core.formats.label_lines import label_key, one_speaker_a_line, with_lines_and_colons
from pipelines.core.formats.media_marks import needs_marks, without_marks
from pipelines.core.formats.prompted_names import prompted_name
from pipelines.core.formats.speaker_labels import Labelled, SpeakerLabels, SpeakerNames
from pipelines.core.formats.unsure_words import unsure_words
from pipelines.core.problems import Change, changed, left_out
from pipelines.core.words import tidy_text, visible

DEFAULT_USER_LINE = "Hello."
"""What the user is taken to have said where a sample holds only the character's words."""
NO_SPEAKER = left_out(
    "left out: no line begins with a speaker and a colon, like {{user}}: or {{char}}:",
    "Begin each turn with {{user}}: or {{char}}:, or with a name and a colon.",
)
OTHERS_LEFT_OUT = left_out("lines of somebody else were left out")
OTHERS_KEPT = "lines of somebody else were put before the character's reply, as part of what it is told"
QUESTIONS_LEFT_OUT = left_out("questions whose answer is not the character's were left out with it")
MAX_TURNS = 10_000
"""Most turns that are taken of one source: `character.yaml` has room for about 16,000."""
MAX_CONVERSATIONS = MAX_TURNS // 2
TOO_MANY = left_out(f"conversations beyond the first {MAX_TURNS:,} turns were left out: a folder holds no more")
CALL_BY_NAME = "If one of them is the character, call it by its whole name in the file."
"""What to do about speakers that nobody knows."""
ASIDES_LEFT_OUT = left_out("stage directions between a name and its colon were left out")
NARRATION_LEFT_OUT = left_out("lines of a narrator or of the program were left out")
TITLES_LEFT_OUT = left_out("titles between conversations were left out")
SHOWN_LEFT_OUT = left_out(
    "what the user only showed was left out, with its answers: pictures, films and sounds do not come along"
)
ROLES_LEFT_OUT = left_out(
    "lines under a role without a name were left out, where others of the same conversation bear the character's name",
    "If they are the character's too, put its name on all of them, or on none.",
)
ROLES_ARE_USERS = changed(
    "lines under a role without a name were taken as the user's, where the character's bear its name",
    "If they are the character's too, put its name on all of them, or on none.",
)

_START = re.compile(r"<start>|^[ \t]*(?:<END>|END_OF_DIALOG(?:UE)?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_SEPARATOR = re.compile(r"(?:^|\n)(?:[ \t]*([*_=~#\u2014-])(?:[ \t]*\1){2,}[ \t]*(?:\n\s*|\Z))+\Z")
_MOST_NAMES = 6

T = TypeVar("T")
TurnRole = Role | Literal["other", "narrator"]


@dataclass(frozen=True)
class BlockTurn:
    """One turn as it stands in the source, before `settle_turns` makes a `Message` of it."""

    role: TurnRole
    """`other`: somebody who is neither user nor character; without words when they must not be learned at all."""
    text: str
    scene: str = ""
    image: str = ""
    """File name of one picture; empty for none."""
    name: str = ""
    """Who `other` is; of the character's turns what the source calls them by."""
    is_shown: bool = False
    """A user's turn that was all or partly a picture, film or sound, and says nothing without it."""
    called: Literal["", "name", "role"] = ""
    """Whether the source calls the speaker by the character's name, or only by a role such as "assistant"."""
    is_after_blank: bool = False
    """An empty line stands before it."""


def read_blocks(
    text: str, speakers: SpeakerNames, parts_at_blank: bool | None = None
) -> tuple[tuple[Interaction, ...], Counter[str]]:
    """Conversations of `<START>` blocks, and how often something had to be mended (sentence -> count).

    A turn runs to the next speaker's prefix at the start of a line, so it may span lines. Words before
    the first prefix of a block belong to nobody and are left out. `parts_at_blank`: whether empty lines part a text
    without other marks, None where the text itself has to say (`blank_lines.py`).
    """
    mended: Counter[str] = Mended()
    pieces = _START.split(tidy_text(text))
    blocks = [block for block in pieces if block and block.strip()]
    is_alone, is_marked = len(blocks) == 1, len(pieces) > 1
    blocks = [one_speaker_a_line(with_lines_and_colons(block)) for block in first_of(blocks, mended)]
    labels = SpeakerLabels.of_blocks(speakers, blocks)
    interactions = []
    others: Counter[str] = Counter()
    for block in blocks:
        before, parts = labels.split(block)
        if not parts:
            tell(mended, NO_SPEAKER, block)
            continue
        prompts = [part.words for part in parts if label_key(part.label) == "system"]
        if other := next(filter(None, (prompted_name(prompt, speakers) for prompt in prompts)), ""):
            others[other] += 1
            continue
        if before.strip():
            tell(mended, left_out("words before the first speaker were left out"), before)
        turns = [
            replace(turn_of(part, without_marks(part.words, mended), mended), is_shown=needs_marks(part.words))
            for part in parts
        ]
        talks = _parted(turns, mended)
        if is_alone and len(talks) == 1:
            after = [turn.is_after_blank for turn in turns]
            talks = part_at_blank(talks[0], [turn.role for turn in turns], after, parts_at_blank, is_marked, mended)
        for talk in talks:
            settled = settle_turns(
                [replace(turn, text=speakers.resolve_in_speech(turn.text, mended)) for turn in talk], mended
            )
            if settled:
                interactions.append(settled)
    mended.update(_told(labels) + told_others(others) + told_unsure(interactions, speakers))
    return within_limits(interactions, mended), mended


def turn_of(part: Labelled, words: str, mended: Counter[str]) -> BlockTurn:
    """The turn of somebody's words behind a label."""
    if part.aside:
        tell(mended, ASIDES_LEFT_OUT, f"{part.label} ({part.aside})")
    called: Literal["", "name", "role"] = ""
    if part.speaker == "character" and part.label:
        called = "role" if part.is_role else "name"
    return BlockTurn(part.speaker, words, name=part.label, called=called, is_after_blank=part.is_after_blank)


def first_of(items: list[T], mended: Counter[str]) -> list[T]:
    """As many blocks or records as can become conversations that fit; the others are counted."""
    if len(items) > MAX_CONVERSATIONS:
        mended[TOO_MANY] += len(items) - MAX_CONVERSATIONS
    return items[:MAX_CONVERSATIONS]


def within_limits(interactions: Iterable[Interaction], mended: Counter[str]) -> tuple[Interaction, ...]:
    """The first conversations, `MAX_TURNS` in all; of a first one that alone is longer its beginning."""
    kept: list[Interaction] = []
    room = MAX_TURNS
    for talk in interactions:
        if len(talk) > room:
            mended[TOO_MANY] += 1
            talk = talk[:room] if not kept else ()  # an even number of turns, so the character has the last word
        if talk:
            kept.append(talk)
            room -= len(talk)
    return tuple(kept)


def _told(labels: SpeakerLabels) -> Counter[str]:
    """What a creator must know about names that the card does not tell."""
    told: Counter[str] = Counter()
    if labels.user:
        told[f"the lines of {labels.user!r} were taken as the user's"] += 1
    if labels.others:
        told[somebody_else(labels.others)] += sum(labels.others.values())
    doubtful = {label: count for label, count in labels.doubtful.items() if not TITLE.fullmatch(label)}
    if doubtful:
        sentence = f"lines were taken as part of a reply: those that begin with {named(doubtful)}"
        note = changed(sentence, "If somebody else says them, take them out of the reply.")
        told[note] += sum(doubtful.values())
    return told


def somebody_else(names: Iterable[str]) -> Change:
    """The note on people whose lines are not the character's."""
    return changed(f"somebody else speaks in it: {named(names)}", CALL_BY_NAME)


def told_others(names: Counter[str]) -> Counter[str]:
    """The note on conversations that are with others than the character."""
    sentence = f"conversations with other characters were left out: {named(names)}"
    note = left_out(sentence, "Import them into the folders of those characters.")
    return Counter({note: names.total()} if names else {})


def told_unsure(talks: list[Interaction], speakers: SpeakerNames) -> Counter[str]:
    """The note on words inside replies that may be somebody else's."""
    found = unsure_words(talks, speakers)
    sentence = f"words inside replies may be somebody else's: they begin with {named(found)}"
    note = changed(sentence, "If somebody else says them, take them out of the reply.")
    return Counter({note: found.total()} if found else {})


def named(names: Iterable[str]) -> str:
    """Some names in quotes, for a sentence."""
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(repr(name[:40]) for name in listed[:_MOST_NAMES]) + more


def _parted(turns: Sequence[BlockTurn], mended: Counter[str]) -> list[list[BlockTurn]]:
    """The conversations of a block: a line of stars, or a title, behind the character's words begins a new one."""
    bare = [_SEPARATOR.sub("", words) for words in without_titles(turns, mended)]
    cut = [words != turn.text for words, turn in zip(bare, turns, strict=True)]
    # Lines between all turns part nothing.
    everywhere = any(is_cut and turn.role == "user" for is_cut, turn in zip(cut, turns, strict=True))
    talks: list[list[BlockTurn]] = [[]]
    for turn, words, is_cut in zip(turns, bare, cut, strict=True):
        talks[-1].append(replace(turn, text=words))
        if is_cut and not everywhere and turn.role != "user":
            talks.append([])
    return [talk for talk in talks if talk]


def without_titles(turns: Sequence[BlockTurn], mended: Counter[str]) -> list[str]:
    """The words of each turn without the title of a conversation that begins behind it, with the user's line."""
    words = [turn.text for turn in turns]
    for place, (turn, following) in enumerate(pairwise(turns)):
        title = TITLED.search(turn.text) if turn.role != "user" and following.role != "character" else None
        if title is not None:
            tell(mended, TITLES_LEFT_OUT, title.group())
            words[place] = turn.text[: title.start()]
    return words


def write_blocks(interactions: Iterable[Interaction]) -> str:
    """Interactions as `<START>` blocks with the macros for names; scenes and pictures are left out."""
    lines = []
    for interaction in interactions:
        lines.append("<START>")
        for turn in interaction:
            if turn.role != "system":
                speaker = "{{char}}" if turn.role == "character" else "{{user}}"
                lines.append(f"{speaker}: {turn.text}")
    return "\n".join(lines)


def settle_turns(turns: Iterable[BlockTurn], mended: Counter[str]) -> Interaction:
    """The turns as an interaction: user first, in turn, the character last; () if nothing is left.

    What somebody else says before the character's reply becomes part of the user's turn, with their name; where they
    answered the user, the question is left out with it. Each change is counted in `mended` under a sentence that the
    creator can read.
    """
    kept = _joined(_without_others(_spoken(_without_roles(turns, mended), mended), mended), mended)
    if kept and kept[-1].role == "user":
        tell(mended, left_out("a last line of the user without a reply was left out"), kept.pop().text)
    if not kept:
        mended[left_out("conversations in which the character says nothing were left out")] += 1
        return ()
    if kept[0].role == "character" and len(kept) > 1:
        tell(mended, left_out("the character's opening words were left out: they belong in the greeting"), kept[0].text)
        kept = kept[1:]
    elif kept[0].role == "character":
        tell(mended, f"only the character speaks: the user is taken to have said {DEFAULT_USER_LINE!r}", kept[0].text)
        kept.insert(0, BlockTurn("user", DEFAULT_USER_LINE))
    return tuple(
        message("character" if turn.role == "character" else "user", turn.text, filter(None, [turn.image]), turn.scene)
        for turn in kept
    )


def _without_roles(turns: Iterable[BlockTurn], mended: Counter[str]) -> list[BlockTurn]:
    """The turns, of which those are nobody's that have a mere role, where others bear the character's name.

    "Tola" and "assistant" in one conversation are two speakers. Between two lines of the character the other's are what
    it answers; where nobody is the user, the other is.
    """
    listed = list(turns)
    if {"name", "role"} - {turn.called for turn in listed}:
        return listed
    has_user = any(turn.role == "user" for turn in listed)
    found: list[BlockTurn] = []
    before: TurnRole | None = None
    for is_role, run in groupby(listed, lambda turn: turn.called == "role"):
        turns = list(run)
        at = len(found) + len(turns)
        is_answered = before == "character" and at < len(listed) and listed[at].role == "character"
        if not is_role:
            found += turns
        elif not has_user or is_answered:
            found += [replace(turn, role="other" if has_user else "user") for turn in turns]
        else:
            found += [BlockTurn("other", "")] * len(turns)
        for turn in turns if is_role and (not is_answered or not has_user) else ():
            tell(mended, ROLES_LEFT_OUT if has_user else ROLES_ARE_USERS, f"{turn.name}: {turn.text}")
        before = turns[-1].role
    return found


def _spoken(turns: Iterable[BlockTurn], mended: Counter[str]) -> list[BlockTurn]:
    """The turns that somebody says something in."""
    kept: list[BlockTurn] = []
    is_unasked = False
    for turn in turns:
        text = visible(turn.text)
        if turn.role == "user":
            is_unasked = turn.is_shown and not (kept and kept[-1].role == "user")
            if turn.is_shown:
                tell(mended, SHOWN_LEFT_OUT, text)
                continue
        if turn.role == "character" and is_unasked:
            kept.append(BlockTurn("other", ""))
            continue
        if turn.role == "system":
            tell(mended, left_out("system instructions were left out: persona and scenario take their place"), text)
        elif turn.role == "narrator":
            tell(mended, NARRATION_LEFT_OUT, text)
        elif not text and turn.role != "other":
            mended[left_out("empty turns were left out")] += 1
            if turn.role == "character":  # a question that has no answer must not run into the next one
                kept.append(BlockTurn("other", ""))
        else:
            kept.append(replace(turn, text=text))
    return kept


def _without_others(turns: Sequence[BlockTurn], mended: Counter[str]) -> list[BlockTurn]:
    """The turns of user and character alone; nobody's neighbours become an exchange that was none."""
    kept: list[BlockTurn] = []
    waiting: list[BlockTurn] = []
    for turn in [*turns, None]:
        if turn is not None and turn.role == "other":
            waiting.append(turn)
            continue
        if waiting and turn is not None and turn.role == "character":
            lines = [f"{other.name}: {other.text}" for other in waiting if other.text]
            if lines:
                for line in lines:
                    tell(mended, OTHERS_KEPT, line)
                kept.append(BlockTurn("user", "\n".join(lines)))
        elif waiting:
            for other in waiting:
                if other.text:
                    tell(mended, OTHERS_LEFT_OUT, f"{other.name}: {other.text}" if other.name else other.text)
            if kept and kept[-1].role == "user":
                tell(mended, QUESTIONS_LEFT_OUT, kept[-1].text)
                while kept and kept[-1].role == "user":
                    kept.pop()
        waiting = []
        if turn is not None:
            kept.append(turn)
    return kept


def _joined(turns: Iterable[BlockTurn], mended: Counter[str]) -> list[BlockTurn]:
    kept: list[BlockTurn] = []
    for turn in turns:
        if kept and kept[-1].role == turn.role:
            tell(mended, "turns of the same speaker in a row were joined", turn.text)
            last = kept[-1]
            joined = f"{last.text}\n{turn.text}"
            kept[-1] = replace(last, text=joined, scene=last.scene or turn.scene, image=last.image or turn.image)
        else:
            kept.append(turn)
    return kept
