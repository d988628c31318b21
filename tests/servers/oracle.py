"""MLPerf's LoadGen as a client of its own making: `python oracle.py PORT RATE SECONDS FOLDER` prints its p99 in ns."""

from __future__ import annotations

import concurrent.futures
import http.client
import re
import sys
import threading
from pathlib import Path

import mlperf_loadgen

BODY = b'{"instances": [[1]]}'


def main() -> None:
    port, rate, seconds, folder = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    pool = concurrent.futures.ThreadPoolExecutor(256)
    own = threading.local()

    def answer(query: int) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port)
        own.connection.request("POST", "/", BODY)
        own.connection.getresponse().read()
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(query, 0, 0)])

    def issue(samples: list[object]) -> None:
        for sample in samples:
            pool.submit(answer, sample.id)  # type: ignore[attr-defined]

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = mlperf_loadgen.TestScenario.Server
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = rate
    settings.server_target_latency_ns = 2_000_000_000
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = 1
    output = mlperf_loadgen.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    log = mlperf_loadgen.LogSettings()
    log.log_output = output
    system = mlperf_loadgen.ConstructSUT(issue, lambda: None)
    library = mlperf_loadgen.ConstructQSL(1024, 1024, lambda _: None, lambda _: None)
    mlperf_loadgen.StartTestWithLogSettings(system, library, settings, log)
    summary = Path(folder, "mlperf_log_summary.txt").read_text()
    found = re.search(r"99\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)
    print(found[1] if found else summary)


if __name__ == "__main__":
    main()
