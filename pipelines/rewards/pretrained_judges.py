"""The published reward models as one critic: who it is, whether a caption fits, what is asked, what words mean.

    judges = load_judges()                   four models, bf16 on the GPU, for `standard` and `thorough`
    seen = judges.look(pixels)               each picture goes through each tower once
    judges.match(seen, texts), judges.likeness(seen, references), judges.answer(...), judges.closeness(texts, others)

It has the starter critic's methods, so rewards and scorecard know no difference. DINOv2 (CLS features) says how alike
and how varied pictures are, CLIP whether a caption fits, BLIP how likely each answer to a question about a picture is
(never by generating and comparing strings), MiniLM how near two texts are. Slopes and thresholds turn cosines
into 0..1; they are from published ranges and not calibrated on these weights.

Letters: N pictures, R references, O options, P places of the VQA tower, D widths, L word pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
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
from pipelines.rewards.starter_critic import ImageFeatures

REWARD_MODELS: dict[str, type[PreTrainedModel]] = {
    "dinov2": Dinov2Model,
    "clip": CLIPModel,
    "vqa": BlipForQuestionAnswering,
    "minilm": BertModel,
}
"""Name in `published.MODELS` -> the library's class."""

QUESTIONS = {
    "expression": "what is the facial expression?",
    "clothes": "what is the character wearing?",
    "place": "where is the character?",
}
"""By the field of a practice prompt that answers it."""
LIKENESS = (10.0, 0.5)
"""Slope and threshold on the cosine of DINOv2's features; the paper punishes below 0.5."""
MATCH = (40.0, 0.22)
"""The same on CLIP's cosine, which is 0.1 to 0.2 for wrong captions and 0.25 to 0.35 for right ones."""
PICTURES_AT_ONCE, ANSWERS_AT_ONCE = 32, 256


@dataclass(frozen=True)
class PretrainedImageFeatures(ImageFeatures):
    """What the towers saw: `caption` is CLIP's, `identity` DINOv2's."""

    asked: torch.Tensor
    """(N, P, D) the VQA model's view, for questions."""

    def __getitem__(self, index: Any) -> PretrainedImageFeatures:
        return PretrainedImageFeatures(self.caption[index], self.identity[index], self.asked[index])

    @classmethod
    def joined(cls, sights: list[Any]) -> PretrainedImageFeatures:
        """Looks at single pictures as one."""
        parts = ("caption", "identity", "asked")
        return cls(*(torch.stack([vars(one)[part] for one in sights]) for part in parts))

    def whole(self) -> torch.Tensor:
        """(N, D) DINOv2's features on the CPU: distances between pictures are taken there."""
        return self.identity.float().cpu()


@dataclass(frozen=True)
class Tower:
    """One published model and what its input has to look like."""

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

    def words(self, texts: list[str], most: int) -> dict[str, torch.Tensor]:
        """Ids and mask on the model's device."""
        if self.tokenizer is None:
            raise RuntimeError(f"{type(self.model).__name__} was loaded without a tokenizer")
        found = self.tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")
        return {key: found[key].to(self.model.device) for key in ("input_ids", "attention_mask")}


