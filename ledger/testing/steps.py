"""Between which steps a process can die: a tap on the edges of our code, so that a test can cut the power there.

A step is what leaves a trace outside of the process: a statement that writes, a COMMIT, a request to Stripe, a file,
a mail. Production code carries no crash points; the taps sit on Django's and Stripe's own methods.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import stripe
from django.core.files.storage import Storage
from django.core.mail import EmailMessage
from django.db import connection

_WRITES = re.compile(r'\s*(INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)


class Crash(BaseException):
    """The process ends here. No `except Exception` of ours may catch it, as none catches a power cut."""


@dataclass(frozen=True)
class Step:
    """One side of something that leaves a trace: `before` nothing of it happened, `after` all of it did."""

    kind: Literal["sql", "commit", "stripe", "file", "mail"]
    name: str  # "UPDATE ledger_order", "POST /v1/refunds", a path, a subject; empty for a commit
    when: Literal["before", "after"]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.when, self.kind, self.name)))


OnStep = Callable[[Step], object]


@contextmanager
def steps(on_step: OnStep) -> Iterator[None]:
    """Call `on_step` on both sides of every step of this thread's default connection and of this process.

    What it raises goes up from there: before a step nothing of it has happened, after a request the answer is lost.
    A raise before a COMMIT rolls the transaction back.
    """

    default: Any = connection

    def around(kind: Any, name: str, call: Callable[[], Any]) -> Any:
        on_step(Step(kind, name, "before"))
        result = call()
        on_step(Step(kind, name, "after"))
        return result

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        written = _WRITES.match(sql)
        if written is None:
            return execute(sql, params, many, context)
        name = f"{written[1].upper()} {written[2]}"
        return around("sql", name, lambda: execute(sql, params, many, context))

    def commit(original: Callable[..., Any]) -> Any:
        try:
            on_step(Step("commit", "", "before"))
        except BaseException:
            default._rollback()  # else switching autocommit on again would commit
            raise
        original()
        on_step(Step("commit", "", "after"))

    def request(
        original: Callable[..., Any], http: Any, method: str, url: str, *args: Any, **named: Any
    ) -> Any:
        name = f"{method.upper()} {urlsplit(url).path}"
        return around("stripe", name, lambda: original(http, method, url, *args, **named))

    def save(original: Callable[..., Any], storage: Any, name: str, *args: Any, **named: Any) -> Any:
        return around("file", name, lambda: original(storage, name, *args, **named))

    def send(original: Callable[..., Any], message: Any, *args: Any, **named: Any) -> Any:
        return around("mail", message.subject, lambda: original(message, *args, **named))

    with ExitStack() as taps:
        taps.enter_context(default.execute_wrapper(statement))
        taps.enter_context(_tapped(default, "_commit", commit))
        taps.enter_context(_tapped(stripe.HTTPClient, "request_with_retries", request))
        taps.enter_context(_tapped(Storage, "save", save))
        taps.enter_context(_tapped(EmailMessage, "send", send))
        yield


@contextmanager
def _tapped(owner: Any, name: str, tap: Callable[..., Any]) -> Iterator[None]:
    """Let calls of a method go through `tap`, which is given the method itself first."""
    original, own = getattr(owner, name), name in vars(owner)

    def through(*args: Any, **named: Any) -> Any:
        return tap(original, *args, **named)

    setattr(owner, name, through)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


class CrashAt:
    """An `on_step` that cuts the power at the n-th step, from 1, and lets nothing happen after it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[Step] = []  # the last one is where the power was cut, if it was

    @property
    def step(self) -> Step | None:
        """Where the power was cut; None when the n-th step was never reached."""
        return self.seen[-1] if len(self.seen) == self.number else None

    def __call__(self, step: Step) -> None:
        """Count; from the n-th step on, raise `Crash`."""
        if self.step is None:
            self.seen.append(step)
        if self.step is not None:
            raise Crash(str(self.step))
