"""Model parallelism by sharding: every rank holds a part of each parameter, and gathers the rest when it needs it.

PyTorch's FSDP2 (`fully_shard`), for tools that launch ranks and leave the model to torch.
"""

from __future__ import annotations

from typing import Any

from benchmarks.optimizer import anew, settings


class ShardedStep:
    """A step of a model whose parameters are shards; its optimizer is made anew over them, with the same settings."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        import torch
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        device = next(model.parameters()).device.type
        fully_shard(model, mesh=init_device_mesh(device, (torch.distributed.get_world_size(),)))
        self.model, self.optimizer = model, anew(optimizer, model.parameters())

    def __call__(self, inputs: Any, targets: Any) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model(inputs, targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def effective_config(self) -> dict[str, Any]:
        return {**settings(self.optimizer), "sharding": "full"}

    def full_weights(self) -> dict[str, Any]:
        """Every parameter whole; all ranks have to ask for it."""
        return {name: tensor.full_tensor() for name, tensor in self.model.state_dict().items()}


def held_bytes(model: Any) -> int:
    """Bytes of the parameters that this rank holds: of DTensors their local part, under ZeRO its partition."""
    held = 0
    for parameter in model.parameters():
        own = getattr(parameter, "ds_tensor", None)
        if own is None:
            own = parameter.to_local() if hasattr(parameter, "to_local") else parameter
        held += own.numel() * own.element_size()
    return held
