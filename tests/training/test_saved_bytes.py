"""What a learning step keeps for its backward pass, counted at toy size with a large vocabulary.

The way of 0c98f3e, the last version before this was counted, is written out here: logits below 2**26 were kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from peft import PeftModel, get_peft_model

from pipelines.core.jobs.memory_plan import activation_bytes
from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import NOBODY, ImageTurn
from pipelines.models.decoding import token_logprobs
from pipelines.models.janus import JanusModel
from pipelines.models.janus_random_weights import SIZES, layout_config, layout_tokenizer
from pipelines.training.grpo_loss import group_token_logps
from pipelines.training.sft_loss import lora_config, sft_loss

SIZE = replace(SIZES["toy"], vocab=20_000)
WORDS, SAMPLES = 60, 4


@contextmanager
def counted(model: torch.nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of everything that is saved for a backward pass inside, by storage; weights are not counted."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # a freed storage's address would be given to another one
        return tensor

    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


def whole_logits(
    head: token_logprobs.Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool
) -> token_logprobs.Pair:
    """A chunk as 0c98f3e scored it."""
    logps = head(hidden).float().log_softmax(-1)
    fixed = logps.detach()
    spread = -(fixed.exp() * fixed).sum(-1) if entropies else torch.zeros_like(fixed[:, 0])
    return logps.gather(-1, ids[:, None]).squeeze(-1), spread


def student() -> PeftModel:
    """The same model with the same adapter every time."""
    torch.manual_seed(0)
    model = JanusModel(layout_config(SIZE))
    model.generation_config.pad_token_id, model.generation_config.bos_token_id = SIZE.pad_id, SIZE.bos_id
    model.generation_config.eos_token_id = SIZE.bos_id + 1
    model.generation_config.generation_kwargs = {"boi_token_id": SIZE.boi_id}
    made = get_peft_model(model, lora_config(model, Recipe(base="janus-toy")), autocast_adapter_dtype=False)
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    return made


def sft_step(model: PeftModel) -> torch.Tensor:
    """The loss of a row of words."""
    ids = torch.randint(5, 250, (1, WORDS * SAMPLES), generator=torch.Generator().manual_seed(1))
    return sft_loss(model(input_ids=ids, labels=ids), ids, SIZE.vocab).loss


def grpo_step(model: PeftModel) -> torch.Tensor:
    """The policy's loss of a group of replies behind one prompt."""
    ids = torch.randint(5, 250, (SAMPLES, 12 + WORDS), generator=torch.Generator().manual_seed(2))
    ids[:, :12] = ids[0, :12]
    turn = ImageTurn.of(NOBODY, model.get_base_model().spec, layout_tokenizer(SIZE))
    spec = model.get_base_model().spec
    logps, _ = group_token_logps(model, ids, torch.ones_like(ids), WORDS, spec, turn)
    return -(logps * torch.linspace(-1, 1, SAMPLES)[:, None]).mean()


@pytest.mark.parametrize("step", [sft_step, grpo_step])
def test_a_step_keeps_half_of_what_it_kept_and_learns_the_same(step, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for old in (True, False):
        if old:
            monkeypatch.setattr(token_logprobs, "frozen_head_logprobs", whole_logits)
        else:
            monkeypatch.undo()
        model = student()
        with counted(model) as sizes:
            loss = step(model)
        loss.backward()
        gradients = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
        found.append((sum(sizes.values()), loss.detach(), gradients))
    (before, old_loss, old_gradients), (after, loss, gradients) = found
    assert after <= before / 2, f"{after} of {before} bytes"
    assert torch.allclose(loss, old_loss, atol=1e-6)
    assert gradients.abs().max() > 0 and torch.allclose(gradients, old_gradients, rtol=1e-4, atol=1e-7)


def test_the_plan_counts_no_less_than_a_layer_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, inner = 128, 344
    kept = []
    for layers in (1, 2):
        monkeypatch.setitem(globals(), "SIZE", replace(SIZE, hidden=hidden, inner=inner, layers=layers))
        model = student()
        for weight in model.parameters():
            if not weight.requires_grad:
                weight.data = weight.data.bfloat16()
        with counted(model) as sizes, torch.autocast("cpu", torch.bfloat16):
            sft_step(model)
        kept.append(sum(sizes.values()))
    of_a_position = (kept[1] - kept[0]) / (WORDS * SAMPLES)
    planned = activation_bytes(replace(LARGE["janus-pro-1b"], hidden=hidden, inner=inner, layers=1), width=2)
    # Two thirds of it; an allocator on a GPU took four fifths for the whole step. More would break the plan.
    assert of_a_position <= planned <= 2 * of_a_position
