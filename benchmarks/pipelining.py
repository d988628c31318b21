"""Pipeline parallelism: every rank holds some of a model's layers, and a batch passes them in micro-batches.

PyTorch's `torch.distributed.pipelining`, and what it shares with other tools that cut a model into stages.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from benchmarks.optimizer import anew, settings


def stages(layers: Sequence[Any], count: int) -> list[list[Any]]:
    """The layers in `count` runs of equal length, the first ones longer by one where they do not divide."""
    least, more = divmod(len(layers), count)
    ends = list(itertools.accumulate(least + (index < more) for index in range(count)))
    return [list(layers[first:last]) for first, last in itertools.pairwise([0, *ends])]


class Stages:
    """A model of which this rank keeps one stage; the memory of the others is given back until they are gathered."""

    def __init__(self, model: Any, layers: Sequence[Sequence[Any]], own: int) -> None:
        import torch

        self.model, self.own = model, layers[own]
        self.parameters = [[one for layer in stage for one in layer.parameters()] for stage in layers]
        self.shapes = [[one.shape for one in stage] for stage in self.parameters]
        for index, stage in enumerate(self.parameters):
            for parameter in stage if index != own else ():
                parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)

    def optimizer(self, optimizer: Any) -> Any:
        """SGD over the own stage, with the settings of the one that is given."""
        return anew(optimizer, [parameter for layer in self.own for parameter in layer.parameters()])

    def full_weights(self) -> dict[str, Any]:
        """Every parameter from the rank that has it; all ranks have to ask for it."""
        import torch

        for rank, (stage, shapes) in enumerate(zip(self.parameters, self.shapes, strict=True)):
            for parameter, shape in zip(stage, shapes, strict=True):
                whole = parameter.data if parameter.numel() else parameter.data.new_empty(shape)
                torch.distributed.broadcast(whole, src=rank)
                parameter.data = whole
        return dict(self.model.state_dict())


class PipelinedStep:
    """A step of a GPipe schedule (Huang et al. 2019), one stage a rank."""

    whole_batch = True  # the first rank needs all inputs, the last all targets

    def __init__(self, model: Any, optimizer: Any, micro_batches: int) -> None:
        import torch
        from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

        self.rank, self.world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self.device = next(model.parameters()).device
        self.stages = Stages(model, stages(model.layers, self.world), self.rank)
        self.sgd = self.stages.optimizer(optimizer)
        stage = PipelineStage(torch.nn.Sequential(*self.stages.own), self.rank, self.world, self.device)
        self.schedule = ScheduleGPipe(stage, micro_batches, loss_fn=model.loss)
        self.full_weights = self.stages.full_weights

    def __call__(self, inputs: Any, targets: Any) -> Any:
        import torch

        self.sgd.zero_grad()
        losses: list[Any] = []
        last = self.rank == self.world - 1
        given = (inputs,) if self.rank == 0 else ()
        self.schedule.step(*given, **({"target": targets, "losses": losses} if last else {}))
        self.sgd.step()
        loss = torch.stack(losses).mean().detach() if last else torch.zeros((), device=self.device)
        torch.distributed.broadcast(loss, src=self.world - 1)
        return loss

    def effective_config(self) -> dict[str, Any]:
        return {**settings(self.sgd), "micro_batches": self.schedule._n_microbatches}
