"""BAGEL's decoder: a Qwen3 decoder in which every weight exists twice, once for text and once for image latents.

The understanding expert (the library's own weights and names) serves text, marks and looked-at patches; its twin
(`..._moe_gen`) serves the latents that are drawn or drawn from. Attention is joint over all positions. One code path
serves training, prefill and sampling: they differ in mask, positions and cache only.

Dimension letters: B rows, T positions, U and G those of either expert, H heads, W width of a head, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import Qwen3Config
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3.modeling_qwen3 import (
    Qwen3Attention,
    Qwen3DecoderLayer,
    Qwen3MLP,
    Qwen3Model,
    Qwen3RMSNorm,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

TWIN = "_moe_gen"
"""Ends the name of a module of the generation expert."""


class Routing:
    """Which positions go through which expert, the same in all rows.

    Experts get (B, U, D) and (B, G, D), so that what tells rows apart (`multi_lora.py`) still can.
    """

    def __init__(self, is_latent: torch.Tensor) -> None:
        """is_latent (T,) bool: positions of image latents."""
        self.understanding = torch.nonzero(~is_latent).squeeze(-1)  # (U,)
        self.generation = torch.nonzero(is_latent).squeeze(-1)  # (G,)
        self.back = torch.cat([self.understanding, self.generation]).argsort()  # (T,)

    def __call__(
        self,
        understanding: Callable[[torch.Tensor], torch.Tensor],
        generation: Callable[[torch.Tensor], torch.Tensor],
        hidden: torch.Tensor,
    ) -> torch.Tensor:
        """(B, T, ...) with each position through its own expert."""
        if not len(self.generation):
            return understanding(hidden)
        own, twin = understanding(hidden[:, self.understanding]), generation(hidden[:, self.generation])
        return torch.cat([own, twin], 1)[:, self.back]


def add_twins(module: nn.Module, **twins: nn.Module) -> None:
    """Give each named module its twin."""
    for name, twin in twins.items():
        module.add_module(name + TWIN, twin)


def through(module: nn.Module, name: str, hidden: torch.Tensor, routing: Routing | None) -> torch.Tensor:
    """`hidden` (B, T, ...) through a module of that name and its twin; without routing all of it is text."""
    own = getattr(module, name)
    return own(hidden) if routing is None else routing(own, getattr(module, name + TWIN), hidden)


class TwinAttention(Qwen3Attention):
    """Joint attention over both experts' queries, keys and values."""

    def __init__(self, config: Qwen3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.is_causal = False  # without a mask: see everything, unless the decoder says otherwise
        queries, keys = config.num_attention_heads * self.head_dim, config.num_key_value_heads * self.head_dim
        width = config.hidden_size
        self.o_proj = nn.Linear(queries, width, bias=False)
        add_twins(
            self,
            q_proj=nn.Linear(width, queries),
            k_proj=nn.Linear(width, keys),
            v_proj=nn.Linear(width, keys),
            o_proj=nn.Linear(queries, width, bias=False),
            q_norm=Qwen3RMSNorm(self.head_dim, eps=config.rms_norm_eps),
            k_norm=Qwen3RMSNorm(self.head_dim, eps=config.rms_norm_eps),
        )

    def forward(  # type: ignore[override]
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        cache: Any = None,
        routing: Routing | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """(B, T, D); attention_mask (B, 1, T, keys) bool or None; cache: its `update` adds to keys and values."""
        heads = (*hidden_states.shape[:2], -1, self.head_dim)
        query, key, value = (
            through(self, name, hidden_states, routing).view(heads) for name in ("q_proj", "k_proj", "v_proj")
        )
        query, key = through(self, "q_norm", query, routing), through(self, "k_norm", key, routing)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)  # (B, H, T, W)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        mixed, _ = attend(self, query, key, value, attention_mask, scaling=self.scaling, **kwargs)
        return through(self, "o_proj", mixed.reshape(*hidden_states.shape[:2], -1), routing), None


class TwinLayer(Qwen3DecoderLayer):
    """One layer of both experts."""

    def __init__(self, config: Qwen3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.self_attn = TwinAttention(config, layer_idx)
        add_twins(
            self,
            mlp=Qwen3MLP(config),
            input_layernorm=Qwen3RMSNorm(config.hidden_size, eps=config.rms_norm_eps),
            post_attention_layernorm=Qwen3RMSNorm(config.hidden_size, eps=config.rms_norm_eps),
        )

    def forward(  # type: ignore[override]
        self, hidden_states: torch.Tensor, routing: Routing | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """(B, T, D) to (B, T, D); kwargs: of `TwinAttention`."""
        normed = through(self, "input_layernorm", hidden_states, routing)
        hidden_states = hidden_states + self.self_attn(normed, routing=routing, **kwargs)[0]
        normed = through(self, "post_attention_layernorm", hidden_states, routing)
        return hidden_states + through(self, "mlp", normed, routing)


class TwinDecoder(Qwen3Model):
    """All layers and both last norms. Without `routing` it is a causal decoder of text like any other."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList([TwinLayer(config, place) for place in range(config.num_hidden_layers)])
        add_twins(self, norm=Qwen3RMSNorm(config.hidden_size, eps=config.rms_norm_eps))

    def forward(  # type: ignore[override]
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Any = None,
        routing: Routing | None = None,
        use_cache: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """inputs_embeds (B, T, D); position_ids (B, T).

        routing: with it, attention_mask is (B, 1, T, keys) bool, or None where everything is seen. Without it all
        positions are text, attention is causal and attention_mask (B, T) tells padding. use_cache: as other decoders
        take it; a cache is used where one is given.
        """
        if position_ids is None:
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)[None]
        if routing is None:
            attention_mask = create_causal_mask(
                config=self.config,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                cache=cache,
                position_ids=position_ids,
            )
            kwargs["is_causal"] = True
        positions = self.rotary_emb(inputs_embeds, position_ids)
        hidden = inputs_embeds
        for layer in self.layers:
            hidden = layer(
                hidden, routing, attention_mask=attention_mask, position_embeddings=positions, cache=cache, **kwargs
            )
        return BaseModelOutputWithPast(last_hidden_state=through(self, "norm", hidden, routing), cache=cache)


class TwinLanguageModel(nn.Module):
    """Decoder and head under their published names (`language_model.`)."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.model = TwinDecoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
