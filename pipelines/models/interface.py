"""The contract every model family keeps: a causal language model over one id space.

Ids below `text_vocab` are text; ids at or above it are image codes (`text_vocab + code`). A drawn image is announced
by `boi_id` (a text id), takes exactly `image_tokens` codes, and ends its turn: codes only ever stand at the end of a
sequence or packed segment. Images that are looked at (not drawn) enter as `image_input_tokens` times
`image_placeholder_id` each, filled in order from `pixel_values`.

A family that draws by flow matching has latents instead of codes (`ModelSpec.latent_width`). Its one code stands in
their places, and `forward` gets the latents themselves, noise, and how much of it there is in each image.

Dimension letters: B rows, T positions, N images, P prompts, G samples of a prompt, C codes (or latents) of one image,
W numbers of a latent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from pipelines.core.model_identity import ModelIdentity
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    Generators,
    ImageSamples,
    LogitsProcessor,
    OnIds,
    Sampling,
    TextSamples,
)


@dataclass
class Scores(ModelOutput):
    """What `forward` returns. Entropies cost a pass over the whole vocabulary and are zeros unless asked for."""

    loss: torch.Tensor | None = None
    """Mean of -logps over labelled positions, text and codes counted alike; None without labels. Of a family that draws
    latents, the mean over labelled text plus the mean of `flow`."""
    logps: torch.Tensor | None = None
    """(B, T) log p(input_ids[:, t] | before t) where labels[:, t] != -100, else 0."""
    entropies: torch.Tensor | None = None
    """(B, T) entropy of the next-token distribution at the same positions, nats, no gradient."""
    velocity: torch.Tensor | None = None
    """(N, C, W) float32, of each drawn image's latents, from image to noise; None where images are codes."""
    flow: torch.Tensor | None = None
    """(N,) mean squared error of the velocity of each drawn image; None where images are codes."""


@dataclass(frozen=True)
class RoleTemplate:
    """What a family writes around the text of one role."""

    before: str
    """Special tokens in it are tokenized as such."""
    after: str
    closed: bool = True
    """Whether `eot_id` stands between the text and `after`."""


@dataclass(frozen=True)
class ChatFormat:
    """A family's chat format; `pipelines.data.chat_template` writes conversations with it and with nothing else."""

    system: RoleTemplate
    user: RoleTemplate
    character: RoleTemplate
    lead: str = ""
    """What the character's text begins with, learned and sampled with it (a blank that belongs to the first word)."""
    image_before: str = ""
    """Before the placeholders of a looked-at image."""
    image_after: str = ""
    image_outside: bool = False
    """Whether looked-at images stand before their turn instead of inside it, and a drawn one behind the end of the text
    that it is drawn from."""


CHATML = ChatFormat(
    system=RoleTemplate("<|im_start|>system\n", "\n"),
    user=RoleTemplate("<|im_start|>user\n", "\n"),
    character=RoleTemplate("<|im_start|>assistant\n", "\n"),
)
"""As SmolLM2 was trained (https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct)."""


def as_written(text: str) -> str:
    """The text itself: for a family whose image side reads any words."""
    return text


@dataclass(frozen=True)
class ModelSpec:
    """The numbers of a family that the rest of the code needs, and its chat format."""

    text_vocab: int
    """Ids below this are text."""
    codebook: int
    """How many different image codes there are; 1 where images are latents, whose places code 0 takes."""
    image_tokens: int
    """Codes, or latents, of one drawn image."""
    image_px: int
    """Side of an image in pixels, drawn or looked at."""
    image_input_tokens: int
    """Placeholders of one looked-at image."""
    boi_id: int
    """Begin-of-image: the text id after which the codes follow."""
    image_placeholder_id: int
    """Text id of the placeholder."""
    eot_id: int
    """Text id that ends a turn."""
    pad_id: int
    start_id: int | None = None
    """Text id that every conversation begins with; None where a family has none."""
    chat_format: ChatFormat = CHATML
    max_references: int = 0
    """How many reference images of the character a drawn image can be conditioned on; 0: the family reads none."""
    one_generator_per_step: bool = False
    """Whether a training step on one process samples all its prompts from one random generator; else each prompt has
    its own. A small model on a CPU samples a whole batch faster when rows need not be drawn prompt by prompt."""
    in_known_words: Callable[[str], str] = as_written
    """A text that an image is drawn from, with the nearest words that the image side was trained on."""
    latent_width: int = 0
    """Numbers of each of an image's latents, which a family draws by flow matching; 0: its images are codes."""
    flow_steps: int = 0
    """Steps in which latents are drawn for people; practice and previews take fewer."""

    @property
    def drawing_steps(self) -> int:
        """How often `on_ids` is called while images are drawn for people."""
        return self.flow_steps or self.image_tokens


@dataclass(frozen=True)
class ReplayFigure:
    """Somebody who is not the character, for an image expert to go on drawing while it learns one."""

    name: str
    appearance: str
    looks: tuple[str, ...]
    """What each of its images shows."""
    codes: tuple[tuple[int, ...], ...]
    """Codes of each image."""


