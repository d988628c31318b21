"""The tables of a served question."""

from __future__ import annotations

import json

from assay import tails
from assay.report.answer import why
from assay.report.document import Table
from assay.report.figures import amount, interval_text
from assay.report.serving.answer import answering, bracket, estimate, gains, quantile_estimate, ready, title
from assay.report.serving.drawing import memory_parts
from assay.served import Served, key
from assay.statistics import Estimate


def load_table(one: Served) -> Table:
    """One row a case and rate."""
    rows = []
    for case in one.cases:
        for rate in one.rates:
            loads = [load for load in one.loads.get(key(case), []) if load.kind == "server" and load.rate == rate]
            valid = [load for load in loads if load.valid]
            behind = sum(load.saturated for load in valid)
            state = f"fell behind in {behind} of {len(valid)}" if behind else ("ok" if valid else "not valid")

            def shown(value: Estimate | None) -> str:
                return "-" if value is None else amount(float(f"{value.value:.4g}"))

            service = [load.services[0.99] for load in valid]
            bound = quantile_estimate(valid, 0.99)
            rows.append(
                [
                    title(one, case),
                    f"{rate:g}",
                    f"{len(valid)}/{len(case.rows)}",
                    state,
                    shown(estimate([load.achieved for load in valid])),
                    shown(quantile_estimate(valid, 0.5)),
                    shown(quantile_estimate(valid, 0.9)),
                    shown(bound),
                    f"{amount(bound.low)} to {amount(bound.high)}" if bound and bound.low and bound.high else "-",
                    shown(None if state != "ok" or None in service else estimate(service)),
                    str(sum(load.errors for load in valid)),
                    shown(estimate([load.cpu_per_1000 for load in valid])),
                    shown(estimate([load.rows_per_call for load in valid])),
                    f"{max((load.row['lag_p99_ns'] or 0) / 1e6 for load in loads):.2f}" if loads else "-",
                ]
            )
    columns = ["Tool", "Offered (1/s)", "Valid", "State", "Achieved (1/s)", "p50 (ms)", "p90 (ms)", "p99 (ms)"]
    columns += ["p99, 95 %", "Service p99 (ms)", "Errors", "CPU per 1,000 (s)", "Rows a call", "Lag p99, worst (ms)"]
    return Table(
        columns,
        rows,
        f"Geometric means over trials. A quantile needs {tails.least_count(0.5)}, {tails.least_count(0.9)} and "
        f"{tails.least_count(0.99)} requests a trial for p50, p90 and p99; a server that fell behind has none.",
    )


def server_table(one: Served) -> Table:
    """One row a case: what does not depend on the rate."""
    rows, more = [], gains(one)
    several = any((load.answering or 0) > 1 for loads in one.loads.values() for load in loads)
    for case in one.cases:
        memory = memory_parts(one, case)
        start = ready(case)
        first = next(iter(case.ok()), None)
        loads = one.loads.get(key(case), [])
        single = estimate([load.responses[0.9] for load in one.at(case, "single_stream")])
        offline = estimate([load.achieved for load in one.at(case, "offline")])
        rows.append(
            [
                title(one, case),
                f"{len(case.ok())}/{len(case.rows)}" if case.ok() else why(case),
                interval_text(start, "s") if start else "-",
                f"{memory['idle']:,.0f}" if memory else "-",
                f"{sum(memory.values()):,.0f}" if memory else "-",
                f"{single.value:.3g}" if single else "-",
                amount(float(f"{offline.value:.4g}")) if offline else "-",
                *([interval_text(more[key(case)]) if key(case) in more else "-"] if more else []),
                *([str(answering(one, key(case)) or "-")] if several else []),
                bracket(case),
                f"`{first['dialect']}`" if first else "-",
                f"{loads[0].row['encode_us']:.0f} / {loads[0].row['decode_us']:.0f}" if loads else "-",
            ]
        )
    columns = ["Tool", "ok", "First right answer", "Idle (MiB)", "Loaded (MiB)", "SingleStream p90 (ms)"]
    columns += [
        "Offline (1/s)",
        *(["Over one replica"] if more else []),
        *(["Processes that called the model, at saturation"] if several else []),
        "Rate under the SLO (1/s)",
        "Dialect",
        "Codec, encode / decode (us)",
    ]
    return Table(columns, rows, "Memory is the server's alone. The codec's cost is the client's, measured apart.")


def trial_table(one: Served) -> Table:
    rows = []
    for case in one.cases:
        for row in case.rows:
            rows.append(
                [
                    str(row["trial"]),
                    str(row["block"] + 1),
                    row["label"],
                    f"{row['outcome']} {row['codes'] or ''}".strip(),
                    f"{row['ready_ns'] / 1e9:.2f}" if row["ready_ns"] else "-",
                    f"{row['total_s']:.1f}" if row["total_s"] else "-",
                    f"{row['cpu_s']:.1f}" if row["cpu_s"] is not None else "-",
                    ", ".join(json.loads(row["survivors"] or "[]")) or "-",
                ]
            )
    rows.sort(key=lambda row: int(row[0]) % 1_000_000)
    return Table(
        ["Trial", "Block", "Tool", "Outcome", "First right answer (s)", "Total (s)", "CPU (s)", "Survivors"], rows
    )
