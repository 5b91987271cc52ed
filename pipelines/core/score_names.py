"""The scores in words: one table for the command line, the studio, the model card and the docs test.

`SCORE_NAMES` has the keys of `scores.json`. `AXIS_NAMES` has the five scores that a creator reads, each 0 to 1, higher
is better; `studio.actions.scores.scorecard` makes them from the scores. `REWARD_NAMES` has the metrics of a GRPO step.
The best checkpoint is chosen by the limits. What measures the scores is in `pipelines.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TRAINING_IMAGE_SIMILARITY_LIMIT = 0.5
"""A checkpoint above this draws its training pictures again instead of new ones."""
GENERAL_PERPLEXITY_LIMIT = 1.05
"""A checkpoint whose perplexity on general chat is above this times the base model's has forgotten too much."""


@dataclass(frozen=True)
class ScoreName:
    """One score of `scores.json`."""

    words: str
    """What a person reads, as a row of a table."""
    help: str
    """What was measured, in the terms of an engineer."""
    scale: Literal["0 to 1", "perplexity"] = "0 to 1"
    lower_is_better: bool = False

    @property
    def row(self) -> str:
        """The words, and in brackets how to read the number where that is not "0 to 1, higher is better"."""
        notes: list[str] = [self.scale] if self.scale != "0 to 1" else []
        notes += ["lower is better"] if self.lower_is_better else []
        return f"{self.words} ({', '.join(notes)})" if notes else self.words

    @property
    def definition(self) -> str:
        """What was measured and how to read the number."""
        notes: list[str] = [] if self.scale in self.help else [self.scale]
        notes += ["lower is better"] if self.lower_is_better else []
        return ", ".join([self.help, *notes])


SCORE_NAMES: Mapping[str, ScoreName] = {
    "reply_perplexity": ScoreName("sounds like them", "perplexity of held-out replies", "perplexity", True),
    "facts_accuracy": ScoreName("knows the facts", "multiple choice about the character"),
    "likeness": ScoreName("looks like them", "drawn pictures against held-out pictures"),
    "training_image_similarity": ScoreName(
        "copies a training picture", "nearness to single training pictures beyond unseen ones", lower_is_better=True
    ),
    "caption_match": ScoreName("picture fits the caption", "picture and its caption"),
    "variety": ScoreName("variety", "difference between pictures of one caption"),
    "reply_image_match": ScoreName("picture fits the words", "picture and words of a reply"),
    "general_perplexity": ScoreName("general chat", "perplexity of general chat", "perplexity", True),
    "reward": ScoreName("reward in practice", "mean reward of the GRPO steps since the checkpoint before"),
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
    "reward": "All together",
    "likeness": AXIS_NAMES["likeness"].words,
    "reply": AXIS_NAMES["voice"].words,
    "caption_match": AXIS_NAMES["image_text_match"].words,
    "image_vqa": "Shows what was asked",
    "variety": AXIS_NAMES["variety"].words,
}
"""Metric of a GRPO step -> what a creator reads; the order is the order on the page."""

LOSS_NAMES: Mapping[str, str] = {"loss": "Words and pictures", "loss_words": "Words", "loss_codes": "Pictures"}
"""Metric of an SFT step -> what a creator reads; the first where a run reported no other."""
