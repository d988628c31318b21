"""What a server offers beside answers: each probe against a server that does, one that does not, and one that lies."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

from assay import browser, client, findings
from assay.findings import Finding, Subject
from assay.transport import transport

REQUEST, RESPONSE = '{"instances": $rows}', "predictions"
PAYLOADS = numpy.arange(12, dtype=numpy.float32).reshape(4, 1, 3)


# The parts of a Swagger page that are used, with a form that sends what it holds.
FORM = """
const sent = async () => {
  const body = document.querySelector("textarea").value;
  const answer = await fetch("/model", { method: "POST", body });
  const shown = await answer.text();
  document.querySelector(".live-responses-table").innerHTML =
    `<div class="response"><p class="response-col_status">${answer.status}</p>
     <div class="response-col_description"><pre>${WRONG ? shown.replace(/[0-9]/g, "7") : shown}</pre></div></div>`;
};
setTimeout(() => {
  document.body.innerHTML = `<div class="opblock opblock-post"><button class="opblock-summary-control">open</button>
    <span class="opblock-summary-path" data-path="/model">/model</span><button class="try-out__btn">try</button>
    <textarea class="body-param__text"></textarea><button class="execute">send</button>
    <div class="live-responses-table"></div></div>`;
  document.querySelector(".execute").onclick = sent;
}, 200);
"""
PAGE = "<html><body></body><script>const WRONG = {wrong};</script><script src='{source}'></script></html>"


class Server(http.server.BaseHTTPRequestHandler):
    """Predicts row sums, or twice that on /second; counts its calls on /metrics, each as often as `counted` says."""

    calls = 0
    counted = 1
    page = True  # whether there are metrics
    generous = False  # answers under any name
    form = ""  # the page at /docs

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        known = self.path in ("/model", "/second") or self.generous
        factor = 2 if self.path == "/second" else 1
        type(self).calls += self.counted
        self.reply(200 if known else 404, json.dumps({"predictions": [factor * sum(row) for row in rows]}))

    def do_GET(self) -> None:
        if self.path in ("/docs", "/form.js"):
            self.reply(200 if self.form else 404, FORM if self.path == "/form.js" else self.form)
            return
        text = f'# HELP calls\nrequests_total{{route="x"}} {type(self).calls}\ngc_total {type(self).calls}\nup 1\n'
        self.reply(200 if self.page else 404, text)

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(params=[{}])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(findings, "SETTLE_S", 0.0)
    kind = type("Kind", (Server,), {"calls": 0, **request.param})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def find(url: str, **offers: Any) -> list[Finding]:
    sums = [payload.sum(axis=1).astype(float) for payload in PAYLOADS]
    return findings.find(
        Subject(
            url=f"{url}/model",
            offers=offers,
            transport=transport(f"{url}/model", REQUEST, RESPONSE, {}, PAYLOADS),
            reach=lambda place, payloads: transport(place, REQUEST, RESPONSE, {}, payloads),
            right=client.right,
            payloads=PAYLOADS,
            golden=sums,
            second=[2 * one for one in sums],
        )
    )


def test_a_counter_that_rises_by_the_calls_made_is_found(url: str) -> None:
    (found,) = find(url, metrics=f"{url}/metrics")

    assert found.state == "passed"
    assert 'requests_total{route="x"} rose by exactly 10 and 7' in found.said


@pytest.mark.parametrize("url", [{"counted": 2}], indirect=True)
def test_a_counter_that_counts_otherwise_fails(url: str) -> None:
    assert find(url, metrics=f"{url}/metrics")[0].state == "failed"


def test_two_models_answer_as_theirs_and_an_unknown_name_is_refused(url: str) -> None:
    (found,) = find(url, second=f"{url}/second")

    assert (found.state, found.said.split()[-1]) == ("passed", "404")


@pytest.mark.parametrize("url", [{"generous": True}], indirect=True)
def test_a_server_that_answers_under_any_name_fails(url: str) -> None:
    assert "does not exist answered" in find(url, second=f"{url}/second")[0].said


def test_the_first_model_in_the_place_of_the_second_fails(url: str) -> None:
    assert find(url, second=f"{url}/model")[0].said == "4 of 8 predictions of the two models are not theirs"


def test_what_a_tool_refuses_is_none_and_what_its_file_says_is_declined(url: str) -> None:
    refused, second, metrics = find(
        url, grpc={"refused": "no service"}, second={"declined": "one model"}, metrics={"declined": "no page"}
    )

    assert refused == Finding("grpc", "none", "no service")
    assert second == Finding("second", "declined", "one model")
    assert metrics.state == "failed"  # there is a page after all


@pytest.mark.parametrize("url", [{"page": False}], indirect=True)
def test_a_metrics_page_that_is_not_there_is_none(url: str) -> None:
    assert find(url, metrics={"declined": "no page"}) == [Finding("metrics", "none", "no page (/metrics answers 404)")]


def test_a_probe_that_cannot_reach_its_place_fails_with_the_cause(url: str) -> None:
    (found,) = find(url, metrics="http://127.0.0.1:9/metrics")

    assert found.state == "failed"
    assert "refused" in found.said


def test_torchserve_carries_the_bodies_of_its_rest_route() -> None:
    one: Any = transport("torchserve://127.0.0.1:1/model", REQUEST, RESPONSE, {}, PAYLOADS)
    sent = one.request.FromString(one.requests[0])

    assert sent.model_name == "model"
    assert json.loads(sent.input["data"]) == {"instances": [[0.0, 1.0, 2.0]]}
    answer = one.response(prediction=b'{"predictions": [3.0]}').SerializeToString()
    assert one.decode(answer).tolist() == [3.0]


needs_chromium = pytest.mark.skipif(browser.program() is None, reason="no Chromium on PATH")


@needs_chromium
@pytest.mark.parametrize(
    ("url", "state", "said"),
    [
        ({"page": False, "form": PAGE.format(wrong="false", source="/form.js")}, "passed", "shows the golden row"),
        ({"page": False, "form": PAGE.format(wrong="true", source="/form.js")}, "failed", "status 200"),
        ({"page": False, "form": PAGE.format(wrong="false", source="/nothing.js")}, "failed", "no form for /model"),
        (
            {"page": False, "form": PAGE.format(wrong="false", source="http://cdn.example/a.js")},
            "failed",
            "cdn.example",
        ),
        ({"page": False}, "none", "no page"),
    ],
    indirect=["url"],
)
def test_a_browser_sends_a_row_through_the_servers_own_form(url: str, state: str, said: str) -> None:
    found = {one.name: one for one in find(url, api=[f"{url}/openapi.json"])}["score"]

    assert found.state == state, found.said
    assert said in found.said


def test_without_a_browser_a_form_is_not_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert "score" not in {one.name for one in find(url, api=[f"{url}/openapi.json"])}
