"""The contract every model family keeps: a causal language model over one id space.

Ids below `text_vocab` are words; ids at or above it are picture codes (`text_vocab + code`). A picture is
announced by `boi_id` (a text id), takes exactly `image_tokens` codes, and ends its turn: codes only ever stand
at the end of a sequence or packed segment. Pictures that are looked at (not drawn) enter as `image_input_tokens`
placeholders `image_placeholder_id` each, filled in order from `pixel_values`. Entropies cost a pass over the whole vocabulary, so they
are zeros unless `entropies=True` is passed.

Dimension letters: B rows, T positions, N pictures, P prompts, G samples of a prompt, C codes of one picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers.utils import ModelOutput

from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    Generators,
    ImageSamples,
    OnIds,
    Sampling,
    TextSamples,
)


@dataclass
class Scores(ModelOutput):
    """What `forward` returns."""

    loss: torch.Tensor | None = None
    """Mean of -logps over labelled positions, words and codes counted alike; None without labels."""
    logps: torch.Tensor | None = None
    """(B, T) log p(input_ids[:, t] | before t) where labels[:, t] != -100, else 0."""
    entropies: torch.Tensor | None = None
    """(B, T) entropy of the next-token distribution at the same places, nats, no gradient; zeros unless asked for."""


@dataclass(frozen=True)
class RoleTemplate:
    """What a family writes around the words of one role."""

    before: str
    """Special pieces in it are read as such."""
    after: str
    closed: bool = True
    """Whether `eot_id` stands between the words and `after`."""


@dataclass(frozen=True)
class ChatFormat:
    """A family's chat format; `pipelines.data.chat_template` writes conversations with it and with nothing else."""

    system: RoleTemplate
    user: RoleTemplate
    character: RoleTemplate
    lead: str = ""
    """What the character's words begin with, learned and sampled with them (a blank that belongs to the first word)."""
    image_before: str = ""
    """Before the placeholders of a looked-at picture."""
    image_after: str = ""


CHATML = ChatFormat(
    system=RoleTemplate("<|im_start|>system\n", "\n"),
    user=RoleTemplate("<|im_start|>user\n", "\n"),
    character=RoleTemplate("<|im_start|>assistant\n", "\n"),
)
"""As SmolLM2 was taught."""


@dataclass(frozen=True)
class ModelSpec:
    """The numbers of a family that the rest of the code needs, and its chat format."""

    text_vocab: int
    """Ids below this are words."""
    codebook: int
    """How many different picture codes there are."""
    image_tokens: int
    """Codes of one picture."""
    image_px: int
    """Side of a picture in pixels."""
    image_input_tokens: int
    """Placeholders of one looked-at picture."""
    boi_id: int
    """Text id that says: a picture follows."""
    image_placeholder_id: int
    """Text id of the placeholder."""
    eot_id: int
    """Text id that ends a turn."""
    pad_id: int
    start_id: int | None = None
    """Text id that every conversation begins with; None where a family has none."""
    chat_format: ChatFormat = CHATML
    one_generator_per_step: bool = False
    """Whether a training step on one process samples all its prompts from one random generator; else each prompt has
    its own. A small model on a CPU samples a whole batch faster when rows need not be drawn prompt by prompt."""


IGNORED_TRAINER_KWARGS = frozenset({"use_cache", "num_items_in_batch", "return_dict"})
"""What trainers pass to every forward and no family has a use for."""


def refuse_unknown(name: str, given: Mapping[str, Any]) -> None:
    """Raise TypeError for arguments of a forward that would silently do nothing, such as TRL's `fused_lm_head`.

    name: of the model's class; given: its `kwargs`, of which None counts as not given.
    """
    unknown = sorted(key for key, value in given.items() if value is not None and key not in IGNORED_TRAINER_KWARGS)
    if unknown:
        raise TypeError(f"{name}.forward does not take {', '.join(unknown)}")


