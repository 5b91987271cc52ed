"""Keeping sampled replies to their form: words first, of one sentence at least, then perhaps a look and an image.

`WordsProcessor` and `LookProcessor` are what `UnifiedModel.sample_text` takes as `logits_processor`; the form is
explained in `pipelines/data/chat_template.py`. Rollouts and chat sample with the same processors.

Dimension letters: N samples, R of them still in the batch, T new positions, V text ids.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Literal

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.data.chat_template import picture_mark_ids, words_ids
from pipelines.models.interface import ModelSpec

ImageMode = Literal["auto", "always", "never"]
"""Whether a reply has an image; "auto" leaves it to the model."""
SHORTEST_WORDS = 3
"""Ids at least before a reply may end."""
ENDLESS_WORDS = 16
"""Ids after which a reply may end without a sentence's end: some scripts and some characters have none."""
CLOSING_WORDS = 24
"""A reply that is this near to its limit of ids ends with the sentence at hand."""
LOOK_TOKENS = 32
"""Most ids of a look."""
LOOK_PHRASES = 4
"""Most phrases of a look for people: expression, framing or what is held, clothes, place."""
PICTURE_PROBABILITY = 0.4
"""From which probability of PICTURE_MARK on a reply has an image. Below a half, since a request that gets none is worse
than a picture too many, and replies nobody wanted a picture with stay far below (docs/log.md)."""
PASSAGE_BYTES = 16
"""What may come only once in a reply: four words of a Latin script, or five Chinese characters."""
REPEATING_SHARE = 0.25
"""From this share of its own replies on, repeating passages is how a character speaks."""
_SENTENCE_END = re.compile(r"[.!?…。！？～~][\"'”’)*_]*\s*\Z")  # noqa: RUF001
_REPEATED = re.compile(rf"(\b.{{{PASSAGE_BYTES}}}).*\1", re.DOTALL)
_SENTENCES = re.compile(r".*[.!?…。！？～~][\"'”’)*_]*", re.DOTALL)  # noqa: RUF001


