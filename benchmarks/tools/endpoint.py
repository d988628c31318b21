# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "A server that already runs"
# homepage = "https://github.com/kserve/open-inference-protocol"
# devices = ["cpu"]
# settings = ["dialect", "request", "response"]
# ///
"""Any URL that already serves the model: attached to, measured and checked like the rest.

`--cluster endpoint=URL` says where; the setting `dialect` is `v1` or `v2`, or give `request` and `response` as in
`benchmarks.contract.Dialect`.
"""

import contextlib
from collections.abc import Iterator

from benchmarks.contract import V1, V2, Dialect, Endpoint, Serving, Unsupported

DIALECTS = {"v1": V1, "v2": V2}


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    if not job.address:
        raise Unsupported("no URL was given: assay run ... --cluster endpoint=http://host:port/route")
    settings = job.settings
    if "request" in settings:
        dialect = Dialect(str(settings["request"]), str(settings.get("response", "")))
    else:
        name = settings.get("dialect", "v2")
        if name not in DIALECTS:
            raise Unsupported(f"dialect {name!r} is none of {', '.join(DIALECTS)}; or give request and response")
        dialect = DIALECTS[name]
    yield Endpoint(job.address, dialect)
