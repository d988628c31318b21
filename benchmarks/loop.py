"""The training loop that every rank of every tool runs, and the only clock of a training trial.

Inside a timed step: fetching the batch, forward, backward, gradient exchange, update. Outside it: reading
losses, evaluating, writing records. Losses stay on the device and stamps in memory until the window closes.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import os
import platform
import resource
import socket
import time
from pathlib import Path
from typing import Any

from benchmarks.contract import Prepare, RankLog, Training
from benchmarks.inputs import Inputs
from benchmarks.optimizer import settings
from benchmarks.sharding import held_bytes

# What can change a step's speed without showing in the code: recorded as the rank sees it.
VARIABLES = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "MALLOC_", "LD_PRELOAD", "NCCL_", "GLOO_", "CUDA_", "PYTHON")


def bare_step(model: Any, optimizer: Any) -> Any:
    """The plain optimiser step of one process; what a wrapped model or optimizer needs is often just this."""

    def step(inputs: Any, targets: Any) -> Any:
        optimizer.zero_grad()
        loss = model(inputs, targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def chunked_step(chunks: int) -> Prepare:
    """The reference: one process that splits its batch in contiguous chunks and steps once.

    N data-parallel ranks add N partial gradients; so does this. Only against such a reference is a tight
    tolerance fair, because rounding depends on how the sum is split.
    """

    def prepare(model: Any, optimizer: Any) -> Any:
        def step(inputs: Any, targets: Any) -> Any:
            optimizer.zero_grad()
            losses = []
            for part_inputs, part_targets in zip(inputs.chunk(chunks), targets.chunk(chunks), strict=True):
                loss = model(part_inputs, part_targets) / chunks
                loss.backward()
                losses.append(loss.detach())
            optimizer.step()
            return sum(losses)

        return step

    return prepare


def run(job: Training, rank: int, prepare: Prepare | None) -> RankLog:
    """See `Training.run`."""
    # Before the first stamp: some launchers have imported it already, and launching pays for it in all of them.
    import torch

    stamps = {"entered": time.perf_counter_ns()}
    announce(job, rank, "warmup")
    settle(job, rank)
    device = torch.device(device_name(job, rank))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    inputs = Inputs(job.inputs)
    workload = load_workload(job.workload)
    model = workload.build(job.options, inputs.weights)
    model.load_state_dict(inputs.weights)
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), **job.optimizer)
    model_bytes = held_bytes(model)
    stamps["loaded"] = time.perf_counter_ns()
    step = (prepare or bare_step)(model, optimizer)
    stamps["prepared"] = time.perf_counter_ns()
    write_back = getattr(step, "write_back", lambda: None)
    part = (0, 1) if getattr(step, "whole_batch", False) else (rank, job.workers)

    losses: list[Any] = []
    quality: list[tuple[int, int, float]] = []

    def advance() -> None:
        rows, targets = inputs.batch(len(losses), job.batch, *part)
        losses.append(step(rows.to(device), targets.to(device)))

    def evaluate() -> float:
        write_back()
        with torch.no_grad():
            test_inputs, test_targets = inputs.test
            return float(workload.evaluate(model, test_inputs.to(device), test_targets.to(device)))

    for _ in range(job.quality_steps + job.warmup_steps):
        advance()
        if len(losses) == 1:
            synchronise(device)
            stamps["first_step"] = time.perf_counter_ns()
        if len(losses) <= job.quality_steps and len(losses) % job.quality_every == 0:
            value = evaluate()
            quality.append((len(losses), time.perf_counter_ns(), value))

    # A collection in the middle of the window would be charged to whichever step it hits.
    gc.collect()
    gc.disable()
    announce(job, rank, "measure")
    first = len(losses)
    clock = DeviceClock() if device.type == "cuda" else HostClock()
    cpu_before = time.process_time_ns()
    stamps["window_open"] = clock.open()
    for _ in range(job.window_steps):
        advance()
        clock.mark()
    step_end_ns = clock.close()
    cpu_after = time.process_time_ns()
    gc.enable()
    stamps["window_close"] = step_end_ns[-1]
    announce(job, rank, "teardown")

    held = {"parameter_bytes": held_bytes(model), "model_bytes": model_bytes}
    write_back()
    whole = getattr(step, "full_weights", model.state_dict)()
    final = {name: tensor.cpu() for name, tensor in whole.items()}
    stamps["left"] = time.perf_counter_ns()
    return RankLog(
        rank=rank,
        world=job.workers,
        stamps=stamps,
        window=(first, len(losses)),
        step_end_ns=step_end_ns,
        losses=torch.stack([torch.as_tensor(loss).detach().reshape(()) for loss in losses]).tolist(),
        quality=quality,
        weights=weights_digest(final),
        applied=applied(optimizer, model, step),
        facts=facts(device) | held,
        usage={"cpu_s": (cpu_after - cpu_before) / 1e9, **device_usage(device)},
    )


class HostClock:
    """Stamps on the host, one after each step."""

    def open(self) -> int:
        self.ends: list[int] = []
        return time.perf_counter_ns()

    def mark(self) -> None:
        self.ends.append(time.perf_counter_ns())

    def close(self) -> list[int]:
        return self.ends


class DeviceClock:
    """Events on the CUDA stream: a synchronise per step would serialise what the device overlaps."""

    def open(self) -> int:
        import torch

        self.events = [torch.cuda.Event(enable_timing=True)]
        torch.cuda.synchronize()
        self.opened_ns = time.perf_counter_ns()
        self.events[0].record()
        return self.opened_ns

    def mark(self) -> None:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.events.append(event)

    def close(self) -> list[int]:
        import torch

        torch.cuda.synchronize()
        closed_ns = time.perf_counter_ns()
        start = self.events[0]
        ends = [self.opened_ns + round(start.elapsed_time(event) * 1e6) for event in self.events[1:]]
        # The window ends when the host knows that the device is done, not when its last event fired.
        return [*ends[:-1], max(closed_ns, *ends[-2:])]


def announce(job: Training, rank: int, phase: str) -> None:
    """Tell the engine which phase begins, for deadlines and progress. No stamp depends on it.

    A rank of a remote cluster may not see the scratch folder; then the engine does not know the phase.
    """
    if rank == 0:
        with contextlib.suppress(OSError):
            Path(job.scratch, "phase").write_text(phase)


def settle(job: Training, rank: int) -> None:
    """Fix thread counts and core before any parallel work."""
    import torch

    if job.cores and hasattr(os, "sched_setaffinity"):
        # Every thread, not only this one: a launcher's communication threads may exist already.
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {job.cores[rank]})
    torch.set_num_threads(job.threads)
    if torch.get_num_interop_threads() != job.threads:
        # torch refuses once parallel work has begun; what the rank really has is in its facts.
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(job.threads)
    torch.manual_seed(job.seed)


def device_name(job: Training, rank: int) -> str:
    """The device of a rank: ranks of one host take its GPUs in turn, as launchers' LOCAL_RANK says."""
    if job.device != "cuda":
        return "cpu"
    import torch

    local = int(os.environ.get("LOCAL_RANK", rank))
    return f"cuda:{local % torch.cuda.device_count()}"


def synchronise(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def load_workload(name: str) -> Any:
    return importlib.import_module(f"benchmarks.workloads.{name.replace('-', '_')}")


def weights_digest(weights: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def applied(optimizer: Any, model: Any, step: Any) -> dict[str, Any]:
    """Read back what was in force, under the names of `Training.requested`."""
    precision = str(next(model.parameters()).dtype).removeprefix("torch.")
    effective_config = getattr(step, "effective_config", dict)
    return {**settings(optimizer), "precision": precision, **effective_config()}


def facts(device: Any) -> dict[str, Any]:
    import torch

    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(VARIABLES)},
        "torch": torch.__version__,
        "minor_faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt,
    }


def device_usage(device: Any) -> dict[str, Any]:
    if device.type != "cuda":
        return {}
    import torch

    return {
        "device_allocated_bytes": torch.cuda.max_memory_allocated(device),
        "device_reserved_bytes": torch.cuda.max_memory_reserved(device),
    }