class WordsProcessor:
    """Adjusts the scores (R, V) of each step in which a reply's words are sampled.

    The first id settles whether there will be an image (the first behind `ChatFormat.lead`, where a tokenizer splits
    it off): PICTURE_MARK where it has PICTURE_PROBABILITY; `sample_decision` leaves it to chance, for rollouts, which
    must try both. A reply cannot end before its first sentence does, ends with a sentence when its limit is near,
    cannot begin an image by itself, and has no square brackets and no passage twice unless the character writes so.
    A reply that goes on from words which are there (`begun`) announces no image, and says one more sentence at least.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tokenizer: PreTrainedTokenizerBase,
        modes: Sequence[ImageMode],
        max_new_tokens: int,
        brackets: bool | Sequence[bool] = False,
        sample_decision: bool = False,
        repeats: bool | Sequence[bool] = True,
        begun: Sequence[int] = (),
    ) -> None:
        """modes: of each of the N samples. max_new_tokens: the limit of ids. brackets, repeats: whether a sample may
        have square brackets, and passages of PASSAGE_BYTES twice; one value for all, or one for each. begun: the ids
        of words behind the prompt that all samples go on from."""
        self.begun = torch.tensor(list(begun), dtype=torch.long)
        self.mark = picture_mark_ids(spec, tokenizer)
        spoken = words_ids("A", False, spec, tokenizer)
        same = [one == other for one, other in zip(self.mark, spoken, strict=False)]
        self.decisive = [*same, False].index(False)
        """The step at which a reply with an image and one without part."""
        self.stop_ids = [spec.eot_id, spec.boi_id]
        self.eot_id, self.boi_id, self.sample_decision = spec.eot_id, spec.boi_id, sample_decision
        self.closing = max(1, max_new_tokens - CLOSING_WORDS)
        self.sentence_ends, self.bracketed, self.bytes, self.lettered = _vocabulary_marks(tokenizer, spec.text_vocab)
        self.letters_in_mark = int(self.lettered[self.mark].sum())
        self.brackets = torch.tensor(brackets).expand(len(modes))
        self.repeats = torch.tensor(repeats).expand(len(modes))
        self.always = torch.tensor([mode == "always" for mode in modes])
        self.never = torch.tensor([mode == "never" for mode in modes])

    def __call__(self, step: int, rows: torch.Tensor, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """ids (N, T): what was sampled so far; rows (R,): the sample of each row of `scores`."""
        device = scores.device
        forbidden = scores.new_tensor(-torch.inf)
        if step < self.decisive and not len(self.begun):
            return self._given(step, scores)
        allowed = scores.clone()
        allowed[:, self.boi_id] = forbidden
        bracketed = self.bracketed.to(device)
        plain = ~self.brackets.to(device)[rows]  # (R,)
        allowed[:, bracketed] = torch.where(plain[:, None], forbidden, allowed[:, bracketed])
        if len(self.begun):
            return self._not_ended(step, torch.zeros_like(plain), rows, ids, allowed)
        if step == self.decisive:
            allowed[:, self.stop_ids] = forbidden
            return self._decided(rows, scores, allowed)
        draws = ids[rows, self.decisive] == self.mark[self.decisive]  # (R,)
        speaking = self._not_ended(step, draws, rows, ids, allowed)
        return torch.where(draws[:, None], self._given(step, scores), speaking) if step < len(self.mark) else speaking

    def _given(self, step: int, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self.mark[step]] = 0.0
        return forced

    def _decided(self, rows: torch.Tensor, scores: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        mark = self.mark[self.decisive]
        always, never = self.always.to(rows.device)[rows], self.never.to(rows.device)[rows]  # (R,)
        open_score = scores[:, mark].clone()
        marked = self._given(self.decisive, scores)
        allowed[:, mark] = -torch.inf
        if self.sample_decision:
            either = allowed.clone()
            either[:, mark] = open_score
            free = torch.where(never[:, None], allowed, either)
            return torch.where(always[:, None], marked, free)
        likely = scores.softmax(-1)[:, mark] > PICTURE_PROBABILITY
        return torch.where((always | (likely & ~never))[:, None], marked, allowed)

    def _not_ended(
        self, step: int, draws: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor, allowed: torch.Tensor
    ) -> torch.Tensor:
        # An id that ends a sentence was sampled, and enough words, or so many words that no end will come.
        head = 0 if len(self.begun) else self.decisive
        said = step - torch.where(draws, len(self.mark), head)  # (R,)
        past = ids[rows, :step]  # (R, step)
        if not bool(self.repeats.all()):
            before = self.begun.to(past.device).expand(len(past), -1)
            allowed = self._without_repeats(rows, torch.cat([before, past], 1), allowed)
        # A picture alone, or dots beside it, are no reply: there must be a letter behind the mark.
        letters = self.lettered.to(ids.device)[past.clamp(min=0)].sum(1) - self.letters_in_mark * draws.long()
        ended = self.sentence_ends.to(ids.device)[past.clamp(min=0)].any(1) & (letters > 0)
        complete = (ended & (said >= SHORTEST_WORDS)) | (said >= ENDLESS_WORDS)
        for stop in self.stop_ids:
            allowed[:, stop] = torch.where(complete, allowed[:, stop], -torch.inf)
        allowed[:, self.boi_id] = -torch.inf
        if step >= self.closing:
            closed = complete & self.sentence_ends.to(ids.device)[past[:, -1].clamp(min=0)]
            only_end = torch.full_like(allowed, -torch.inf)
            only_end[:, self.eot_id] = 0.0
            allowed = torch.where(closed[:, None], only_end, allowed)
        return allowed

    def _without_repeats(self, rows: torch.Tensor, past: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        # What followed an earlier passage that equals the last PASSAGE_BYTES of `past` (R, step) may not follow again,
        # unless it ends the sentence. `NoRepeatNGramLogitsProcessor` of transformers counts ids instead of bytes: four
        # are four words in English and one letter and a third in Chinese.
        past, length = past.clamp(min=0), past.shape[1]
        sizes = self.bytes.to(past.device)[past]
        same = torch.ones_like(past[:, 1:], dtype=torch.bool)  # (R, step - 1): ends like `past`, as far as compared
        equal, compared = torch.zeros_like(same), torch.zeros_like(past[:, 0])
        for back in range(min(PASSAGE_BYTES, length)):
            same[:, back:] &= past[:, : length - 1 - back] == past[:, -1 - back, None]
            same[:, :back] = False
            compared = compared + sizes[:, -1 - back]
            equal |= same & (compared >= PASSAGE_BYTES)[:, None]
        counts = torch.zeros_like(allowed, dtype=torch.int16).scatter_add_(1, past[:, 1:], equal.short())
        refused = (counts > 0) & ~self.sentence_ends.to(past.device) & ~self.repeats.to(past.device)[rows][:, None]
        return allowed.masked_fill(refused, -torch.inf)


class LookProcessor:
    """Adjusts the scores of each step in which a look is sampled: not empty, without brackets, ended by the image."""

    def __init__(self, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> None:
        self.eot_id, self.boi_id = spec.eot_id, spec.boi_id
        self.bracketed = _vocabulary_marks(tokenizer, spec.text_vocab)[1]

    def __call__(self, step: int, rows: torch.Tensor, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """See `WordsProcessor`."""
        allowed = scores.clone()
        allowed[:, self.bracketed.to(scores.device)] = -torch.inf
        allowed[:, self.eot_id] = -torch.inf
        if step == 0:
            allowed[:, self.boi_id] = -torch.inf
        return allowed


def uses_brackets(character: Character) -> bool:
    """Whether square brackets belong to how the character writes."""
    turns = (turn.text for talk in character.interactions for turn in talk if turn.role == "character")
    return any("[" in text for text in (*turns, character.greeting))


def repeats_itself(character: Character) -> bool:
    """Whether saying a passage twice in a reply belongs to how the character speaks."""
    texts = [turn.text for talk in character.interactions for turn in talk if turn.role == "character" and turn.text]
    repeating = sum(_REPEATED.search(text) is not None for text in texts)
    return repeating > REPEATING_SHARE * len(texts)


def whole_sentences(text: str) -> str:
    """The text up to its last sentence's end; all of it when it has none."""
    found = _SENTENCES.match(text)
    return found.group().strip() if found else text.strip()


