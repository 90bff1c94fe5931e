"""Our Worker passes a request on whole: with a length, and not at all if it is too large."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kikaku.door import RULES
from ops.testing.node import EDGE, run_edge_module

SECRET = "s3cret-of-the-worker-" + "0123456789abcdef"
ADDRESS = "203.0.113.7"

# A visitor's request whose body comes in pieces, without a length, passed on to the container.
SEND = """
    const piece = new TextEncoder().encode(given.piece);
    let left = given.pieces;
    const body = new ReadableStream({
        pull(controller) {
            if (left-- > 0) controller.enqueue(piece);
            else controller.close();
        },
    });
    const sent = given.pieces ? { body, duplex: "half" } : {};
    const headers = { "CF-Connecting-IP": given.address, "Content-Type": "text/plain" };
    const visitor = new Request(given.url, { method: given.method, headers, ...sent });
    const passed = await edge.toPassOn(visitor, given.secret);
    const answer = passed instanceof Response ? passed : await fetch(passed);
    console.log(JSON.stringify({ status: answer.status, location: answer.headers.get("Location") }));
"""


@dataclass
class Container:
    """A server that keeps what it is sent and answers with a redirect."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def container() -> Iterator[Container]:
    seen = Container()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            seen.requests.append((self.command, headers, body))
            self.send_response(303)
            self.send_header("Location", "/contact/sent/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen.url = f"http://127.0.0.1:{server.server_address[1]}/contact/"
        yield seen
        server.shutdown()


def send(to: Container, method: str, *, piece: str = "", pieces: int = 0) -> dict[str, object]:
    """Return status and Location that the visitor gets."""
    given = {"url": to.url, "method": method, "piece": piece, "pieces": pieces}
    found: dict[str, object] = run_edge_module(
        "request.js", SEND, given | {"secret": SECRET, "address": ADDRESS}
    )
    return found


def test_a_body_without_a_length_is_passed_on_whole_and_with_one() -> None:
    with container() as origin:
        assert send(origin, "POST", piece="こんにちは", pieces=3) == {
            "status": 303,
            "location": "/contact/sent/",
        }
    [(method, headers, body)] = origin.requests
    assert (method, body.decode()) == ("POST", "こんにちは" * 3)
    assert headers["content-length"] == "45" and "transfer-encoding" not in headers
    assert headers["cf-connecting-ip"] == ADDRESS and headers["content-type"] == "text/plain"
    assert "x-kikaku-edge" in headers


def test_a_request_without_a_body_is_passed_on_without_one() -> None:
    with container() as origin:
        assert send(origin, "GET")["status"] == 303
    [(method, headers, body)] = origin.requests
    assert (method, body) == ("GET", b"") and "content-length" not in headers


def test_a_body_that_the_container_would_refuse_does_not_reach_it() -> None:
    largest = max(rule.limit for rule in RULES)
    assert f"MAX_BODY_BYTES = {largest:_};" in (EDGE / "request.js").read_text()
    with container() as origin:
        assert send(origin, "POST", piece="x" * 10_000, pieces=1_201)["status"] == 413
    assert origin.requests == []
