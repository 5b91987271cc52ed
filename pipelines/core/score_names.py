"""The scores in words: one table for the command line, the studio, the model card and the docs test.

`SCORE_NAMES` has the keys of `scores.json`. `AXIS_NAMES` has the five scores that a creator reads, of 100, higher is
better; `score_axes.py` makes them from the scores. `REWARD_NAMES` has the metrics of a GRPO step, which are marks of
practice and no scores, so they have names of their own. A name means one thing on one scale wherever it stands: shares
are written of 100 for people and stored as 0 to 1. The best checkpoint is chosen by the limits
(`checkpoint_selection.py`). What measures the scores is in `pipelines.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TRAINING_IMAGE_SIMILARITY_LIMIT = 0.5
"""A checkpoint above this draws its training pictures again instead of new ones."""
GENERAL_PERPLEXITY_LIMIT = 1.05
"""A checkpoint whose perplexity on general chat is above this times the base model's has forgotten too much."""
SPEAKING_LEAST = 0.9
"""A checkpoint that has words in a smaller share of its replies does not speak."""
PROMPT_LEAKING_LIMIT = 0.0
"""A checkpoint that says its system prompt in a larger share of its replies leaks it."""
LIKENESS_LEAST = 0.5
"""Below this the drawn pictures do not pass for the character: the judge's own threshold of "the same"."""


@dataclass(frozen=True)
class ScoreName:
    """One score of `scores.json`."""

    words: str
    """What a person reads, as a row of a table."""
    help: str
    """What was measured, in the terms of an engineer."""
    scale: Literal["of 100", "perplexity"] = "of 100"
    """How people read it; a share is stored as 0 to 1."""
    lower_is_better: bool = False

    @property
    def row(self) -> str:
        """The words, and in brackets how to read the number where that is not "of 100, higher is better"."""
        notes: list[str] = [self.scale] if self.scale != "of 100" else []
        notes += ["lower is better"] if self.lower_is_better else []
        return f"{self.words} ({', '.join(notes)})" if notes else self.words

    @property
    def definition(self) -> str:
        """What was measured and how to read the number."""
        notes: list[str] = [] if self.scale in self.help else [self.scale]
        notes += ["lower is better"] if self.lower_is_better else []
        return ", ".join([self.help, *notes])

    def shown(self, value: float) -> str:
        """The number as people read it: a share of 100 in whole numbers, a perplexity with three digits."""
        return f"{100 * value:.0f}" if self.scale == "of 100" else f"{value:.3g}"


SCORE_NAMES: Mapping[str, ScoreName] = {
    "likeness": ScoreName("looks like them", "drawn pictures against held-out pictures"),
    "reply_perplexity": ScoreName("surprise at their own lines", "perplexity of held-out replies", "perplexity", True),
    "facts_accuracy": ScoreName("knows the facts", "multiple choice about the character"),
    "caption_match": ScoreName("picture fits the caption", "picture and its caption"),
    "reply_image_match": ScoreName("picture fits the scene line", "picture and scene line of a reply"),
    "variety": ScoreName("variety", "difference between pictures of one caption"),
    "training_image_similarity": ScoreName(
        "copies a training picture", "nearness to single training pictures beyond unseen ones", lower_is_better=True
    ),
    "speaking": ScoreName("speaks", "share of sampled replies that have words"),
    "prompt_leaking": ScoreName(
        "says its own description", "share of sampled replies that repeat the system prompt", lower_is_better=True
    ),
    "general_perplexity": ScoreName("surprise at general chat", "perplexity of general chat", "perplexity", True),
    "reward": ScoreName("marks in practice", "mean reward of the GRPO steps since the checkpoint before"),
}
"""Key of `scores.json` -> its words; the order is the order of the rows."""


@dataclass(frozen=True)
class AxisName:
    """One of the five scores that a creator reads."""

    words: str
    help: str
    """One sentence."""


AXIS_NAMES: Mapping[str, AxisName] = {
    "likeness": AxisName(
        "Looks like them",
        "Drawn pictures beside pictures of the character that training never saw. 100 is the same person.",
    ),
    "voice": AxisName(
        "Sounds like them",
        "How much less surprising the character's own unseen lines have become, compared with the model before "
        "training. 0 is no better than before.",
    ),
    "facts_accuracy": AxisName(
        "Knows the facts", "Share of multiple-choice questions about the character answered rightly."
    ),
    "image_text_match": AxisName(
        "Picture fits the words", "Whether a picture shows what its caption or the reply says."
    ),
    "variety": AxisName("Variety", "How different pictures of the same caption are. 0 is the same picture every time."),
}
"""Axis of a scorecard -> its words; the order is clockwise from the top."""

REWARD_NAMES: Mapping[str, str] = {
    "reward": "All marks together",
    "likeness": "Mark for the looks",
    "reply": "Mark for the words",
    "caption_match": "Mark for the picture's words",
    "image_vqa": "Mark for what was asked",
    "variety": "Mark for variety",
}
"""Metric of a GRPO step -> what a creator reads; the order is the order on the page."""

LOSS_NAMES: Mapping[str, str] = {"loss": "Words and pictures", "loss_words": "Words", "loss_codes": "Pictures"}
"""Metric of an SFT step -> what a creator reads; the first where a run reported no other."""
