"""From the parts of a build to one starter, and from there to `weights/` with its card and sample sheet.

Only `build.py` needs this. What everybody else calls, the starter out of `weights/`, is `loading.py`; nothing is
trained here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.core.settings import cache_dir
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.critic import Critic
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.loading import WEIGHTS, pack, revision
from pipelines.models.starter.model import StarterModel, own_settings
from pipelines.models.starter.vq import PictureTokenizer

PICTURE_SIZES = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4}
"""Small on purpose: in an hour of two cores 5 M parameters see three times the pictures that 13 M would, and at this
budget pictures seen count for more (docs/log.md); eight layers of 384 are for a GPU."""
CONTEXT_LAYER = 4
EYES_SIZES = {"px": 96, "patch_px": 12, "width": 192, "layers": 4, "heads": 4, "look_tokens": 12}
LANGUAGE_FIELDS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "max_position_embeddings", "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "head_dim", "hidden_act",
)  # fmt: skip


PART_TITLES = {
    "tokenizer": "Picture tokenizer (held-out drawings)",
    "critic": "Critic (held-out identities)",
    "eyes": "Eyes (share of slots named right on held-out identities)",
    "picture": "Picture expert (loss in nats a code)",
    "measured": "Drawing what is asked (unseen identities and combinations; "
    "`real` is the critic's reading of real drawings)",
}
CARD_HEAD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
tags: [understudy, text-to-image, role-play]
---
# The starter, revision {revision}

A small unified text+image model for two CPU cores: SmolLM2-135M-Instruct (not in this folder, fetched from its package
and used unchanged) with our picture tokenizer, picture expert, eyes, and the critic that judges it.
{megabytes:.1f} MB in bf16. Trained on {hardware}, by `python -m pipelines.models.starter.build`.

- **Data**: 24,000 drawings of 2,400 identities made by this repository's own script from DiceBear art (avataaars by
  Pablo Stanley, free for personal and commercial use; toon-head by Johan Melin, CC BY 4.0; critters by DiceBear,
  CC0 1.0) over our own scenes; captions and questions by script. No photographs, no scraped pictures. Every twentieth
  identity and 2 % of the combinations of expression, clothes and place are held out.
- **Language**: the language expert's weights are frozen, so its language is SmolLM2's to the bit.
- **Domain**: cartoon busts of people and small creatures at 96 px with eight expressions, eleven colours of clothes,
  twelve places. Other pictures (photographs, other art) are redrawn in this manner at best.
- **Sheet**: sheet.png has real drawings in odd rows and the starter's, for the same captions, below them.
"""


def fresh_starter(out: Path, device: str = "cpu") -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """A starter with the trained picture tokenizer, the language expert, and whatever parts `out` holds already."""
    folder = language_folder(cache_dir())
    language = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    vq = PictureTokenizer.from_pretrained(out / "tokenizer" / "tokenizer")
    sizes = {"vocab_size": vq.config.codebook_size, "max_position_embeddings": 512, "pad_token_id": None}
    config = StarterConfig(
        language={name: language[name] for name in LANGUAGE_FIELDS if name in language},
        picture=PICTURE_SIZES | sizes,
        tokenizer=own_settings(vq.config),
        eyes=EYES_SIZES,
        context_layer=CONTEXT_LAYER,
    )
    torch.manual_seed(0)
    model = StarterModel(config)
    model.vq.load_state_dict({key: value.float() for key, value in vq.state_dict().items()})
    model.language.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    model.language.tie_weights()
    for part, module in (("picture", model.picture), ("eyes", model.eyes)):
        state = out / part / f"{part}.pt"
        if state.exists():
            module.load_state_dict(torch.load(state, map_location="cpu")[part])
    return model.to(device), AutoTokenizer.from_pretrained(folder)


def pack_all(out: Path, hardware: str = "two CPU cores, no GPU") -> dict[str, Any]:
    """Write weights/ with its card and sample sheet from the parts in `out`; returns sizes in bytes and the shares."""
    # Imported here: measuring draws, which needs the build extra.
    from pipelines.models.starter.measure import measure_starter

    model, tokenizer = fresh_starter(out)
    critic = Critic.from_pretrained(out / "critic" / "model").float().eval()
    sizes = pack(model, Critic.from_pretrained(out / "critic" / "model"))
    table = model.get_input_embeddings().weight
    scores = measure_starter(model.eval(), tokenizer, critic.attach_words(tokenizer, table), WEIGHTS / "sheet.png")
    (out / "measured.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    (WEIGHTS / "CARD.md").write_text(card(out, sizes, hardware), encoding="utf-8")
    return {"sizes": sizes, "scores": scores}


def card(out: Path, sizes: dict[str, int], hardware: str) -> str:
    """The model card: what the weights are, how they were made, and every number the build measured."""
    lines = [CARD_HEAD.format(revision=revision(), hardware=hardware, megabytes=sum(sizes.values()) / 1e6)]
    for part in ("tokenizer", "critic", "eyes", "picture", "measured"):
        file = out / f"{part}.json"
        if not file.exists():
            continue
        lines.append(f"\n## {PART_TITLES[part]}\n\n| figure | value |\n|---|---|")
        for name, value in json.loads(file.read_text(encoding="utf-8")).items():
            lines.append(f"| {name.replace('_', ' ')} | {value:.4g} |")
    return "\n".join(lines) + "\n"
