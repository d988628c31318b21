# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "deepspeed==0.19.8", "ninja==1.13.2", "fastapi==0.165.0", "uvicorn==0.54.0", "pyarrow==26.0.1",
#     "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "DeepSpeed"
# homepage = "https://www.deepspeed.ai"
# devices = ["cpu", "cuda"]
# settings = ["access_log", "micro_batches", "zero_stage"]
# ///
"""DeepSpeed: its training engine, ZeRO stage 0 unless set otherwise, and `init_inference` behind a thin server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from benchmarks.contract import V1, Endpoint, Inference, Probing, RankLog, Serving, Training, Unsupported
from benchmarks.optimizer import settings
from benchmarks.pipelining import Stages, stages
from benchmarks.symbols import there


def train(job: Training) -> Iterable[RankLog]:
    if job.address:
        raise Unsupported("its launcher reaches hosts by ssh; there is no running cluster to attach to")
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--standalone", "--nproc-per-node", str(job.workers)),
            *("--module", __name__, str(job.save())),
        ],
        check=True,
    )
    return job.collect()


def config(job: Training) -> dict[str, Any]:
    """Every default that would change the mathematics, set explicitly."""
    # The stages of a pipeline share a batch, which passes them in parts; other ranks have a part each.
    parts = job.settings.get("micro_batches")
    return {
        "train_batch_size": job.batch,
        "train_micro_batch_size_per_gpu": job.batch // (parts or job.workers),
        "gradient_accumulation_steps": parts or 1,
        "gradient_clipping": 0.0,  # the default of 1.0 clips silently
        "prescale_gradients": False,
        "fp16": {"enabled": False},
        "bf16": {"enabled": False},
        "zero_optimization": {"stage": job.settings.get("zero_stage", 0)},
        # The optimizer is given, plain SGD, and stays the one given also under ZeRO.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


class EngineStep:
    """A step of DeepSpeed's training API: forward through the engine, then its backward and step."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __call__(self, inputs: Any, targets: Any) -> Any:
        loss = self.engine(inputs, targets)
        self.engine.backward(loss)
        self.engine.step()
        return loss.detach()

    def full_weights(self) -> dict[str, Any]:
        if self.engine.zero_optimization_stage() < 3:
            return dict(self.engine.module.state_dict())
        import deepspeed

        whole = {}
        for name, parameter in self.engine.module.named_parameters():
            with deepspeed.zero.GatheredParameters(parameter):
                whole[name] = parameter.detach().clone()
        return whole

    def effective_config(self) -> dict[str, Any]:
        return {
            "gradient_clipping": self.engine.gradient_clipping(),
            "zero_stage": self.engine.zero_optimization_stage(),
            "gradient_accumulation_steps": self.engine.gradient_accumulation_steps(),
        }


class PipelineStep:
    """A step of DeepSpeed's pipeline engine, which cuts the layers into a stage a rank by itself."""

    whole_batch = True

    def __init__(self, model: Any, optimizer: Any, job: Training) -> None:
        import deepspeed
        from deepspeed.pipe import PipelineModule

        cut = stages(model.layers, job.workers)
        self.stages = Stages(model, cut, deepspeed.comm.get_rank())
        net = PipelineModule(model.layers, num_stages=job.workers, loss_fn=model.loss, partition_method="uniform")
        given = config(job)
        self.engine, *_ = deepspeed.initialize(model=net, optimizer=self.stages.optimizer(optimizer), config=given)
        self.micro_batches, self.full_weights = job.settings["micro_batches"], self.stages.full_weights

    def __call__(self, inputs: Any, targets: Any) -> Any:
        parts = zip(inputs.chunk(self.micro_batches), targets.chunk(self.micro_batches), strict=True)
        return self.engine.train_batch(parts).detach()

    def effective_config(self) -> dict[str, Any]:
        return {
            **settings(self.engine.optimizer),
            "gradient_clipping": self.engine.gradient_clipping(),
            "micro_batches": self.engine.gradient_accumulation_steps(),
        }


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:application"),
        *("--host", job.host, "--port", str(job.port), "--workers", str(job.replicas)),
        *([] if job.settings.get("access_log", True) else ["--no-access-log"]),
    ]
    with job.start(command, {"DS_ACCELERATOR": job.device}) as server:
        yield Endpoint(f"http://{job.host}:{job.port}/predict", V1, process=server)


def application() -> Any:
    """What uvicorn runs: the baseline's thin server around DeepSpeed's inference engine."""
    from benchmarks.tools import fastapi

    return fastapi.application(Serving.from_environment().predictor(inference_engine))


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    from benchmarks.tools import single_process

    if job.workers != 1:
        raise Unsupported("its inference engine splits a model among workers, not a data set")
    os.environ["DS_ACCELERATOR"] = job.device
    yield single_process.passes(job, job.predictor(inference_engine))


def inference_engine(model: Any) -> Any:
    import deepspeed
    import torch

    # Kernels are injected for architectures that DeepSpeed knows, on a GPU; this model is none of them.
    config = {"dtype": torch.float32, "tensor_parallel": {"tp_size": 1}, "replace_with_kernel_inject": False}
    return deepspeed.init_inference(model, config=config)


def main() -> None:
    """The script that torchrun starts in every rank."""
    import deepspeed
    import torch.distributed
    from deepspeed.ops import __compatible_ops__

    job = Training.load(sys.argv[1])
    if job.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        # The CPU accelerator would compile a shared-memory op for minutes; only inference uses it.
        __compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if job.device == "cuda" else "gloo")

    def prepare(model: Any, optimizer: Any) -> EngineStep | PipelineStep:
        if "micro_batches" in job.settings:
            return PipelineStep(model, optimizer, job)
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config(job))
        return EngineStep(engine)

    job.deliver(job.run(torch.distributed.get_rank(), prepare))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    said = "Autotuner of deepspeed.autotuning, which looks for the batch and the ZeRO stage of the largest throughput"
    yield {"operations": {"autotuning": (said, there("deepspeed.autotuning", "Autotuner"))}}
