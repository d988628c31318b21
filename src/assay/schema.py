"""The columns of the stored tables. Columns are only added; the schema's number stands in each file's metadata."""

from __future__ import annotations

import pyarrow as pa

SCHEMA = 8
SCHEMA_KEY = b"assay_schema"

text = pa.dictionary(pa.int32(), pa.string())

SAMPLES = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),  # joins trials.trial of the same run
        pa.field("rank", pa.int16(), nullable=False),  # -1: of the whole process tree
        pa.field("index", pa.int32(), nullable=False),  # step, or count of the metric's samples
        pa.field("metric", text, nullable=False),
        pa.field("unit", text, nullable=False),
        pa.field("phase", text, nullable=False),
        pa.field("at_ns", pa.int64()),  # monotonic clock of the rank's host; null where a value has no moment
        pa.field("value", pa.float64(), nullable=False),
    ]
)

ENVIRONMENTS = pa.schema(
    [
        pa.field("run", text),
        pa.field("tool", text),
        pa.field("outcome", text),
        pa.field("error", pa.string()),
        pa.field("remedy", pa.string()),
        pa.field("python", pa.string()),
        pa.field("digest", text),
        pa.field("build_s", pa.float64()),
        pa.field("size_bytes", pa.int64()),
        pa.field("package", pa.string()),  # null: the environment could not be made
        pa.field("version", pa.string()),
        pa.field("license", pa.string()),
    ]
)

RUNS = pa.schema(
    [
        pa.field("run", pa.string()),
        pa.field("started_utc", pa.string()),
        pa.field("assay", pa.string()),  # version
        pa.field("method_version", pa.int32()),
        pa.field("commit", pa.string()),  # null: not a git checkout
        pa.field("dirty", pa.bool_()),
        pa.field("profile", pa.string()),
        pa.field("seed", pa.int64()),
        pa.field("argv", pa.string()),  # JSON list
        pa.field("python", pa.string()),  # of --python; null: an environment a tool
        pa.field("noise_gate", pa.string()),  # JSON: limits in force
        pa.field("machine", pa.string()),  # JSON object: see assay.machine.facts
        pa.field("scenario", pa.string()),  # a row a scenario
        pa.field("scenario_text", pa.string()),
        pa.field("scenario_digest", pa.string()),
        pa.field("blocks", pa.string()),  # as planned: a JSON number, or an object with min and max
        pa.field("control", pa.string()),  # as planned
        pa.field("inputs", pa.string()),  # JSON object: file to sha256
        pa.field("sealed_utc", pa.string()),
    ]
)

TRIALS = pa.schema(
    [
        pa.field("run", text),
        pa.field("trial", pa.int32()),  # of one run: plan's index, plus a million a repeat; references after that
        pa.field("kind", text),  # trial or reference
        pa.field("scenario", text),
        pa.field("label", text),
        pa.field("tool", text),
        pa.field("settings", pa.string()),  # JSON object
        pa.field("device", text),
        pa.field("workers", pa.int16()),
        pa.field("batch", pa.int32()),  # rows of the global batch
        pa.field("window_steps", pa.int32()),
        pa.field("control", pa.bool_()),
        pa.field("address", pa.string()),  # of the cluster attached to
        pa.field("block", pa.int16()),
        pa.field("position", pa.int16()),
        pa.field("attempt", pa.int8()),  # 0, then repeats of a trial that the noise gate rejected
        pa.field("hash_seed", pa.int64()),
        pa.field("padding", pa.int32()),
        pa.field("environment", text),  # digest
        pa.field("started_utc", pa.string()),
        pa.field("outcome", text),
        pa.field("codes", pa.string()),  # of an invalid trial, separated by spaces
        pa.field("phase", text),  # in which it ended
        pa.field("error", pa.string()),
        pa.field("log_tail", pa.string()),
        pa.field("exit_code", pa.int32()),
        pa.field("survivors", pa.string()),  # JSON list of process names that had to be ended
        # Phases in order; they sum to wall_ns. Null where ranks were on another host or never got so far.
        pa.field("import_ns", pa.int64()),
        pa.field("launch_ns", pa.int64()),
        pa.field("warmup_ns", pa.int64()),
        pa.field("measure_ns", pa.int64()),
        pa.field("teardown_ns", pa.int64()),
        pa.field("wall_ns", pa.int64()),
        # From the tool's call to the first step done, and its parts.
        pa.field("first_step_ns", pa.int64()),
        pa.field("load_ns", pa.int64()),  # rank 0: torch, inputs and model
        pa.field("prepare_ns", pa.int64()),  # rank 0: the tool's own wrapping
        pa.field("window_ns", pa.int64()),  # latest window end minus earliest window start, over ranks
        pa.field("samples", pa.int64()),  # rows trained on in the window, by all ranks
        pa.field("target", pa.float64()),  # of quality
        pa.field("time_to_target_ns", pa.int64()),  # from a rank's entry; null: missed or not asked
        pa.field("loss_gap", pa.float64()),  # largest relative gap to the reference
        pa.field("weights", pa.string()),  # sha256 of rank 0's final weights
        pa.field("cpu_s", pa.float64()),  # whole tree, whole trial
        pa.field("cpu_method", text),
        pa.field("window_cpu_s", pa.float64()),  # rank processes, in the window
        pa.field("peak_rss", pa.int64()),
        pa.field("rss_by_role", pa.string()),  # JSON object: role to bytes at the peak
        pa.field("peak_pss", pa.int64()),
        pa.field("pss_by_role", pa.string()),
        pa.field("device_bytes", pa.int64()),  # torch's peak allocation, all ranks; null on CPU
        pa.field("sampler_cpu_s", pa.float64()),
        # Of the whole trial, counted by the hardware for whole packages and devices.
        pa.field("cpu_energy_j", pa.float64()),
        pa.field("cpu_energy_method", text),
        pa.field("gpu_energy_j", pa.float64()),
        pa.field("gpu_energy_method", text),
        pa.field("applied", pa.string()),  # JSON: a list, one object a rank
        pa.field("facts", pa.string()),  # JSON: a list, one object a rank
        pa.field("kernel_ns", pa.float64()),  # noise probe before
        pa.field("kernel_cv", pa.float64()),  # the larger of before and after
        pa.field("kernel_drift", pa.float64()),
        pa.field("kernel_cpu_share", pa.float64()),  # the smaller of before and after
        pa.field("load", pa.float64()),  # one-minute average before
        pa.field("running", pa.int32()),  # tasks that ran or waited for a core just before
        pa.field("steal", pa.float64()),  # share of all cores' time that the hypervisor gave to others
        pa.field("pressure_us", pa.int64()),  # during the trial some task waited for a core (PSI)
        pa.field("exposed", pa.string()),  # why the host's network was shared; empty: a namespace of its own
        # Serving. Moments count from the call of the tool (after package_ns), which is the cold start's zero.
        pa.field("package_ns", pa.int64()),  # making what the tool starts from
        pa.field("listening_ns", pa.int64()),  # a connection was accepted
        pa.field("answering_ns", pa.int64()),  # some HTTP answer came
        pa.field("ready_ns", pa.int64()),  # first correct prediction
        pa.field("dialect", pa.string()),  # request template and response path
        pa.field("cores", pa.string()),  # JSON object: of server and generator, as read back
        pa.field("slo_quantile", pa.float64()),
        pa.field("slo_within_ns", pa.int64()),
        pa.field("slo_low", pa.float64()),  # highest rate that passed; null: none did
        pa.field("slo_high", pa.float64()),  # lowest rate that failed; null: none did
        # Of probes, JSON: a list of name, state (passed, failed, none, declined), said, and value or null.
        pa.field("findings", pa.string()),
    ]
)

