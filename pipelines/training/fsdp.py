"""One base model spread over several processes: each keeps its share of the frozen layers (FSDP).

The second generation of PyTorch's fully sharded data parallelism wraps nothing: a layer gathers its weights when it is
called and lets them go afterwards, by whomever it is called. So the losses, which run the decoder directly, need not
know of it. Sampling does: processes write replies of different lengths, and nobody may wait for a gathering that the
others never begin; it runs inside `unsharded`, with everything in place.

The LoRA stays whole on every process, and its gradients are averaged as before (`checkpoints.average_gradients`).
https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from peft import PeftModel
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel


def shard(model: PeftModel) -> None:
    """Spread the frozen weights of the decoder's layers over all processes; nothing happens with one.

    To be called when the adapters are in, with the model on its device. The embeddings, the heads and what sees and
    draws pictures stay whole: in a large model they are a tenth.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    base = model.get_base_model()
    mesh = init_device_mesh(base.device.type, (distributed.get_world_size(),))
    decoder = base.get_decoder()
    for layer in decoder.layers:
        fully_shard(layer, mesh=mesh, ignored_params=_whole(layer))
    # The root holds nothing itself; it lets a layer's gathering overlap with the work of the one before.
    fully_shard(decoder, mesh=mesh, ignored_params=set(decoder.parameters()))
    # The trainer's wrapper makes all processes' weights the same when it begins, and cannot read shares.
    shares = [name for name, weight in model.named_parameters() if isinstance(weight, DTensor)]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, shares)


def _whole(layer: nn.Module) -> set[nn.Parameter]:
    # By name as well: the adapter that practice is held to is frozen, and fp32 beside bf16.
    return {weight for name, weight in layer.named_parameters() if weight.requires_grad or "lora_" in name}


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """Inside, all layers have all their weights, and each process calls them as often as it likes.

    All processes have to enter and leave it together. Nothing happens to a model that is not sharded.
    """
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True, recurse=False)
