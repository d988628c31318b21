"""A network of one's own: nothing but loopback, and the host's name still leads home."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

WITHIN = """
import socket, sys
from benchmarks import isolation
reason = isolation.enter()
if reason:
    sys.exit(reason)
with socket.socket() as listener:
    listener.bind(("0.0.0.0", 8080))
    listener.listen()
    for name in ("127.0.0.1", socket.gethostname()):
        socket.create_connection((name, 8080), timeout=5).close()
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as fault:
    print(fault.strerror)
"""


def test_loopback_and_the_hosts_name_answer_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", WITHIN], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr}")

    assert done.returncode == 0, done.stderr
    assert "unreachable" in done.stdout
