"""The starter's judge: a small contrastive image-text encoder (as CLIP, arXiv 2103.00020) with an identity head.

It is trained apart from the model it judges (`build.py critic`) and never by a character's run. Token ids are embedded
by SmolLM2's frozen embedding table, which is not saved with the critic. Calibration (`likeness_*`, `match_*` in the
config) comes from held-out drawings: 0.5 is the threshold at which false accepts and false rejects are equally common.

Dimension letters: N images, D width of the embeddings, O options, L token positions. Attribute names (`eye`,
`word_places`, `reader`) are tensor names in the shipped weights and stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from pipelines.models.starter.known_words import in_known_words
from pipelines.models.toy_tokenizer import TOY_VOCAB, toy_tokenizer
from pipelines.rewards.image_features import ImageFeatures


class StarterCriticConfig(PretrainedConfig):
    """Sizes of the critic and its calibration."""

    model_type = "understudy_critic"
    has_no_defaults_at_init = True

    def __init__(
        self,
        px: int = 64,
        channels: tuple[int, ...] = (24, 48, 96, 192),
        words_vocab: int = 49152,
        words_width: int = 576,
        text_width: int = 192,
        text_layers: int = 2,
        text_tokens: int = 48,
        width: int = 128,
        likeness_slope: float = 10.0,
        likeness_threshold: float = 0.5,
        match_slope: float = 10.0,
        match_threshold: float = 0.4,
        **kwargs: Any,
    ) -> None:
        """px: side that images are resized to. width: of both embeddings.

        Slopes and thresholds turn a cosine into 0..1 by a logistic curve.
        """
        self.px = px
        self.channels = list(channels)
        self.words_vocab = words_vocab
        self.words_width = words_width
        self.text_width = text_width
        self.text_layers = text_layers
        self.text_tokens = text_tokens
        self.width = width
        self.likeness_slope = likeness_slope
        self.likeness_threshold = likeness_threshold
        self.match_slope = match_slope
        self.match_threshold = match_threshold
        super().__init__(**kwargs)


class Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, c, h, w) to the same."""
        made = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(made)))


