"""Four published models as one judge: identity, caption match, visual question answering, text similarity.

    judges = load_judges()                         bf16 on the GPU, for `standard` and `thorough`
    features = judges.encode_images(pixels)        each image goes through each vision tower once
    judges.match(features, texts), judges.likeness(features, references), judges.answer_probs(...)

DINOv2's CLS features say how alike and how varied images are, CLIP whether a caption fits, BLIP how likely each answer
to a question about an image is (by likelihood, never by generating and comparing strings), MiniLM how similar two
texts are. Slopes and thresholds turn cosines into 0..1; they are from published ranges and not calibrated on
these weights.

Dimension letters: N images, O options, P patches of the VQA tower, D widths, L token positions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import (
    AutoTokenizer,
    BertModel,
    BlipForQuestionAnswering,
    CLIPModel,
    Dinov2Model,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pipelines.models.hub_weights import WeightsMissing, fetch
from pipelines.rewards.image_features import ImageFeatures

REWARD_MODELS: dict[str, type[PreTrainedModel]] = {
    "dinov2": Dinov2Model,
    "clip": CLIPModel,
    "vqa": BlipForQuestionAnswering,
    "minilm": BertModel,
}
"""Name in `hub_weights.MODELS` -> transformers' class."""

QUESTIONS = {
    "expression": "what is the facial expression?",
    "clothes": "what is the character wearing?",
    "place": "where is the character?",
}
"""By the field of a `GrpoPrompt` that answers it."""
LIKENESS = (10.0, 0.5)
"""Slope and threshold on the cosine of DINOv2's features; UniCharacter (arXiv 2605.08129) punishes below 0.5."""
MATCH = (40.0, 0.22)
"""The same on CLIP's cosine, which is 0.1 to 0.2 for wrong captions and 0.25 to 0.35 for right ones."""
IMAGE_BATCH, ANSWER_BATCH = 32, 256
"""Images, and (image, option) pairs, in one forward."""


@dataclass(frozen=True)
class PretrainedImageFeatures(ImageFeatures):
    """`caption` is CLIP's, `identity` DINOv2's."""

    vqa_states: torch.Tensor
    """(N, P, D) last hidden states of BLIP's vision tower, which its text encoder attends to."""

    def __getitem__(self, index: Any) -> PretrainedImageFeatures:
        return PretrainedImageFeatures(self.caption[index], self.identity[index], self.vqa_states[index])

    @classmethod
    def stack(cls, single: Sequence[ImageFeatures]) -> PretrainedImageFeatures:
        """Features of single images as one batch."""
        return cls(*(torch.stack([vars(one)[part] for one in single]) for part in FEATURE_PARTS))

    def embedding(self) -> torch.Tensor:
        """(N, D) DINOv2's features on the CPU."""
        return self.identity.float().cpu()


FEATURE_PARTS = ("caption", "identity", "vqa_states")


