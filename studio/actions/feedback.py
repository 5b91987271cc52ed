"""Feedback on replies: which of two is better, and how a bad one should have been.

Votes are kept as they were given, with both replies; they are counted in `votes.py`. A corrected answer becomes an
example conversation in the character's draft: the next training learns it, and to prefer it to the one that was there.
"""

from __future__ import annotations

from typing import Any

from pipelines.core.character.preferences import preference_of, preference_to_entries
from pipelines.core.jobs.job import Vote, VoteAbout, VoteChoice, new_id
from pipelines.core.jobs.reply_protocol import ReplySide
from studio.actions.chat_turns import ReplyView, turns
from studio.actions.compare import NotPossible, own_conversation
from studio.actions.drafts import MAX_INTERACTIONS, Draft, change, content_hash
from studio.context import AppContext


def vote(context: AppContext, conversation_id: str, number: int, choice: VoteChoice, about: VoteAbout = "both") -> Vote:
    """Vote for one of two replies, in place of an earlier vote on them; `left` and `right` are places on the page.

    NotPossible before both are there.
    """
    conversation = own_conversation(context, conversation_id)
    turn = next((turn for turn in turns(context, conversation) if turn.number == number), None)
    if turn is None or turn.state != "done" or len(turn.answers) < 2:
        raise NotPossible("There are no two answers to choose from yet.")
    left, right = turn.answers
    return context.records.chats.add_vote(
        Vote(
            new_id(),
            conversation.id,
            number,
            left.ref,
            right.ref,
            choice,
            conversation.blind,
            turn.question.text,
            _snapshot(left),
            _snapshot(right),
            about=about,
        )
    )


def _snapshot(answer: ReplyView) -> dict[str, Any]:
    return {"text": answer.text, "scene": answer.scene, "picture_key": answer.picture_key, "seed": answer.seed}


def correct(
    context: AppContext,
    conversation_id: str,
    number: int,
    side: ReplySide,
    words: str,
    scene: str = "",
    image: str = "",
    with_before: bool = False,
) -> int:
    """Put the message with a better answer into the character's draft, for the next training.

    `image` is the file name of one of the draft's pictures; `with_before` also keeps what was said before, as that side
    knows it. Pictures that were attached in the chat are left out. Returns how many examples there are now.
    """
    conversation = own_conversation(context, conversation_id)
    words, scene = words.strip(), scene.strip()
    if not words:
        raise NotPossible("Write how it should answer first.")
    told = turns(context, conversation)
    place = next((at for at, turn in enumerate(told) if turn.number == number), None)
    if place is None:
        raise NotPossible("This message is no longer there.")
    example: list[dict[str, Any]] = []
    for turn in told[:place] if with_before else []:
        said = next(answer for answer in turn.answers if answer.side == side)
        if turn.state == "done" and turn.question.text:
            example += [{"user": turn.question.text}, {"character": said.text}]
    better = {"character": words} | ({"scene": scene} if scene else {}) | ({"image": image} if image else {})
    asked = told[place].question.text
    example += [{"user": asked}, better]
    before = next((answer for answer in told[place].answers if answer.side == side), None)
    pair = correction(asked, words, scene, before)
    hashed = content_hash(example)  # before its turns get ids

    def edit(draft: Draft) -> None:
        draft.setdefault("interactions", []).append(example)
        draft["corrected"] = [*draft.get("corrected", []), hashed][-MAX_INTERACTIONS:]
        draft["corrections"] = [*draft.get("corrections", []), *([pair] if pair else [])][-MAX_INTERACTIONS:]

    return len(change(context, conversation.character, edit)["interactions"])


def correction(prompt: str, words: str, scene: str, before: ReplyView | None) -> dict[str, Any]:
    """An entry of `preferences`: the better answer chosen, the one before rejected; {} where nothing differs."""
    told = preference_of(prompt, (words, scene), (before.text, before.scene)) if before else None
    return preference_to_entries(told) if told else {}