def tidy_look(text: str, complete: bool = True) -> str:
    """A sampled look for people and the image expert: at most LOOK_PHRASES phrases, none twice.

    complete: False when it was cut off at the limit, so that its last phrase is half.
    """
    phrases = [phrase.strip(" .;:") for phrase in " ".join(text.split()).split(",")]
    phrases = phrases if complete or len(phrases) == 1 else phrases[:-1]
    return ", ".join(list(dict.fromkeys(phrase for phrase in phrases if phrase))[:LOOK_PHRASES])


@functools.lru_cache(maxsize=4)
def _vocabulary_marks(
    tokenizer: PreTrainedTokenizerBase, text_vocab: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(V,) bool: ids whose text ends a sentence; (K,) the ids whose text has a square bracket; (V,) bytes of each;
    (V,) bool: ids whose text has a letter or a digit, or a part of one."""
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    texts += [""] * (text_vocab - len(texts))  # a published model's vocabulary may be padded
    ends = torch.tensor([bool(_SENTENCE_END.search(text)) for text in texts])
    bracketed = torch.tensor([n for n, text in enumerate(texts) if "[" in text or "]" in text], dtype=torch.long)
    # A part of a character is decoded as U+FFFD, and counts as the one byte that it is in a byte-level vocabulary.
    sizes = torch.tensor([len(text.replace("\ufffd", ".").encode()) for text in texts])
    lettered = torch.tensor([any(sign.isalnum() or sign == "\ufffd" for sign in text) for text in texts])
    return ends, bracketed, sizes, lettered
