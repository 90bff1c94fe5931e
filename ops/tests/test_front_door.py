"""The front door in a running web server: half-sent, dribbled, chunked, oversized and broken-off bodies."""

import io
import json
import os
import re
import resource
import runpy
import select
import signal
import socket
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models import FileField
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import reverse
from PIL import Image

from kikaku.door import RULES
from kikaku.testing.database import engine
from kikaku.testing.serving import ROOT, Server, served
from ledger.models import StripeEvent
from ops.testing.events import signed_event
from shop.models import ContactMessage
from shop.testing import admin, build
from shop.uploads import MAX_UPLOAD_BYTES

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engine_independent,
    pytest.mark.xdist_group("front door"),
]

HOST = "Host: testserver\r\n"
FORM = HOST + "Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the shop with three seconds of patience for a body and for a head."""
    with served(
        tmp_path_factory.mktemp("door"),
        settings="ops.testing.front_door_settings",
        options=["--head-seconds", "3"],
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def shop(transactional_db: None) -> None:
    """Write what the pages need."""
    build.product(on_hand=40)
    build.content_page()


def message(**changes: str) -> bytes:
    """Return a filled contact form."""
    fields = {"name": "山田", "email": "yamada@example.jp", "message": "届きました。"} | changes
    return urllib.parse.urlencode(fields).encode()


def head(
    method: str, path: str, *, headers: str = FORM, length: int | None = None, body: bytes = b""
) -> bytes:
    """Return the bytes of a request; without a length its body is not announced."""
    framing = "" if length is None else f"Content-Length: {length}\r\n"
    return f"{method} {path} HTTP/1.1\r\n{headers}{framing}\r\n".encode() + body


def chunked(method: str, path: str, body: bytes, *, headers: str = FORM, piece: int = 10) -> bytes:
    """Return the bytes of a request whose body comes in chunks."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces)
    return head(method, path, headers=headers + "Transfer-Encoding: chunked\r\n") + chunks + b"0\r\n\r\n"


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def read_response(connection: socket.socket) -> tuple[int, bytes]:
    """Return status and body of one response."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        assert part, f"closed after {received!r}"
        received += part
    first, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", first.lower())[1])  # type: ignore[index]
    while len(body) < length:
        body += connection.recv(65536)
    return int(first.split()[1]), body


def status_of(server: Server, request: bytes, *, end: bool = False) -> int:
    """Send a request on a connection of its own and return the status; `end` stops sending after it."""
    with server.connect() as connection:
        connection.sendall(request)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return read_response(connection)[0]


def get(server: Server, path: str = "/") -> int:
    return status_of(server, head("GET", path))


PLACES = ["/contact/", "/cart/add/", "/webhooks/stripe", "/admin/login/", "/checkout/place/"]


def test_half_sent_bodies_hold_no_one_up_and_are_answered_408(server: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _connection in range(60)]
        for number, connection in enumerate(slow):
            connection.sendall(head("POST", PLACES[number % len(PLACES)], length=5000, body=b"name"))
        assert get(server) == get(server, "/health") == 200
        assert status_of(server, head("POST", "/contact/", length=len(message()), body=message())) == 303
        assert [read_response(connection)[0] for connection in slow] == [408] * 60


def test_bodies_that_dribble_hold_no_one_up_and_are_answered_408(server: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _connection in range(40)]
        for number, connection in enumerate(slow):
            connection.sendall(head("POST", PLACES[number % len(PLACES)], length=5000))
        waiting = list(slow)
        deadline = time.monotonic() + 30
        while waiting and time.monotonic() < deadline:
            for connection in waiting:
                connection.send(b"x")
            assert get(server) == 200
            answered = select.select(waiting, [], [], 0.1)[0]
            waiting = [connection for connection in waiting if connection not in answered]
        assert [read_response(connection)[0] for connection in slow] == [408] * 40


def test_a_genuine_picture_of_2_megabytes_may_come_slowly(server: Server) -> None:
    product = build.product("slow", picture=False)
    staff = Client()
    staff.force_login(User.objects.create_superuser("staff"))
    token = "t" * 32
    cookies = f"csrftoken={token}; sessionid={staff.cookies['sessionid'].value}"
    file = io.BytesIO()
    Image.frombytes("RGB", (800, 800), os.urandom(800 * 800 * 3)).save(file, "PNG")
    fields = admin.form(product) | admin.with_picture("lamp.png", file.getvalue())
    body = encode_multipart(BOUNDARY, fields | {"csrfmiddlewaretoken": token})
    assert len(body) > 1_900_000
    headers = HOST + f"Cookie: {cookies}\r\nContent-Type: {MULTIPART_CONTENT}\r\n"
    with server.connect() as connection:
        connection.sendall(
            head("POST", f"/admin/shop/product/{product.pk}/change/", headers=headers, length=len(body))
        )
        for at in range(0, len(body), 100_000):  # twice as long as the door's patience
            connection.sendall(body[at : at + 100_000])
            time.sleep(0.3)
        status, page = read_response(connection)
    assert status == 302, page.decode()
    assert product.pictures.count() == 1


def test_a_chunked_form_is_carried_out_and_a_chunked_webhook_is_handled(server: Server) -> None:
    assert status_of(server, chunked("POST", "/contact/", message(message="分けて送る"))) == 303
    assert ContactMessage.objects.get().message == "分けて送る"
    body, signature = signed_event()
    headers = HOST + f"Content-Type: application/json\r\nStripe-Signature: {signature}\r\n"
    assert status_of(server, chunked("POST", "/webhooks/stripe", body, headers=headers)) == 200
    assert StripeEvent.objects.get().status == "done"


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_form_whose_body_breaks_off_is_refused_and_nothing_is_done(
    server: Server, is_chunked: bool
) -> None:
    body = message()
    if is_chunked:
        broken = chunked("POST", "/contact/", body).removesuffix(b"0\r\n\r\n")
    else:
        broken = head("POST", "/contact/", length=len(body) + 10, body=body)
    assert status_of(server, broken, end=True) == 400
    assert (
        status_of(server, head("POST", "/cart/add/", length=100, body=b"sku=SKU-madoka&quantity=1"), end=True)
        == 400
    )
    assert not ContactMessage.objects.exists()


def test_a_length_beside_chunks_means_nothing_and_hides_no_request(server: Server) -> None:
    body = message()
    smuggled = head("GET", "/products/madoka/")
    request = chunked("POST", "/contact/", body, headers=FORM + f"Content-Length: {len(body)}\r\n") + smuggled
    with server.connect() as connection:
        connection.sendall(request)
        received = read_all(connection)  # to the end: the connection is closed
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 303 ")


def test_a_client_that_sends_3_megabytes_to_a_form_reads_that_it_is_too_large(server: Server) -> None:
    for _try in range(5):
        with server.connect() as connection:
            connection.sendall(head("POST", "/contact/", length=3_000_000, body=b"x" * 3_000_000))
            status, page = read_response(connection)
            assert status == 413
            assert "送信された内容が大きすぎます" in page.decode() and 'href="/cart/"' in page.decode()
    assert get(server) == 200


def memory(pid: int) -> int:
    """Return the bytes of memory of a process (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def workers(server: Server) -> list[int]:
    """Return the ids of the server's worker processes (Linux)."""
    text = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def test_100_megabytes_in_chunks_are_refused_without_being_kept(server: Server) -> None:
    (worker,) = workers(server)
    before = memory(worker)
    with server.connect() as connection:
        connection.sendall(head("POST", "/contact/", headers=FORM + "Transfer-Encoding: chunked\r\n"))
        chunk = b"%x\r\n%b\r\n" % (1_000_000, b"x" * 1_000_000)
        try:
            for _chunk in range(100):
                connection.sendall(chunk)
        except OSError:
            pass  # the server has closed the connection
        else:
            pytest.fail("all of it was read")
    # half of what was sent: what else a fresh process loads meanwhile (the watch, forms) took up to 17 MB
    assert memory(worker) - before < 50_000_000
    assert get(server) == 200


def test_a_file_on_a_form_that_takes_none_reaches_no_disk(server: Server) -> None:
    file = SimpleUploadedFile("large.bin", b"x" * 200_000)
    body = encode_multipart(
        BOUNDARY, {"name": "山田", "email": "y@example.jp", "message": "ok", "file": file}
    )
    headers = HOST + f"Content-Type: {MULTIPART_CONTENT}\r\n"
    assert status_of(server, head("POST", "/contact/", headers=headers, length=len(body), body=body)) == 303
    large = [rule.limit for rule in RULES if rule.limit > settings.FILE_UPLOAD_MAX_MEMORY_SIZE]
    assert len(large) == 1  # the pictures of a product


def test_every_form_of_the_admin_that_takes_files_may_be_as_large_as_two_of_them() -> None:
    taking = set()
    for model, model_admin in site._registry.items():
        inlines = [inline.model for inline in model_admin.inlines if inline.model is not None]
        fields = [field for one in (model, *inlines) for field in one._meta.get_fields()]
        if any(isinstance(field, FileField) for field in fields):
            taking.add(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add"))
    assert "/admin/shop/product/add/" in taking
    for path in taking:
        rule = next(rule for rule in RULES if rule.pattern.match(f"POST {path}?"))
        assert rule.limit >= 2 * MAX_UPLOAD_BYTES, path


def test_a_server_that_is_told_to_end_answers_what_it_has_begun(tmp_path: Path) -> None:
    if engine() != "sqlite":
        pytest.skip("locks a file of SQLite")
    database = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    with (
        closing(database),
        served(tmp_path, settings="ops.testing.unprepared_settings") as server,
        server.connect() as begun,
        server.connect() as half_sent,
    ):
        database.execute("BEGIN IMMEDIATE")
        begun.sendall(head("POST", "/contact/", length=len(message()), body=message()))
        half_sent.sendall(head("POST", "/contact/", length=len(message()), body=message()[:20]))
        assert get(server) == 200  # the server is up, and has read what came before
        time.sleep(0.5)  # the first waits for the database
        server.process.terminate()
        time.sleep(0.5)
        half_sent.sendall(message()[20:])
        database.execute("ROLLBACK")
        assert read_response(begun)[0] == read_response(half_sent)[0] == 303
        assert server.process.wait(timeout=20) == 0
    assert ContactMessage.objects.count() == 2


def test_a_refused_post_leaves_its_connection_usable(server: Server) -> None:
    body = message(message="x" * 4_000) + b"&more=" + b"y" * 46_000
    foreign = FORM + "Origin: https://evil.example\r\n"
    with server.connect() as connection:
        for _try in range(40):
            connection.sendall(head("POST", "/contact/", headers=foreign, length=len(body), body=body))
            assert read_response(connection)[0] == 403
            connection.sendall(head("GET", "/"))
            assert read_response(connection)[0] == 200


def test_silent_connections_are_closed_and_hold_no_one_up(server: Server) -> None:
    count = 1_100  # more than granian takes by default
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * count:
        pytest.skip(f"{hard} open files are allowed, {4 * count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count), hard))
    with ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _connection in range(count)]
        assert get(server) == get(server, "/health") == 200
        assert [read_all(connection) for connection in silent] == [b""] * count
    assert get(server) == 200


def open_connections(server: Server) -> int:
    """Return how many connections the server holds (Linux)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = "01"
    return sum(line[1].endswith(f":{server.port:04X}") and line[3] == established for line in lines)


def test_clients_that_take_nothing_of_a_response_lose_their_connection_and_slow_ones_do_not(
    server: Server,
) -> None:
    picture = server.log.parent / "media" / "large.png"
    picture.parent.mkdir(exist_ok=True)
    picture.write_bytes(os.urandom(8_000_000))  # more than the system takes from the server by itself
    request = head("GET", "/media/large.png", headers=HOST + "Connection: close\r\n")
    with ExitStack() as stack:
        for _client in range(10):
            stalled = stack.enter_context(socket.socket())
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            stalled.connect(("127.0.0.1", server.port))
            stalled.sendall(request)
        slow = stack.enter_context(server.connect())
        slow.sendall(request)
        received = 0
        while part := slow.recv(1_000_000):  # eight seconds, and the limit is five
            received += len(part)
            time.sleep(len(part) / 1_000_000)
        assert received > 8_000_000
        deadline = time.monotonic() + 30
        while open_connections(server):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert get(server) == 200


def test_http_2_without_tls_is_off(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        assert not read_all(connection).startswith(b"\0\0")


def test_pages_are_served_while_all_that_writes_waits_for_the_database(server: Server) -> None:
    if engine() != "sqlite":
        pytest.skip("locks a file of SQLite")
    requests = []
    for _event in range(12):
        body, signature = signed_event()
        signed = HOST + f"Stripe-Signature: {signature}\r\n"
        requests.append(head("POST", "/webhooks/stripe", headers=signed, length=len(body), body=body))
    requests += [head("POST", "/contact/", length=len(message()), body=message())] * 12
    requests += [head("GET", "/search/?q=lamp")] * 12
    database = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    with ExitStack() as stack:
        stack.callback(database.close)
        database.execute("BEGIN IMMEDIATE")
        waiting = [stack.enter_context(server.connect()) for _request in requests]
        for one, request in zip(waiting, requests, strict=True):
            one.sendall(request)
        for _round in range(10):  # within the 15 seconds after which the waiting ones would be refused
            assert get(server) == get(server, "/products/madoka/") == get(server, "/cart/") == 200
            time.sleep(0.05)
        assert select.select(waiting, [], [], 0)[0] == []  # an order of events: all of them still wait
        database.execute("ROLLBACK")
        assert {read_response(one)[0] for one in waiting} == {200, 303}


def test_the_image_and_make_run_start_the_same_server(tmp_path: Path) -> None:
    command = runpy.run_path(str(ROOT / "scripts" / "run.py"))["web_command"](8000)
    assert command[:2] == ["-m", "kikaku.server"]
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    python, *image = json.loads(next(line for line in lines if line.startswith("CMD ")).removeprefix("CMD "))
    assert python == "python"
    with served(tmp_path, settings="ops.testing.front_door_settings", command=image) as server:
        assert get(server) == get(server, "/health") == 200


def test_a_worker_that_is_killed_is_started_again(server: Server) -> None:
    (worker,) = workers(server)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while worker in workers(server) or not answers(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert workers(server) != [worker]


def answers(server: Server) -> bool:
    try:
        return get(server, "/health") == 200
    except (OSError, AssertionError):
        return False