class StarterCritic(PreTrainedModel):
    """Two towers into one embedding space, and an identity head on the image tower; a `Judge`."""

    config_class = StarterCriticConfig
    config: StarterCriticConfig
    compares_texts = False
    """Its text tower knows captions only; the pretrained judges have a sentence encoder."""

    def __init__(self, config: StarterCriticConfig) -> None:
        super().__init__(config)
        stages: list[nn.Module] = []
        before = 3
        for channels in config.channels:  # each stage halves the side: 64 -> 32 -> 16 -> 8 -> 4
            stages += [
                nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                Block(channels),
            ]
            before = channels
        self.eye = nn.Sequential(*stages)
        places = (config.px // 2 ** len(config.channels)) ** 2
        # Where something is matters (mouth, chest, background), so the last feature map is flattened as well, behind a
        # 1x1 convolution that keeps the linear layers small, and not only pooled.
        self.squeeze = nn.Conv2d(before, 32, 1)
        self.to_caption = nn.Linear(2 * before + 32 * places, config.width)
        self.to_identity = nn.Linear(2 * before + 32 * places, config.width)
        self.words_in = nn.Linear(config.words_width, config.text_width)
        self.word_places = nn.Parameter(torch.randn(config.text_tokens, config.text_width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            config.text_width, 4, 4 * config.text_width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.reader = nn.TransformerEncoder(layer, config.text_layers, enable_nested_tensor=False)
        self.words_out = nn.Linear(config.text_width, config.width)
        self.scale = nn.Parameter(torch.tensor(2.7))  # log of the softmax scale; e^2.7 = 15
        self.table: torch.Tensor | None = None
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Layers keep PyTorch's own initialisation; the library's default would shrink the convolutions.
        return

    def attach_words(self, tokenizer: PreTrainedTokenizerFast, table: torch.Tensor) -> StarterCritic:
        """Give the critic its tokenizer and the frozen embedding table (vocabulary, words_width)."""
        self.tokenizer, self.table = tokenizer, table.detach()
        return self

    @property
    def image_px(self) -> int:
        """Side that images are resized to."""
        return self.config.px

    def encode_images(self, pixels: torch.Tensor) -> ImageFeatures:
        """(N, 3, any, any) in [-1, 1] to features; resized to the critic's own size."""
        pixels = pixels.to(self.device, self.dtype)  # the model that drew them may be on a GPU, in bf16
        if pixels.shape[-1] != self.config.px or pixels.shape[-2] != self.config.px:
            size = (self.config.px, self.config.px)
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        maps = self.eye(pixels)  # (N, C, h, w)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3)), self.squeeze(maps).flatten(1)], 1)
        return ImageFeatures(
            F.normalize(self.to_caption(pooled), dim=-1), F.normalize(self.to_identity(pooled), dim=-1)
        )

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts, in known words, to (len(texts), D), unit length; truncated to `text_tokens` tokens."""
        if self.tokenizer is None or self.table is None:
            raise RuntimeError("the critic has no words yet: call attach_words")
        plain = [in_known_words(text).strip().lower().rstrip(".") for text in texts]
        pieces = self.tokenizer(plain, add_special_tokens=False).input_ids  # in one call: twice as fast as one by one
        rows = [ids[: self.config.text_tokens] or [0] for ids in pieces]
        longest = max(map(len, rows))
        device = self.words_in.weight.device
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)  # (texts, L)
        mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows], device=device)
        embeds = F.layer_norm(self.table.to(device)[ids].float(), (self.config.words_width,))
        hidden = self.reader(self.words_in(embeds) + self.word_places[:longest], src_key_padding_mask=~mask)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # padding is not averaged
        return F.normalize(self.words_out(mean), dim=-1)

    def caption_probs(self, image_features: ImageFeatures, captions: list[str]) -> torch.Tensor:
        """(N, O) softmax over the captions: which of them describes the image."""
        return (self.scale.exp() * image_features.caption @ self.encode_texts(captions).T).softmax(-1)

    def answer_probs(
        self, image_features: ImageFeatures, field: str, options: list[str], captions: list[str]
    ) -> torch.Tensor:
        """(N, O) probabilities of the answers to the question about a field, by their captions: it cannot read one."""
        return self.caption_probs(image_features, captions)

    def likeness(self, first: ImageFeatures, second: ImageFeatures) -> torch.Tensor:
        """(N1, N2) in 0..1: is it the same character? 0.5 at the verification threshold."""
        cosine = first.identity @ second.identity.T
        return torch.sigmoid(self.config.likeness_slope * (cosine - self.config.likeness_threshold))

    def match(self, image_features: ImageFeatures, texts: list[str]) -> torch.Tensor:
        """(N,) in 0..1: how well image n fits text n; 0.5 where a wrong caption is as likely as a right one."""
        cosine = (image_features.caption * self.encode_texts(texts)).sum(-1)
        return torch.sigmoid(self.config.match_slope * (cosine - self.config.match_threshold))

    def text_similarity(self, texts: list[str], others: list[str]) -> torch.Tensor:
        """Not to be had from this judge (`compares_texts`)."""
        raise NotImplementedError("the starter's critic compares no texts: ask compares_texts first")


def toy_critic(seed: int = 0) -> StarterCritic:
    """The real class at toy size with random weights."""
    torch.manual_seed(seed)
    config = StarterCriticConfig(
        px=32,
        channels=(8, 8),
        words_vocab=TOY_VOCAB,
        words_width=16,
        text_width=16,
        text_layers=1,
        text_tokens=96,
        width=16,
        likeness_slope=5.0,
        match_slope=5.0,
        match_threshold=0.0,
    )
    return StarterCritic(config).eval().attach_words(toy_tokenizer(), torch.randn(TOY_VOCAB, 16))
