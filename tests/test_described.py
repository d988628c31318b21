"""What a server says of its own API and the pages it serves: found, absent, borrowed and broken."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from assay import described

DESCRIPTION = {
    "paths": {"/models/{name}": {"put": {"parameters": [{"name": "min_worker", "in": "query"}]}}},
    "components": {"schemas": {"Model": {"properties": {"version": {}, "weight": {}}}}},
}


class Server(http.server.BaseHTTPRequestHandler):
    pages: dict[str, str]
    by_options = False
    refused = 404

    def do_GET(self) -> None:
        if self.by_options and self.path == "/api":
            self.reply(405, "")
        else:
            self.reply(200 if self.path in self.pages else self.refused, self.pages.get(self.path, ""))

    def do_OPTIONS(self) -> None:
        self.reply(200 if self.path in self.pages else 404, self.pages.get(self.path, ""))

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Kind", (Server,), request.param)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


API = {"/api": json.dumps(DESCRIPTION)}


@pytest.mark.parametrize("url", [{"pages": API}, {"pages": API, "by_options": True}], indirect=True)
def test_what_an_api_names_is_there_and_what_it_does_not_name_is_not(url: str) -> None:
    found = {topic: described.topic(topic, [f"{url}/api"]) for topic in described.TOPICS}

    assert found["scaling"] == (
        "passed",
        "the description of its API names what changes the number of replicas: min_worker",
    )
    assert found["split"][0] == found["drift"][0] == "none"
    assert "none of the 4 routes, parameters and fields" in found["drift"][1]


@pytest.mark.parametrize("url", [{"pages": {"/api": "[1, 2]"}}], indirect=True)
def test_what_is_no_description_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="no OpenAPI document"):
        described.topic("drift", [f"{url}/api"])


OWN = '<html><script src="/static/ui.js"></script></html>'
BORROWED = '<html><script src="https://cdn.example/ui.js"></script></html>'
PAGES = [
    ({"pages": {"/docs": OWN}}, "passed", "a page at /docs, its 1 scripts the server's own"),
    ({"pages": {"/ui": BORROWED, "/docs": OWN}}, "passed", "a page at /docs, its 1 scripts the server's own"),
    ({"pages": {"/ui": BORROWED}}, "none", "the page at /ui has scripts from cdn.example, and does nothing"),
    ({"pages": {"/": "<html>no script</html>"}}, "none", "no page: /ui 404"),
    ({"pages": {"/": '{"status": "alive"}'}}, "none", "no page: /ui 404, /docs 404, /v2/docs 404, /dashboard 404"),
]


@pytest.mark.parametrize(("url", "state", "said"), PAGES, indirect=["url"])
def test_a_page_counts_with_scripts_of_its_own(url: str, state: str, said: str) -> None:
    found = described.page([f"{url}/predict"])

    assert found[0] == state
    assert found[1].startswith(said)


@pytest.mark.parametrize("url", [{"pages": {"/docs": OWN}, "refused": 503}], indirect=True)
def test_a_page_is_found_beside_others_that_fail(url: str) -> None:
    assert described.page([f"{url}/predict"])[0] == "passed"


@pytest.mark.parametrize("url", [{"pages": {}, "refused": 503}], indirect=True)
def test_a_server_that_fails_has_not_said_that_it_has_no_page(url: str) -> None:
    with pytest.raises(OSError, match="503"):
        described.page([f"{url}/predict"])
