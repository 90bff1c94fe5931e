"""Faults of a connection: for each exchange, what reaches the engine and what the client receives."""

import json
from collections.abc import Callable

from .proxy import Answer, Exchange, Fault

READ_TIMEOUT = 0.25  # seconds that a client waits for an answer that a fault delays
AFTER_TIMEOUT = READ_TIMEOUT + 0.1


def drop_request(exchange: Exchange) -> None:
    """Lose the request."""
    exchange.hang_up()


def drop_answer(exchange: Exchange) -> None:
    """Lose the answer."""
    exchange.forward()
    exchange.hang_up()


def reset_before(exchange: Exchange) -> None:
    """Reset the connection instead of forwarding the request."""
    exchange.reset()


def reset_after(exchange: Exchange) -> None:
    """Reset the connection instead of forwarding the answer."""
    exchange.forward()
    exchange.reset()


def deliver_slowly(exchange: Exchange) -> None:
    """Forward the request after the client's timeout."""
    exchange.wait(AFTER_TIMEOUT)
    exchange.forward()
    exchange.hang_up()


def deliver_late(exchange: Exchange) -> None:
    """Forward the request when the test releases it, after everything else."""
    exchange.wait_for_release()
    exchange.forward()
    exchange.hang_up()


def answer_slowly(exchange: Exchange) -> None:
    """Forward the answer after the client's timeout."""
    answer = exchange.forward()
    exchange.wait(AFTER_TIMEOUT)
    exchange.answer(answer)


def deliver_twice(exchange: Exchange) -> None:
    """Forward the request twice, and return the first answer."""
    answer = exchange.forward()
    exchange.forward()
    exchange.answer(answer)


def deliver_twice_and_answer_the_second(exchange: Exchange) -> None:
    """Forward the request twice, and return the second answer, like a proxy that retries."""
    exchange.forward()
    exchange.answer(exchange.forward())


def deliver_and_deliver_late(exchange: Exchange) -> None:
    """Forward the request, and once more when the test releases it."""
    exchange.answer(exchange.forward())
    exchange.forward_when_released()


def cut_off(exchange: Exchange) -> None:
    """End the connection in the middle of the answer."""
    answer = exchange.forward()
    exchange.send(answer.encoded(missing=len(answer.body) // 2 + 1))
    exchange.hang_up()


def broken_chunks(exchange: Exchange) -> None:
    """End the connection in the middle of a chunked answer."""
    answer = exchange.forward()
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + answer.body)
    exchange.hang_up()


def no_http(exchange: Exchange) -> None:
    """Answer with something that is not HTTP."""
    exchange.forward()
    exchange.send(b"SSH-2.0-OpenSSH_9.6\r\n" * 3)
    exchange.hang_up()


def instead(status: int, body: bytes) -> Fault:
    """Return the fault that answers this and does not forward the request."""
    return lambda exchange: exchange.answer(Answer(status, body))


def afterwards(status: int, body: bytes) -> Fault:
    """Return the fault that forwards the request and answers this."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        exchange.answer(Answer(status, body))

    return fault


def refuse(status: int, text: str) -> Fault:
    """Return the fault that refuses a request as the gateway would."""
    return instead(status, _error_body(text))


def _altered(alter: Callable[[bytes], bytes], status: int | None = None) -> Fault:
    """Return the fault that changes the answer's body."""

    def altered(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.answer(Answer(status or answer.status, alter(answer.body)))

    return altered


def _error_body(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


HTML = b"<!DOCTYPE html><title>502 Bad Gateway</title><h1>cloudflare</h1>"
ANSWERS = {
    "500": (500, _error_body("the gateway failed")),
    "502 in HTML": (502, HTML),
    "429": (429, b"error code: 1015"),
    "403 in HTML": (403, HTML),
    "302": (302, b""),
    "200 and nothing": (200, b""),
    "200 and garbage": (200, b"\x00\xff\xfe{{{"),
    "200 in HTML": (200, HTML),
    "200 and brackets": (200, b"[" * 200_000),
    "D1 lost its connection": (422, _error_body("D1_ERROR: Network connection lost.")),
    "D1 was reset": (422, _error_body("D1_ERROR: D1 DB storage caused object to be reset.")),
    "D1 is overloaded": (422, _error_body("D1_ERROR: D1 DB is overloaded. Too many requests queued.")),
}
# answers in the gateway's form that the gateway never gives
SHAPES = {
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "an empty object": b"{}",
    "null results": b'{"results": null}',
    "no results": b'{"results": []}',
    "results without rows": b'{"results": [{}]}',
    "results that are no objects": b'{"results": [1, 2, 3]}',
    "rows that are null": b'{"results": [{"rows": null, "read": 0, "written": 0}]}',
    "two results with null rows": b'{"results": [{"rows": null, "read": 0, "written": 0},'
    b' {"rows": null, "read": 0, "written": 0}]}',
    "rows that are no lists": b'{"results": [{"rows": [1], "read": 0, "written": 0},'
    b' {"rows": [1], "read": 0, "written": 0}]}',
    "columns that are null": b'{"columns": null, "rows": null}',
}

LOST: dict[str, Fault] = {  # the request does not reach the engine
    "the request is dropped": drop_request,
    "reset before the request": reset_before,
    **{f"{name}, unasked": instead(*answer) for name, answer in ANSWERS.items()},
}
DONE: dict[str, Fault] = {  # the request reaches the engine, and the client receives no valid answer
    "the answer is dropped": drop_answer,
    "reset before the answer": reset_after,
    "the answer is cut off": cut_off,
    "broken chunks": broken_chunks,
    "no HTTP": no_http,
    "truncated JSON": _altered(lambda body: body[: len(body) // 2], 200),
    **{f"{name}, afterwards": afterwards(*answer) for name, answer in ANSWERS.items()},
    **{f"the shape is {name}": afterwards(200, body) for name, body in SHAPES.items()},
}
SLOW: dict[str, Fault] = {
    "the request comes slowly": deliver_slowly,
    "the request comes late": deliver_late,
    "the answer comes slowly": answer_slowly,
}
TWICE: dict[str, Fault] = {  # a valid answer, but the engine receives the request twice
    "delivered twice": deliver_twice,
    "delivered twice, answered the second time": deliver_twice_and_answer_the_second,
    "delivered again late": deliver_and_deliver_late,
}
UNANSWERED: dict[str, Fault] = {**LOST, **DONE, **SLOW}  # the client receives no valid answer
ALL: dict[str, Fault] = {**UNANSWERED, **TWICE}
REPRESENTATIVE = {  # one for each path through the client's code
    *("the request is dropped", "reset before the request", "500, unasked", "200 and garbage, unasked"),
    *("the answer is dropped", "reset before the answer", "500, afterwards", "200 and garbage, afterwards"),
    *("D1 lost its connection, afterwards", "the answer comes slowly", *TWICE),
}
