"""One base model sharded over several processes: each keeps its shard of the frozen decoder layers (FSDP2).

`fully_shard` wraps nothing: hooks all-gather a layer's weights before its forward and free them afterwards, whoever
calls it. So the losses, which run the decoder directly, need not know of it. Sampling does: processes write replies of
different lengths, and a process would wait for ever in an all-gather that the others never start. It runs inside
`unsharded`, with all weights gathered.

The LoRA stays whole on every process, and its gradients are averaged by `trainer_mixin.average_gradients`.
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
    """Shard the frozen weights of the decoder's layers over all processes; does nothing with a single one.

    To be called after the adapters are added, with the model on its device. The embeddings, the heads, the vision
    tower and the image tokenizer stay whole: in a large model they are a tenth of the weights.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    base = model.get_base_model()
    mesh = init_device_mesh(base.device.type, (distributed.get_world_size(),))
    decoder = base.get_decoder()
    for layer in decoder.layers:
        fully_shard(layer, mesh=mesh, ignored_params=_not_sharded(layer))
    # The root has no weights of its own; it lets a layer's all-gather overlap with the computation of the one before.
    fully_shard(decoder, mesh=mesh, ignored_params=set(decoder.parameters()))
    # DDP, which the trainer wraps around the model, broadcasts all weights when it is made and cannot handle DTensors.
    shards = [name for name, weight in model.named_parameters() if isinstance(weight, DTensor)]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, shards)


def _not_sharded(layer: nn.Module) -> set[nn.Parameter]:
    # By name as well as by requires_grad: the KL term's reference adapter is frozen, but fp32, and FSDP wants one
    # dtype per layer.
    return {weight for name, weight in layer.named_parameters() if weight.requires_grad or "lora_" in name}


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """Inside, all layers have all their weights, and each process may call them any number of times.

    All processes have to enter and leave it together. Does nothing to a model that is not sharded.
    """
    layers = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for layer in layers:
        layer.set_reshard_after_forward(False, recurse=False)
        layer.unshard()
    try:
        yield
    finally:
        for layer in layers:
            layer.reshard()
            layer.set_reshard_after_forward(True, recurse=False)
