# /// script
# requires-python = ">=3.11"
# dependencies = ["apache-otava==0.8.0"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Change points of series by Apache Otava, in an environment of its own: `uv run --script` starts this file.

JSON in: series by name, oldest value first. JSON out: by name the indices of the first value after each change (M71).
"""

import json
import sys

LEAST_CHANGE = 0.02


def main() -> None:
    from otava.series import AnalysisOptions, Metric, Series

    options = AnalysisOptions()
    options.min_magnitude = LEAST_CHANGE
    found = {}
    for name, values in json.load(sys.stdin).items():
        series = Series(name, None, list(range(len(values))), {"value": Metric()}, {"value": values}, {})
        groups = series.analyze(options).change_points_by_time
        found[name] = sorted({int(change.index) for group in groups for change in group.changes})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
