"""The model that every server serves: trained once, outside any clock, and loaded by each as the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Inference, Serving
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.inputs import Inputs, load_weights
from benchmarks.loop import bare_step, load_workload

# Enough for the digits to be told apart; what a model has learnt does not change how long it takes to answer.
STEPS, BATCH, RATE, MOMENTUM = 60, 256, 0.05, 0.9
LARGE, LARGE_BATCH = 1_000_000, 8  # parameters from which a step of the usual batch would take seconds
BATCH_SIZES = 4096  # largest batch that is told apart; larger ones count as this
PAYLOADS = 256  # distinct requests, at most: a constant, a swapped or a stale answer is then seen


def make(
    folder: Path, inputs: str, workload: str, options: Mapping[str, Any], seed: int, rows: int, steps: int = STEPS
) -> None:
    """Train, and write weights, PAYLOADS requests of `rows` rows each, and the golden predictions for them."""
    import numpy
    import torch

    folder.mkdir(exist_ok=True)
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.manual_seed(seed)
    files = Inputs(inputs)
    model = load_workload(workload).build(options, files.weights)
    model.load_state_dict(files.weights)
    step = bare_step(model, torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM))
    parameters = sum(tensor.numel() for tensor in model.parameters())
    batch = min(LARGE_BATCH if parameters >= LARGE else BATCH, len(files.train[0]))
    for index in range(steps):
        step(*files.batch(index, batch, 0, 1))
    for name, tensor in model.state_dict().items():
        numpy.save(folder / f"weight-{name}.npy", tensor.numpy())
    generator, count = numpy.random.default_rng([seed, 3]), min(PAYLOADS, len(files.train[0]))
    chosen = generator.integers(0, len(files.train[0]), (count, rows))
    chosen[:, 0] = generator.permutation(len(files.train[0]))[:count]
    payloads = files.train[0][torch.from_numpy(chosen)]
    with torch.inference_mode():
        golden = torch.stack([model.predict(payload) for payload in payloads])
    numpy.save(folder / "payloads.npy", payloads.numpy())
    numpy.save(folder / "golden.npy", golden.numpy())


def make_rows(folder: Path, model: Path, count: int, parts: int, seed: int) -> None:
    """The data set of batch inference, `count` rows in `parts` parquet files, and the golden prediction of each."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    payloads, golden = (numpy.load(model / f"{name}.npy") for name in ("payloads", "golden"))
    payloads, golden = payloads.reshape(-1, payloads.shape[-1]), golden.reshape(len(payloads) * payloads.shape[1], -1)
    chosen = numpy.random.default_rng([seed, 6]).integers(0, len(payloads), count)
    numpy.save(folder / "golden.npy", golden[chosen].astype("float32"))
    (folder / "source").mkdir()
    for part, rows in enumerate(numpy.array_split(numpy.arange(count), parts)):
        values = pyarrow.array(payloads[chosen[rows]].ravel(), pyarrow.float32())
        offsets = pyarrow.array(numpy.arange(len(rows) + 1) * payloads.shape[-1], pyarrow.int32())
        table = pyarrow.table({"row": rows, "x": pyarrow.ListArray.from_arrays(offsets, values)})
        pyarrow.parquet.write_table(table, folder / f"source/part-{part:04}.parquet")


def load(job: Serving | Inference, prepare: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
    """See `Serving.predictor`. The setting `framework` asks for the same weights in another one than torch."""
    framework = job.settings.get("framework")
    compute = FRAMEWORKS[framework](job.model, job.threads) if framework else torch_module(job, prepare)
    calls = batch_counter(job.scratch)

    def predict(rows: Any) -> Any:
        calls[min(len(rows), BATCH_SIZES)] += 1
        return compute(rows)

    return predict


def torch_module(job: Serving | Inference, prepare: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    import numpy
    import torch

    torch.set_num_threads(job.threads)
    weights = load_weights(job.model)
    trained = load_workload(job.workload).build(job.options, weights)
    trained.load_state_dict(weights)

    class Inference(torch.nn.Module):
        """`predict` as `forward`, which is what wrappers of modules call."""

        def __init__(self) -> None:
            super().__init__()
            self.trained = trained

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.trained.predict(rows)

    model = Inference().eval().to(job.device)
    if prepare:
        model = prepare(model)
    # JSON has no integers of a width: whoever decodes it gets floats, and the model what it was trained on.
    dtype = torch.from_numpy(numpy.load(Path(job.model, "payloads.npy"), mmap_mode="r")[:0].copy()).dtype

    def compute(rows: Any) -> Any:
        with torch.inference_mode():
            tensor = torch.as_tensor(numpy.asarray(rows), dtype=dtype, device=job.device)
            return model(tensor).cpu().numpy()

    return compute


def batch_counter(scratch: str) -> Any:
    """Calls of the model in this process by their number of rows: a mapped file, which the engine reads meanwhile.

    So the batches that a server forms are counted in the same way for all of them, whether it tells or not.
    """
    import numpy

    path = Path(scratch, f"batches-{os.getpid()}")
    path.touch()
    os.truncate(path, 8 * (BATCH_SIZES + 1))
    return numpy.memmap(path, "int64", "r+")