LOADS = pa.schema(
    [
        pa.field("run", text),
        pa.field("trial", pa.int32()),
        pa.field("load", pa.int16()),  # in order of execution, from 0
        pa.field("kind", text),  # server, search, single_stream or offline
        pa.field("rate", pa.float64()),  # offered, requests/s; null: closed loop
        pa.field("arrivals", text),
        pa.field("seed", pa.int64()),  # of the schedule
        pa.field("concurrency", pa.int32()),  # of a closed loop
        pa.field("opens_ns", pa.int64()),  # the window, on the clock of the requests
        pa.field("closes_ns", pa.int64()),
        pa.field("scheduled", pa.int64()),  # counts are of the window
        pa.field("fired", pa.int64()),
        pa.field("completed", pa.int64()),
        pa.field("errors", pa.int64()),
        pa.field("errors_by_kind", pa.string()),  # JSON object
        pa.field("mismatches", pa.int64()),  # of the whole load
        pa.field("saturated", pa.bool_()),
        pa.field("codes", pa.string()),  # what makes it invalid
        pa.field("passed", pa.bool_()),  # of a search
        pa.field("lag_p99_ns", pa.int64()),
        pa.field("pool_wait_p99_ns", pa.int64()),
        pa.field("connections", pa.int32()),  # that were opened
        pa.field("generator_cpu_share", pa.float64()),  # of its cores
        pa.field("generator_cpu_us", pa.float64()),  # a request
        pa.field("server_cpu_s", pa.float64()),  # whole tree, in the window
        pa.field("batch_sizes", pa.string()),  # JSON object: rows of a call of the model to calls, in the window
        pa.field("answering_processes", pa.int16()),  # in which the model was called in the window
        pa.field("request_bytes", pa.int64()),  # mean of a request with its headers
        pa.field("encode_us", pa.float64()),  # CPU of the generator to make a body and to read one: the codec's own
        pa.field("decode_us", pa.float64()),
    ]
)

REQUESTS = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),
        pa.field("load", pa.int16(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("payload", pa.int16(), nullable=False),
        pa.field("scheduled_ns", pa.int64(), nullable=False),
        pa.field("fired_ns", pa.int64()),
        pa.field("sent_ns", pa.int64()),
        pa.field("done_ns", pa.int64()),  # answered or given up
        pa.field("status", pa.int16(), nullable=False),  # of HTTP; below 1: assay.load.ERRORS
        pa.field("size", pa.int32(), nullable=False),  # bytes of the response's body
        pa.field("right", pa.bool_()),  # the golden prediction; null: no answer to compare
    ]
)

TABLES = {
    "runs": RUNS,
    "environments": ENVIRONMENTS,
    "trials": TRIALS,
    "samples": SAMPLES,
    "loads": LOADS,
    "requests": REQUESTS,
}
ONLY_SERVING = ("loads", "requests")  # a run that served nothing has no such files
RAW = ("samples", "requests")  # their run is their file's name