@dataclass(frozen=True)
class Tower:
    """One published model and what its input has to look like (its preprocessor_config.json)."""

    model: Any
    tokenizer: PreTrainedTokenizerBase | None
    px: int = 0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)

    def prepared(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, any, any) in [-1, 1] to this tower's size and scale."""
        pixels = pixels.float()
        if pixels.shape[-2:] != (self.px, self.px):
            pixels = F.interpolate(pixels, (self.px, self.px), mode="bicubic", antialias=True, align_corners=False)
        mean, deviation = (pixels.new_tensor(part)[:, None, None] for part in (self.mean, self.deviation))
        return ((pixels.clamp(-1, 1) + 1) / 2 - mean) / deviation

    def tokens(self, texts: list[str], max_length: int) -> dict[str, torch.Tensor]:
        """Token ids and attention mask, padded and truncated, on the model's device."""
        if self.tokenizer is None:
            raise RuntimeError(f"{type(self.model).__name__} was loaded without a tokenizer")
        found = self.tokenizer(texts, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        return {key: found[key].to(self.model.device) for key in ("input_ids", "attention_mask")}


class PretrainedJudges:
    """The four models together; a `Judge`."""

    compares_texts = True

    def __init__(self, dinov2: Tower, clip: Tower, vqa: Tower, minilm: Tower) -> None:
        self.dinov2, self.clip, self.vqa, self.minilm = dinov2, clip, vqa, minilm
        self.device = clip.model.device
        self._text_embeddings: dict[tuple[str, str], torch.Tensor] = {}

    @property
    def image_px(self) -> int:
        """Side of the largest tower's input."""
        return max(self.dinov2.px, self.clip.px, self.vqa.px)

    @torch.no_grad()
    def encode_images(self, pixels: torch.Tensor) -> PretrainedImageFeatures:
        """(N, 3, any, any) in [-1, 1] to features."""
        batches = [self._encode_batch(part) for part in pixels.to(self.device).split(IMAGE_BATCH)]
        return PretrainedImageFeatures(*(torch.cat([vars(one)[part] for one in batches]) for part in FEATURE_PARTS))

    def _encode_batch(self, pixels: torch.Tensor) -> PretrainedImageFeatures:
        def through(tower: Tower, part: Any) -> Any:
            return part(pixel_values=tower.prepared(pixels).to(tower.model.dtype))

        identity = through(self.dinov2, self.dinov2.model).last_hidden_state[:, 0]  # the CLS token
        clip = self.clip.model
        caption = clip.visual_projection(through(self.clip, clip.vision_model).pooler_output)
        states = through(self.vqa, self.vqa.model.vision_model).last_hidden_state
        return PretrainedImageFeatures(_unit(caption), _unit(identity), states)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Captions to (len(texts), D), unit length, by CLIP."""
        return self._cached("clip", texts, self._encode_captions)

    @torch.no_grad()
    def _encode_captions(self, texts: list[str]) -> torch.Tensor:
        clip = self.clip.model
        tokens = self.clip.tokens(texts, clip.config.text_config.max_position_embeddings)
        return _unit(clip.text_projection(clip.text_model(**tokens).pooler_output))

    def _cached(self, kind: str, texts: list[str], encode: Callable[[list[str]], torch.Tensor]) -> torch.Tensor:
        # Options and the character's own turns come again in every step, and a run has a few hundred of them.
        new = sorted({text for text in texts if (kind, text) not in self._text_embeddings})
        if new:
            if len(self._text_embeddings) > 4096:
                self._text_embeddings.clear()
                new = sorted(set(texts))
            self._text_embeddings |= {(kind, text): row for text, row in zip(new, encode(new), strict=True)}
        return torch.stack([self._text_embeddings[kind, text] for text in texts])

    def caption_probs(self, image_features: ImageFeatures, captions: list[str]) -> torch.Tensor:
        """(N, O) softmax over the captions, by CLIP."""
        scale = self.clip.model.logit_scale.float().exp()
        return (scale * image_features.caption @ self.encode_texts(captions).T).softmax(-1)

    @torch.no_grad()
    def answer_probs(
        self, image_features: ImageFeatures, field: str, options: list[str], captions: list[str]
    ) -> torch.Tensor:
        """(N, O) probabilities of the options as answers to the field's question, by the VQA model.

        An option's score is the mean log-probability of its tokens and the end token, so that a long answer is not
        punished for its length. `captions` are for judges that compare captions.
        """
        if not isinstance(image_features, PretrainedImageFeatures):
            raise TypeError("these features were made by another judge")
        model, states = self.vqa.model, image_features.vqa_states
        question = {key: value.expand(len(states), -1) for key, value in self._question(field).items()}
        encoded = model.text_encoder(**question, encoder_hidden_states=states)[0]  # (N, L, D)
        ids, mask = self._answers(options)  # (O, L')
        pairs = [(n, o) for n in range(len(encoded)) for o in range(len(options))]
        scores = []
        for start in range(0, len(pairs), ANSWER_BATCH):
            rows, chosen = (list(part) for part in zip(*pairs[start : start + ANSWER_BATCH], strict=True))
            logits = model.text_decoder(
                input_ids=ids[chosen],
                attention_mask=mask[chosen],
                encoder_hidden_states=encoded[rows],
                encoder_attention_mask=question["attention_mask"][rows],
            ).logits.float()
            targets, counted = ids[chosen][:, 1:], mask[chosen][:, 1:]
            logps = logits[:, :-1].log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)
            scores.append((logps * counted).sum(1) / counted.sum(1))
        return torch.cat(scores).view(len(encoded), len(options)).softmax(-1)

    def _question(self, field: str) -> dict[str, torch.Tensor]:
        return self.vqa.tokens([QUESTIONS[field]], self.vqa.model.config.text_config.max_position_embeddings)

    def _answers(self, options: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(O, L') ids with the decoder's start token before and the end token behind, and their mask."""
        tokenizer, start = self.vqa.tokenizer, self.vqa.model.decoder_start_token_id
        end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        rows = [[start, *tokenizer(option.lower(), add_special_tokens=False)["input_ids"], end] for option in options]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [end] * (longest - len(row)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self.device)
        return ids, mask

    def likeness(self, first: ImageFeatures, second: ImageFeatures) -> torch.Tensor:
        """(N1, N2) in 0..1: is it the same character? 0.5 at the threshold."""
        slope, threshold = LIKENESS
        return torch.sigmoid(slope * (first.identity @ second.identity.T - threshold))

    def match(self, image_features: ImageFeatures, texts: list[str]) -> torch.Tensor:
        """(N,) in 0..1: how well image n fits text n."""
        slope, threshold = MATCH
        return torch.sigmoid(slope * ((image_features.caption * self.encode_texts(texts)).sum(-1) - threshold))

    def text_similarity(self, texts: list[str], others: list[str]) -> torch.Tensor:
        """(len(texts), len(others)) cosine similarities of sentence embeddings, on the CPU, by MiniLM."""
        found = self._cached("minilm", [*texts, *others], self._encode_sentences)
        return (found[: len(texts)] @ found[len(texts) :].T).cpu()

    @torch.no_grad()
    def _encode_sentences(self, texts: list[str]) -> torch.Tensor:
        tokens = self.minilm.tokens(texts, 256)  # the length it was trained at
        hidden = self.minilm.model(**tokens).last_hidden_state.float()  # (texts, L, D)
        mask = tokens["attention_mask"][..., None]
        return _unit((hidden * mask).sum(1) / mask.sum(1).clamp(min=1))


def _unit(rows: torch.Tensor) -> torch.Tensor:
    # Cosines are taken in fp32: bf16 would round them to steps of 0.004, and thresholds lie 0.1 apart.
    return F.normalize(rows.float(), dim=-1)


def load_judges(dtype: torch.dtype = torch.bfloat16, device: str = "cuda") -> PretrainedJudges:
    """All four from their published files. Raises WeightsMissing for the first that cannot be found."""
    found = {name: fetch(name).folder for name in REWARD_MODELS}  # all are found before the first is loaded
    return PretrainedJudges(**{name: load_tower(name, folder, dtype, device) for name, folder in found.items()})


def load_tower(name: str, folder: Path, dtype: torch.dtype, device: str) -> Tower:
    """One model from a folder in the published layout."""
    if name == "minilm":
        dtype = torch.float32  # 23 M weights; `semantic.py` stretches a short range of its cosines to 0..1
    model = REWARD_MODELS[name].from_pretrained(folder, dtype=dtype).to(device).eval().requires_grad_(False)
    tokenizer = None if name == "dinov2" else AutoTokenizer.from_pretrained(folder)
    if name == "minilm":
        return Tower(model, tokenizer)
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise WeightsMissing(f"{name} in {folder} is not whole: {path.name} is missing; download it again.")
    scale = json.loads(path.read_text(encoding="utf-8"))
    config = model.config if name == "dinov2" else model.config.vision_config
    px = 224 if name == "dinov2" else config.image_size  # DINOv2 was trained at 518 and is evaluated at 224
    px = min(px, config.image_size)
    return Tower(model, tokenizer, px, tuple(scale["image_mean"]), tuple(scale["image_std"]))