IGNORED_TRAINER_KWARGS = frozenset({"use_cache", "num_items_in_batch", "return_dict"})
"""Arguments that trainers pass to every forward and no family needs."""


def refuse_unknown(name: str, given: Mapping[str, Any]) -> None:
    """Raise TypeError for arguments of a forward that would silently do nothing, such as TRL's `fused_lm_head`.

    name: of the model's class; given: its `kwargs`, of which None counts as not given.
    """
    unknown = sorted(key for key, value in given.items() if value is not None and key not in IGNORED_TRAINER_KWARGS)
    if unknown:
        raise TypeError(f"{name}.forward does not take {', '.join(unknown)}")


class UnifiedModel(Protocol):
    """A text+image model that can be trained and sampled; every family is a `transformers.PreTrainedModel` as well.

    Of that class the rest of the code uses the attributes below, `train`, `eval` and calling the model.
    """

    language_targets: str
    """For PEFT's `target_modules`: a regular expression (full match) of the language side's Linear modules."""
    image_targets: str
    """The same for the image side. Adapting it alone must leave text bit-equal."""
    spec: ModelSpec
    identity: ModelIdentity
    """Which weights these are."""
    config: PreTrainedConfig
    device: torch.device
    dtype: torch.dtype
    training: bool
    train: Callable[..., Any]
    eval: Callable[[], Any]
    __call__: Callable[..., Scores]
    """`forward`, with hooks."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        reference_codes: torch.Tensor | None = None,
        entropies: bool = False,
        latents: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        noise_levels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Scores:
        """Log-probabilities of the labelled ids.

        input_ids (B, T); attention_mask (B, T), 0 on padding (right); labels (B, T), equal to input_ids where
        supervised and -100 elsewhere (NOT shifted: labels[t] is the id at t). segment_ids (B, T) packs many replies
        behind one shared prefix: 0 is the prefix, 1.. the segments; a token attends to the prefix and its own segment,
        and position ids restart after the prefix in each segment. Ids from -2 downwards are segments that do not see
        the prefix: images are drawn from their own turn alone. pixel_values (N, 3, px, px) in [-1, 1] fill the image
        placeholders in reading order. reference_codes (N, R, C): codes of the references of each drawn image in reading
        order, -1 where it has fewer than R; N may be 1 where all have the same. entropies: whether to compute them.
        Of a family that draws latents also latents (N, C, W) of the drawn images in reading order, noise (N, C, W) and
        noise_levels (N,) from 0 (none) to 1 (nothing else); only such a family takes them.
        kwargs: a family's own arguments, and IGNORED_TRAINER_KWARGS; TypeError for anything else.
        """
        ...

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to codes (N, C), or to means and deviations (N, C, 2 W) of latents."""
        ...

    def decode_images(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, C) to pixels (N, 3, px, px) in [-1, 1]; or latents (N, C, W), or what `encode_images` gives."""
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
        logits_processor: LogitsProcessor | None = None,
    ) -> TextSamples:
        """Sample `num_return_sequences` continuations of each prompt in one batch; each prompt is prefilled once.

        Never samples image codes. A sample ends at any of `stop_ids`. pixel_values (N, 3, px, px): the images that the
        prompts look at, in reading order. loras: which adapter each prompt is answered with. on_ids is called with the
        new ids after every step. logits_processor: what may be sampled next.
        """
        ...

    def sample_images(
        self,
        prompts: list[list[int]],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        num_return_sequences: int = 1,
        pixel_values: torch.Tensor | None = None,
        reference_codes: torch.Tensor | None = None,
        generator: Generators = None,
        loras: LoraBatch | None = None,
        on_ids: OnIds | None = None,
    ) -> ImageSamples:
        """Draw `num_return_sequences` images after each prompt (which ends in `boi_id`), prompt-major.

        Uses the image fields of `sampling`. reference_codes (P, R, C): as in `forward`, for each prompt. The other
        arguments as in `sample_text`; on_ids gets codes in [0, codebook), and for latents 0 after each step.
        """
        ...


def identify(model: Any, identity: ModelIdentity) -> None:
    """Say of a loaded model which weights it has; PEFT and transformers read the name from `name_or_path`.

    Where they were read from, a path of this machine, must not travel with adapters.
    """
    model.identity = identity
    model.name_or_path = model.config.name_or_path = identity.name


class CheckpointingByOldNames:
    """Activation checkpointing under the names by which PEFT 0.21 and TRL 1.16 still ask a model for it.

    A mixin that must precede `PreTrainedModel`, whose own methods of these names give a FutureWarning at every step.
    """

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are recomputed in the backward pass."""
        return self.is_activation_checkpointing

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """As `activation_checkpointing_enable`."""
        self._activation_checkpointing_enable(gradient_checkpointing_kwargs, **kwargs)

    def gradient_checkpointing_disable(self) -> None:
        """As `activation_checkpointing_disable`."""
        self._activation_checkpointing_disable()
