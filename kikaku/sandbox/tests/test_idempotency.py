"""Idempotency keys: one effect and one answer per key, over repetitions, threads and processes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import stripe

from kikaku.sandbox import Request, Sandbox
from kikaku.sandbox.testing.build import API_KEY, Clock, in_process, new_session, paid, session_params

FORM = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}


def _refund(sandbox: Sandbox, charge: str, key: str, amount: int = 100) -> tuple[int, dict[str, str], bytes]:
    body = f"charge={charge}&amount={amount}".encode()
    response = sandbox.handle(Request("POST", "/v1/refunds", {**FORM, "idempotency-key": key}, body))
    return response.status, response.headers, response.body


def test_the_same_key_and_parameters_give_the_same_answer(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    charge = paid(client, sandbox)
    status, headers, body = _refund(sandbox, charge.id, "refund-1")
    again = _refund(sandbox, charge.id, "refund-1")
    assert (again[0], again[2]) == (status, body) and status == 200
    assert "Idempotent-Replayed" not in headers and again[1]["Idempotent-Replayed"] == "true"
    assert again[1]["Original-Request"] == headers["Request-Id"] != again[1]["Request-Id"]
    assert len(client.v1.refunds.list().data) == 1


def test_an_event_names_the_request_and_its_key(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    _, headers, _ = _refund(sandbox, charge.id, "refund-1")
    (event,) = client.v1.events.list({"type": "refund.created"}).data
    assert event.to_dict()["request"] == {"id": headers["Request-Id"], "idempotency_key": "refund-1"}


def test_the_same_key_with_other_parameters_is_an_error(client: stripe.StripeClient) -> None:
    client.v1.checkout.sessions.create(session_params(1_000), {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as refused:
        client.v1.checkout.sessions.create(session_params(1_001), {"idempotency_key": "one"})
    assert refused.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.refunds.create({"charge": "ch_x"}, {"idempotency_key": "one"})
    assert len(client.v1.checkout.sessions.list().data) == 1


def test_a_key_is_free_again_after_a_day(client: stripe.StripeClient, clock: Clock) -> None:
    first = client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "daily"})
    clock.forward(23 * 3600)
    assert client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "daily"}).id == first.id
    clock.forward(2 * 3600)
    assert client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "daily"}).id != first.id


def test_a_refusal_of_parameters_is_not_stored(lenient: Sandbox) -> None:
    client = in_process(lenient)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.create(session_params(10), {"idempotency_key": "retry"})
    assert (
        client.v1.checkout.sessions.create(session_params(100), {"idempotency_key": "retry"}).amount_total
        == 100
    )


def test_a_refusal_by_the_endpoint_is_stored(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    status, _, body = _refund(sandbox, charge.id, "too-much", 99_999)
    again = _refund(sandbox, charge.id, "too-much", 99_999)
    assert (status, again[2]) == (400, body) and again[1]["Idempotent-Replayed"] == "true"


def test_reading_needs_no_key_and_ignores_one(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(client)
    before = client.v1.checkout.sessions.retrieve(session.id, None, {"idempotency_key": "read"})
    sandbox.pay(session.id)
    after = client.v1.checkout.sessions.retrieve(session.id, None, {"idempotency_key": "read"})
    assert (before.status, after.status) == ("open", "complete")


def test_a_key_has_at_most_255_characters(client: stripe.StripeClient) -> None:
    assert (
        client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k" * 255}).status == "open"
    )
    with pytest.raises(stripe.InvalidRequestError, match="255"):
        client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k" * 256})


def test_threads_with_one_key_make_one_refund(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    answers: list[tuple[int, bytes]] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        status, _, body = _refund(sandbox, charge.id, "same")
        answers.append((status, body))
        sandbox.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and len(set(answers)) == 1 and answers[0][0] == 200
    assert [refund.amount for refund in client.v1.refunds.list().data] == [100]


_ASK = """
import sys
from pathlib import Path
from kikaku.sandbox import Request, Sandbox
sandbox = Sandbox(Path(sys.argv[1]))
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
headers = {"Authorization": "Bearer sk_test_a", "Content-Type": "application/x-www-form-urlencoded"}
for key in range(20):
    body = f"charge={sys.argv[2]}&amount=10".encode()
    answer = sandbox.handle(Request("POST", "/v1/refunds", {**headers, "Idempotency-Key": str(key)}, body))
    assert answer.status == 200, answer.body
    sys.stdout.buffer.write(answer.body + b"\\n")
"""


def test_two_processes_on_one_state_file_make_one_refund_per_key(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    charge = paid(client, sandbox)
    command = [sys.executable, "-c", _ASK, str(sandbox.state_path), charge.id]
    root = Path(__file__).parents[3]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    outputs = [process.communicate("go\n", timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1] and len(set(outputs[0].splitlines())) == 20
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 200