class UnifiedModel(Protocol):
    """One text+image model; both families are `transformers.PreTrainedModel`s as well.

    Class attributes: `language_targets` and `image_targets`, regular expressions (full match) naming
    the Linear modules for LoRA, for PEFT's `target_modules`.
    """

    spec: ModelSpec

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        entropies: bool = False,
        **kwargs: Any,
    ) -> Scores:
        """Log-probabilities of the labelled ids.

        input_ids (B, T); attention_mask (B, T), 0 on padding (right); labels (B, T), equal to input_ids
        where supervised and -100 elsewhere (NOT shifted: labels[t] is the id at t). segment_ids (B, T) packs
        many replies behind one shared prefix: 0 is the prefix, 1.. the segments, a token sees the prefix and its
        own segment, positions restart after the prefix in each segment. pixel_values (N, 3, px, px) in [-1, 1] fill the
        look placeholders in reading order. entropies: whether to compute them. kwargs: a family's own arguments and
        what trainers pass along; TypeError for anything else.
        """
        ...

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to codes (N, C)."""
        ...

    def decode_images(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, C) to pixels (N, 3, px, px) in [-1, 1]."""
        ...

    def sample_text(
        self,
        prompts: list[list[int]],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        num_return_sequences: int = 1,
        stop_ids: tuple[int, ...] = (),
        pixel_values: torch.Tensor | None = None,
        generator: Generators = None,
        loras: LoraBatch | None = None,
        on_ids: OnIds | None = None,
    ) -> TextSamples:
        """Sample `num_return_sequences` continuations of each prompt in one batch; each prompt is prefilled once.

        Never samples image codes. A sample ends at any of `stop_ids`. pixel_values (N, 3, px, px): the images that the
        prompts look at, in reading order. loras: which adapter each prompt is answered with. on_ids is called with the
        new ids after every step.
        """
        ...

    def sample_images(
        self,
        prompts: list[list[int]],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        num_return_sequences: int = 1,
        pixel_values: torch.Tensor | None = None,
        generator: Generators = None,
        loras: LoraBatch | None = None,
        on_ids: OnIds | None = None,
    ) -> ImageSamples:
        """Draw `num_return_sequences` images after each prompt (which ends in `boi_id`), prompt-major.

        Uses the image fields of `sampling`. The other arguments as in `sample_text`; on_ids gets codes in
        [0, codebook).
        """
        ...


class CheckpointingByOldNames:
    """Activation checkpointing under the names by which PEFT 0.21 and TRL 1.16 still ask a model for it.

    A base before `PreTrainedModel`, whose own methods of these names end in a FutureWarning at every step.
    """

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are computed again on the way back."""
        return self.is_activation_checkpointing

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """What `activation_checkpointing_enable` comes to, too."""
        self._activation_checkpointing_enable(gradient_checkpointing_kwargs, **kwargs)

    def gradient_checkpointing_disable(self) -> None:
        """What `activation_checkpointing_disable` comes to, too."""
        self._activation_checkpointing_disable()


def restart_positions(segment_ids: torch.Tensor) -> torch.Tensor:
    """Position ids (B, T) for packed rows: each segment goes on where the shared prefix ends."""
    prefix = (segment_ids == 0).long().cumprod(1).sum(1, keepdim=True)  # (B, 1); zeros further right are padding
    place = torch.arange(segment_ids.shape[1], device=segment_ids.device).expand_as(segment_ids)
    starts = torch.ones_like(segment_ids, dtype=torch.bool)
    starts[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    start = torch.where(starts, place, torch.zeros_like(place)).cummax(1).values  # first place of own segment
    return torch.where(segment_ids == 0, place, place - start + prefix)


def block_mask(segment_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """(B, 1, T, T) bool, True where a query (row) may look: the prefix and its own segment, never ahead."""
    own = segment_ids[:, :, None] == segment_ids[:, None, :]
    prefix = (segment_ids == 0)[:, None, :]
    seen = (own | prefix).tril()
    if attention_mask is not None:
        seen = seen & attention_mask.bool()[:, None, :]
        # A padded query must see something, or softmax gives NaN.
        seen = seen | torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device)
    return seen[:, None]
