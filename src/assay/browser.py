"""A headless Chromium that reaches loopback alone, driven over a pipe by its DevTools protocol."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

NAMES = "chromium", "chromium-browser", "google-chrome"
TIMEOUT_S, STOP_S = 30.0, 10.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-proxy-server"),
    *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-pipe"),
)
# Chromium reads commands from descriptor 3 and writes to 4, whatever the pipe has here.
LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
# In a Swagger page: open a route, put a body into its form, send it; the status and the body that are then shown.
SEND = """
(async (path, body) => {
  const wait = async (found) => {
    for (let turn = 0; turn < 50; turn++) {
      const one = found();
      if (one) return one;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error("not on the page: " + found);
  };
  const routes = () => [...document.querySelectorAll(".opblock-post .opblock-summary-path")];
  const route = await wait(() => routes().find((one) => one.dataset.path === path));
  const block = route.closest(".opblock");
  if (!block.classList.contains("is-open")) block.querySelector(".opblock-summary-control").click();
  (await wait(() => block.querySelector(".try-out__btn"))).click();
  const text = await wait(() => block.querySelector("textarea.body-param__text"));
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(text, body);
  text.dispatchEvent(new Event("input", { bubbles: true }));
  (await wait(() => block.querySelector("button.execute"))).click();
  const answer = ".live-responses-table .response .response-col_";
  const status = await wait(() => block.querySelector(answer + "status"));
  const shown = await wait(() => block.querySelector(answer + "description pre"));
  return [status.innerText.trim(), shown.innerText];
})
"""


class BrowserError(Exception):
    """The browser, or a script in its page, did not do what it was asked."""


def program() -> str | None:
    """The Chromium on PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page: https://chromedevtools.github.io/devtools-protocol, a JSON message each way, ended by a zero byte."""

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write, self.numbers = read, write, itertools.count(1)
        self.rest, self.session = b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **parameters: Any) -> Any:
        """A command's result; events are passed over. Raises BrowserError."""
        number, session = next(self.numbers), {"sessionId": self.session} if self.session else {}
        message = {"id": number, "method": method, "params": parameters, **session}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            for one in self.receive(deadline):
                if one.get("id") == number:
                    if "error" in one:
                        raise BrowserError(f"{method}: {one['error'].get('message')}")
                    return one["result"]

    def receive(self, deadline: float) -> list[dict[str, Any]]:
        if not select.select([self.read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise BrowserError(f"the browser did not answer within {TIMEOUT_S:.0f} s")
        data = os.read(self.read, 1 << 16)
        if not data:
            raise BrowserError("the browser ended by itself")
        *whole, self.rest = (self.rest + data).split(b"\0")
        return [json.loads(one) for one in whole]

    def send(self, url: str, path: str, body: str) -> tuple[str, str]:
        """Through the Swagger page at `url`, a body to the route `path`: status and body as the page shows them.

        Raises BrowserError where the page has no such form.
        """
        self.call("Page.navigate", url=url)
        script = f"{SEND}({json.dumps(path)}, {json.dumps(body)})"
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        try:
            status, shown = told["result"]["value"]
        except (KeyError, TypeError, ValueError) as fault:
            why = told.get("exceptionDetails", {}).get("exception", {}).get("description") or "no answer"
            raise BrowserError(why.partition("\n")[0]) from fault
        return status, shown


@contextlib.contextmanager
def opened(chromium: str) -> Iterator[Page]:
    """A browser with an empty profile, gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as stack:
        (theirs, ours), (mine, yours) = os.pipe(), os.pipe()
        for one in (ours, mine):
            stack.callback(os.close, one)
        command = [sys.executable, "-c", LAUNCH, str(theirs), str(yours), chromium, *FLAGS, f"--user-data-dir={folder}"]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # this process's own carries its events
                stderr=subprocess.DEVNULL,
                env={**os.environ, "HOME": folder},
                pass_fds=(theirs, yours),
                process_group=0,
            )
        finally:
            os.close(theirs)
            os.close(yours)
        stack.callback(end, process)
        yield Page(mine, ours)


def end(process: subprocess.Popen[bytes]) -> None:
    """The browser with all that it has started."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
