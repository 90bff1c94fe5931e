"""HTTP: keys, versions, malformed input, unknown paths, the server process."""

import base64
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kikaku.sandbox import Request, Sandbox
from kikaku.sandbox.openapi import Contract
from kikaku.sandbox.params import decode_form
from kikaku.sandbox.server import running, serve
from kikaku.sandbox.testing.build import API_KEY, in_process, new_session, over_socket

KEY = {"Authorization": f"Bearer {API_KEY}"}
FORM = {**KEY, "Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "key",
    ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "rk_live_x", "pk_test_x", "sk_test_$$$", "whatever", "sk_test_a b"],
)
def test_it_refuses_a_key_that_is_no_secret_test_key_and_never_echoes_it(sandbox: Sandbox, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        in_process(sandbox, key).v1.balance.retrieve()
    assert refused.value.http_status == 401 and key not in str(refused.value)


def test_it_refuses_a_request_without_a_key(sandbox: Sandbox) -> None:
    response = sandbox.handle(Request("GET", "/v1/balance", {}, b""))
    assert (response.status, json.loads(response.body)["error"]["type"]) == (401, "invalid_request_error")


def test_it_takes_secret_and_restricted_keys_as_bearer_or_basic(sandbox: Sandbox) -> None:
    basic = base64.b64encode(b"sk_test_a:").decode()
    for value in ("Bearer sk_test_a", "bearer rk_test_b", f"Basic {basic}"):
        assert sandbox.handle(Request("GET", "/v1/balance", {"authorization": value}, b"")).status == 200
    assert sandbox.handle(Request("GET", "/v1/balance", {"Authorization": "Basic ***"}, b"")).status == 401


def test_it_supports_one_version_and_names_it(sandbox: Sandbox) -> None:
    response = sandbox.handle(Request("GET", "/v1/balance", KEY, b""))
    assert response.headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert response.headers["Request-Id"].startswith("req_")
    old = stripe.StripeClient(
        API_KEY, http_client=in_process(sandbox)._requestor._client, stripe_version="2024-06-20"
    )
    with pytest.raises(stripe.InvalidRequestError, match=r"2024-06-20.*2026-08-26"):
        old.v1.balance.retrieve()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"),
        ("DELETE", "/v1/charges/ch_1"),
        ("POST", "/v1/balance"),
        ("GET", "/v1/charges/ch_1/x"),
        ("POST", "/v1/refunds/re_1"),
        ("GET", "/v1/"),
        ("GET", "/v1/charges/../balance"),
    ],
)
def test_an_unknown_address_is_named_in_stripes_shape(lenient: Sandbox, method: str, path: str) -> None:
    response = lenient.handle(Request(method, path, FORM, b""))
    error = json.loads(response.body)["error"]
    assert (response.status, error["type"]) == (404, "invalid_request_error")
    assert f"{method}: {path}" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"a=%zz",
        b"a=%",
        b"a=%ff",
        b"\xff=1",
        b"a[b=1",
        b"a]=1",
        b"=1",
        b"[a]=1",
        b"a=1&a[b]=2",
        b"a[b]=2&a=1",
        b"&&x",
        b"a[b][c][d][e][f][g][h][i]=1",
        b"&".join(b"k%d=1" % n for n in range(5000)),
        b"line_items=1&mode=payment",
        b"line_items[0]=1&mode=payment",
        b"metadata=1",
        b"metadata[a][b]=1",
        b"expand=x",
        b"expand[][a]=x",
        b"line_items[a]=1",
        b"locale[x]=ja",
        b"payment_intent_data=1",
        b"client_reference_id=a%00b",
    ],
)
def test_a_malformed_body_is_a_400_and_changes_nothing(lenient: Sandbox, body: bytes) -> None:
    response = lenient.handle(Request("POST", "/v1/checkout/sessions", FORM, body))
    assert response.status == 400 and json.loads(response.body)["error"]["message"]
    assert in_process(lenient).v1.checkout.sessions.list().data == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60), path=st.text(max_size=20))
def test_arbitrary_input_gets_an_error_without_a_traceback(sandbox: Sandbox, body: bytes, path: str) -> None:
    sandbox.observer = None
    for target in ("/v1/refunds", "/v1/" + path, "/c/pay/" + path, "/" + path):
        response = sandbox.handle(Request("POST", target, FORM, body))
        assert 400 <= response.status < 500 and b"Traceback" not in response.body


