"""The rules of measurement in force, as the method page prints them, and what to do about a failure."""

from __future__ import annotations

RULES = (
    ("Clock", "Durations are monotonic (perf_counter_ns). The loop and the clock are assay's; a tool returns no time."),
    ("Trial", "One case in one fresh process tree is the unit of replication: one number a trial and metric."),
    (
        "Phases",
        "import, launch (every rank in the loop), warm-up, window, teardown (no process left); they sum to the wall "
        "time.",
    ),
    (
        "Inside a step",
        "Fetching the batch, forward, backward, gradient exchange, update. Losses stay on the device until the window "
        "closes.",
    ),
    (
        "Ranks",
        "Throughput is the work of all ranks over latest window end minus earliest window start; a step's time is the "
        "slowest rank's.",
    ),
    (
        "Blocks",
        "Each block holds every case once, in an order drawn from the run's seed; comparisons are paired by block.",
    ),
    (
        "A/A control",
        "One tool runs under a second name. How far it is from itself is the noise floor; where the interval of that "
        "ratio excludes 1, no verdict is given.",
    ),
    ("Blocks a profile", "smoke 1, quick 3, standard 7, full 10. Below 5 no interval and no verdict on speed."),
    (
        "Published cells",
        "A speed-up confirms with its whole 95 % interval above the rule's bound (1.3) and contradicts below the other "
        "(1.1), from 7 blocks on. A proof, such as trials whose every answer was checked or what a probe found, is "
        "asked for three times; mixed or fewer ones are unclear. A result is relied on for 180 days.",
    ),
    (
        "Interval",
        "Geometric mean of per-block ratios with the paired t interval on their logs, 95 %; beside it a percentile "
        "bootstrap of the ratio of medians.",
    ),
    (
        "Verdict",
        "Faster or slower: outside the noise floor and p < 0.05. Else equivalent: the interval lies within 5 % and "
        "TOST p < 0.05. Else undecided. p values are adjusted by Holm's method over the table.",
    ),
    (
        "Window",
        "After the discarded warm-up, change points of the step times (least squares, penalty 3 log n, values clipped "
        "to Tukey's fences, 5 % or more) class a window as steady, warm-up, slowdown or no steady state. A case most "
        "of whose windows are of the last two is not called faster than a control that was steady.",
    ),
    (
        "Check",
        "The whole loss trace within the scenario's limit (1e-4 unless it says otherwise) of a single process with the "
        "same gradient chunks; equal final weights on all ranks; settings read back as applied. No check, no number.",
    ),
    (
        "Threads and cores",
        "One compute thread a rank, one core pinned to each where there are enough; recorded as the rank sees them.",
    ),
    (
        "Noise gate",
        "Before and after each trial a fixed kernel is timed: CPU/wall at least 0.95, spread and drift at most twice "
        "what the idle machine showed (never less than 10 % and 6 %). A miss is repeated in its block, at most twice.",
    ),
    (
        "Resources",
        "CPU seconds of the whole tree by wait4 under a child subreaper; memory as PSS at most once a second and RSS "
        "at most five times, and less often where that would take more than half a per cent of a core.",
    ),
    (
        "Serving load",
        "Open loop: arrivals come from a seeded schedule that is the same for every tool of a block; sending never "
        "waits for a response, and a response time begins at the scheduled moment. Every request is kept with four "
        "stamps. A server that completes less than 99 % of what was fired fell behind: no latency is given there.",
    ),
    (
        "Serving cores",
        "Server and load generator have disjoint cores, read back. A load is left out where the generator itself was "
        "late (LAG, POOL_WAIT: p99 above 1 ms and above a tenth of the response's; ARRIVALS; GENERATOR_CPU) or where "
        "more than 0.1 % of requests failed (ERRORS).",
    ),
    (
        "Serving check",
        "Ready is the first correct prediction. Every response is compared with the golden prediction of its own rows, "
        "absolute tolerance 1e-4; one mismatch makes the trial invalid.",
    ),
    (
        "Tail",
        "A quantile needs as many requests as MLPerf's early-stopping test asks with none above it: 44 for p90, 459 "
        "for p99. Errors and timeouts rank above all responses.",
    ),
    (
        "Batch inference",
        "One cold pass, then warm ones; throughput is of the median warm pass. Every row of every pass is compared "
        "with its golden prediction.",
    ),
    (
        "Energy",
        "Differences of the hardware's counters over a whole trial: RAPL of the packages, NVML of the devices. Where "
        "there are none it is unavailable; nothing is estimated, and nothing is ranked by it.",
    ),
    (
        "Scaling models",
        "Amdahl's law from four distinct numbers of workers within the cores, the USL from six; below that, points "
        "alone. No fit is drawn beyond twice the largest number.",
    ),
    ("Cost", "Only from a dated prices.toml of the user's own: price / (3600 x throughput) x 10^6 a million samples."),
    ("Environment", "Built from the tool's pins before any clock starts; what was installed is stored with the run."),
    ("Time to target", "From a rank's entry into the loop, evaluation included. A miss is a failure, not a long time."),
)

HINTS = (
    (
        "LOSS",
        "The tool computed something else: look for clipping, scaling, averaging or precision that it sets by default.",
    ),
    ("CONFIG", "A setting was requested and another applied: set it explicitly in the tool's file."),
    ("WEIGHTS", "Ranks drifted apart: gradients were not exchanged, or not all of them."),
    ("NAN", "Training diverged: lower the learning rate, or look for unscaled half precision."),
    ("RANKS", "Not every rank reported: assay try TOOL SCENARIO shows the log."),
    ("STEPS", "A rank did another number of steps than it was asked for."),
    ("TARGET", "The target was not reached: give more quality.steps, or a lower target."),
    ("THREADS", "A launcher changed the number of compute threads."),
    ("MISMATCH", "Some prediction was not the golden one: another model, another row's answer, or lost precision."),
    ("ERRORS", "Requests failed under every load: the log's last lines may say why."),
    ("PINNING", "The server moved its processes to the generator's core; it must keep the cores it is given."),
    ("PASSES", "The tool made another number of passes than it was asked for."),
    ("SAMPLER", "Reading the memory of so many processes took too much: give the trial more cores."),
    ("NOISE", "The machine was busy: run on an idle one, or calibrate with assay doctor --noise."),
    ("timeout", "Raise measure.timeout or measure.launch_timeout if the tool only needs longer."),
    ("out_of_memory", "Raise measure.memory, or use smaller options."),
    ("environment", "The environment could not be made, or lacks what the tool imports; the last lines say which."),
    ("unsupported", "Not a failure: the tool or this machine does not offer it."),
    ("crashed", "The process died; the log's last lines may say why."),
    ("error", "See the last lines of the log; assay try TOOL SCENARIO runs one trial in the foreground."),
)


def failure_hint(outcome: str, codes: str) -> str:
    """The most specific hint for a failed trial."""
    words = {outcome, *codes.split()}
    return next((hint for sign, hint in HINTS if sign in words), "")