class PretrainedJudges:
    """The reward models together, with the methods of the starter's critic."""

    reads_meaning = True

    def __init__(self, dinov2: Tower, clip: Tower, vqa: Tower, minilm: Tower) -> None:
        self.dinov2, self.clip, self.vqa, self.minilm = dinov2, clip, vqa, minilm
        self.config = SimpleNamespace(px=max(dinov2.px, clip.px, vqa.px))
        self.device, self.dtype = clip.model.device, torch.float32  # pixels come in fp32, towers cast them
        self._read: dict[tuple[str, str], torch.Tensor] = {}

    @torch.no_grad()
    def look(self, pixels: torch.Tensor) -> PretrainedImageFeatures:
        """(N, 3, any, any) in [-1, 1] to what is seen."""
        made = [self._look(part) for part in pixels.to(self.device).split(PICTURES_AT_ONCE)]
        return PretrainedImageFeatures(
            *(torch.cat([vars(one)[part] for one in made]) for part in ("caption", "identity", "asked"))
        )

    def _look(self, pixels: torch.Tensor) -> PretrainedImageFeatures:
        def through(tower: Tower, part: Any) -> Any:
            return part(pixel_values=tower.prepared(pixels).to(tower.model.dtype))

        identity = through(self.dinov2, self.dinov2.model).last_hidden_state[:, 0]
        clip = self.clip.model
        caption = clip.visual_projection(through(self.clip, clip.vision_model).pooler_output)
        asked = through(self.vqa, self.vqa.model.vision_model).last_hidden_state
        return PretrainedImageFeatures(_unit(caption), _unit(identity), asked)

    def read(self, texts: list[str]) -> torch.Tensor:
        """Captions to (len(texts), D), unit length."""
        return self._known("clip", texts, self._read_captions)

    @torch.no_grad()
    def _read_captions(self, texts: list[str]) -> torch.Tensor:
        clip = self.clip.model
        words = self.clip.words(texts, clip.config.text_config.max_position_embeddings)
        return _unit(clip.text_projection(clip.text_model(**words).pooler_output))

    def _known(self, kind: str, texts: list[str], read: Any) -> torch.Tensor:
        # Options and the character's own turns come again in every step.
        new = sorted({text for text in texts if (kind, text) not in self._read})
        if new:
            if len(self._read) > 4096:
                self._read.clear()
                new = sorted(set(texts))
            self._read |= {(kind, text): row for text, row in zip(new, read(new), strict=True)}
        return torch.stack([self._read[kind, text] for text in texts])

    def choose(self, sight: ImageFeatures, options: list[str]) -> torch.Tensor:
        """Probabilities (N, O) of each option being what the picture shows, by CLIP."""
        scale = self.clip.model.logit_scale.float().exp()
        return (scale * sight.caption @ self.read(options).T).softmax(-1)

    @torch.no_grad()
    def answer(self, sight: ImageFeatures, field: str, options: list[str], worded: list[str]) -> torch.Tensor:
        """Probabilities (N, O) of the options as answers to the field's question, by the VQA model.

        An option's score is the mean log-probability of its word pieces and the end mark, so that a long answer is not
        punished for its length. `worded` is for critics that compare captions.
        """
        if not isinstance(sight, PretrainedImageFeatures):
            raise TypeError("these pictures were looked at by another critic")
        model = self.vqa.model
        question = {key: value.expand(len(sight.asked), -1) for key, value in self._question(field).items()}
        heard = model.text_encoder(**question, encoder_hidden_states=sight.asked)[0]  # (N, L, D)
        ids, mask = self._answers(options)  # (O, L')
        pairs = [(n, o) for n in range(len(heard)) for o in range(len(options))]
        scores = []
        for start in range(0, len(pairs), ANSWERS_AT_ONCE):
            rows, chosen = (list(part) for part in zip(*pairs[start : start + ANSWERS_AT_ONCE], strict=True))
            logits = model.text_decoder(
                input_ids=ids[chosen],
                attention_mask=mask[chosen],
                encoder_hidden_states=heard[rows],
                encoder_attention_mask=question["attention_mask"][rows],
            ).logits.float()
            said, counted = ids[chosen][:, 1:], mask[chosen][:, 1:]
            logps = logits[:, :-1].log_softmax(-1).gather(-1, said[..., None]).squeeze(-1)
            scores.append((logps * counted).sum(1) / counted.sum(1))
        return torch.cat(scores).view(len(heard), len(options)).softmax(-1)

    def _question(self, field: str) -> dict[str, torch.Tensor]:
        return self.vqa.words([QUESTIONS[field]], self.vqa.model.config.text_config.max_position_embeddings)

    def _answers(self, options: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(O, L) ids with the decoder's start before and the end mark behind, and their mask."""
        tokenizer, start = self.vqa.tokenizer, self.vqa.model.decoder_start_token_id
        end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        rows = [[start, *tokenizer(option.lower(), add_special_tokens=False)["input_ids"], end] for option in options]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [end] * (longest - len(row)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self.device)
        return ids, mask

    def likeness(self, first: ImageFeatures, second: ImageFeatures) -> torch.Tensor:
        """(Na, Nb) in 0..1: is it the same one? 0.5 at the threshold."""
        slope, threshold = LIKENESS
        return torch.sigmoid(slope * (first.identity @ second.identity.T - threshold))

    def match(self, sight: ImageFeatures, texts: list[str]) -> torch.Tensor:
        """(N,) in 0..1: how well picture n fits text n."""
        slope, threshold = MATCH
        return torch.sigmoid(slope * ((sight.caption * self.read(texts)).sum(-1) - threshold))

    def closeness(self, texts: list[str], others: list[str]) -> torch.Tensor:
        """(len(texts), len(others)) cosines of what they mean, on the CPU."""
        found = self._known("minilm", [*texts, *others], self._read_meanings)
        return (found[: len(texts)] @ found[len(texts) :].T).cpu()

    @torch.no_grad()
    def _read_meanings(self, texts: list[str]) -> torch.Tensor:
        words = self.minilm.words(texts, 256)  # as it was taught
        hidden = self.minilm.model(**words).last_hidden_state.float()  # (T, L, D)
        mask = words["attention_mask"][..., None]
        return _unit((hidden * mask).sum(1) / mask.sum(1).clamp(min=1))

    def models(self) -> Iterator[PreTrainedModel]:
        """All of them."""
        yield from (tower.model for tower in (self.dinov2, self.clip, self.vqa, self.minilm))


def _unit(rows: torch.Tensor) -> torch.Tensor:
    # Cosines are taken in fp32: the towers' own rounding is enough.
    return F.normalize(rows.float(), dim=-1)


def load_judges(dtype: torch.dtype = torch.bfloat16, device: str = "cuda") -> PretrainedJudges:
    """All reward models from their published files. Raises WeightsMissing for the first that is not to be had."""
    found = {name: fetch(name).folder for name in REWARD_MODELS}  # all are looked for before one is loaded
    return PretrainedJudges(**{name: load_tower(name, folder, dtype, device) for name, folder in found.items()})


def load_tower(name: str, folder: Path, dtype: torch.dtype, device: str) -> Tower:
    """One reward model from a folder in the published layout."""
    if name == "minilm":
        dtype = torch.float32  # 23 M weights; its cosines are stretched over a short range
    model = REWARD_MODELS[name].from_pretrained(folder, dtype=dtype).to(device).eval().requires_grad_(False)
    tokenizer = None if name == "dinov2" else AutoTokenizer.from_pretrained(folder)
    if name == "minilm":
        return Tower(model, tokenizer)
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise WeightsMissing(f"{name} in {folder} is not whole: {path.name} is missing; download it again.")
    scale = json.loads(path.read_text(encoding="utf-8"))
    config = model.config if name == "dinov2" else model.config.vision_config
    px = 224 if name == "dinov2" else config.image_size  # DINOv2 was taught larger and is used at 224
    px = min(px, config.image_size)
    return Tower(model, tokenizer, px, tuple(scale["image_mean"]), tuple(scale["image_std"]))