def test_json_bodies_are_refused_with_an_explanation(lenient: Sandbox) -> None:
    headers = {**KEY, "Content-Type": "application/json"}
    response = lenient.handle(Request("POST", "/v1/refunds", headers, b'{"charge": "ch_1"}'))
    assert response.status == 400 and b"x-www-form-urlencoded" in response.body


def test_a_body_over_a_megabyte_is_refused(lenient: Sandbox) -> None:
    response = lenient.handle(Request("POST", "/v1/refunds", FORM, b"a=" + b"x" * 1_000_000))
    assert response.status == 413


def test_lists_are_read_with_and_without_indexes() -> None:
    expected = {"a": {"0": {"x": "1", "y": "2"}, "1": {"x": "3"}}, "b": {"0": "p", "1": "q"}}
    assert decode_form("a[0][x]=1&a[0][y]=2&a[1][x]=3&b[]=p&b[]=q") == expected
    assert decode_form("a[][x]=1&a[][y]=2&a[][x]=3&b[0]=p&b[1]=q") == expected


def test_the_client_works_over_a_real_socket(wire_client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(wire_client)
    assert session.url is not None and session.url.startswith(sandbox.base_url)
    charge = sandbox.pay(session.id).charge
    refund = wire_client.v1.refunds.create({"charge": charge or "", "amount": 1}, {"idempotency_key": "a"})
    assert (
        wire_client.v1.refunds.create({"charge": charge or "", "amount": 1}, {"idempotency_key": "a"})
        == refund
    )
    assert len(list(wire_client.v1.events.list({"limit": 2}).auto_paging_iter())) == 6


def test_the_server_refuses_a_body_without_a_valid_length(address: str) -> None:
    host = urlsplit(address).netloc
    for headers, status in (
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": "2000000"}, 413),
        ({"Content-Length": "-1"}, 400),
    ):
        connection = http.client.HTTPConnection(host, timeout=5)
        connection.putrequest("POST", "/v1/refunds")
        for name, value in {**FORM, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()


def test_an_aborted_request_does_not_disturb_others(address: str, sandbox: Sandbox) -> None:
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as rude:
        rude.sendall(b"POST /v1/refunds HTTP/1.1\r\nContent-Length: 500\r\n\r\nabc")
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as rude:
        rude.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
    assert over_socket(address).v1.balance.retrieve().object == "balance"


def test_health_answers_without_a_key(address: str) -> None:
    with urllib.request.urlopen(address + "/health", timeout=5) as answer:
        assert (answer.status, json.load(answer)) == (200, {"ok": True})


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1", "::"])
def test_it_serves_the_loopback_interface_only(sandbox: Sandbox, host: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 only"):
        serve(sandbox, 0, host=host)


def test_a_taken_port_is_an_error(sandbox: Sandbox, address: str, tmp_path: Path) -> None:
    with pytest.raises(OSError), running(Sandbox(tmp_path / "other"), urlsplit(address).port or 0):
        pass


_SERVE = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
from kikaku.sandbox import Sandbox
from kikaku.sandbox.server import serve
serve(Sandbox(Path(sys.argv[1])), int(sys.argv[2]))
print("stopped cleanly")
"""


@pytest.fixture
def free_port() -> Iterator[int]:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_cleanly_and_keeps_its_state(
    tmp_path: Path, free_port: int, sent: signal.Signals, contract: Contract
) -> None:
    command = [sys.executable, "-c", _SERVE, str(tmp_path / "state"), str(free_port)]
    seen: list[str] = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
        client = over_socket(f"http://127.0.0.1:{free_port}")
        deadline = time.monotonic() + 20
        while True:
            try:
                seen.append(new_session(client).id)
                break
            except stripe.APIConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert len(client.v1.checkout.sessions.list().data) == len(seen)
        process.send_signal(sent)
        assert process.communicate(timeout=10)[0] == "stopped cleanly\n"
        assert process.returncode == 0


def test_an_undocumented_response_fails_the_test(contract: Contract) -> None:
    with pytest.raises(AssertionError, match="no GET /v1/nonsense"):
        contract.check_request("GET", "/v1/nonsense", b"")
