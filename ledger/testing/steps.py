"""Steps between which a process can die: hooks that let a test simulate a power cut there.

A step has an effect outside of the process: a statement that writes, a COMMIT, a request to Stripe, a file, a
mail. Production code has no crash points; Django's and Stripe's own methods are hooked.
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

_WRITING_STATEMENT = re.compile(r'\s*(INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)


class Crash(BaseException):
    """The process ends here. It is no Exception: an `except Exception` must not catch it."""


@dataclass(frozen=True)
class Step:
    """One side of an effect: `before` nothing of it happened, `after` all of it did."""

    kind: Literal["sql", "commit", "stripe", "file", "mail"]
    name: str  # "UPDATE ledger_order", "POST /v1/refunds", a path, a subject; empty for a commit
    when: Literal["before", "after"]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.when, self.kind, self.name)))


OnStep = Callable[[Step], object]


@contextmanager
def observe_steps(on_step: OnStep) -> Iterator[None]:
    """Call `on_step` before and after every step of this thread's default connection and of this process.

    Its exceptions propagate from there: raised before a step, they prevent it; raised after a request, they
    lose the answer. An exception before a COMMIT rolls the transaction back.
    """

    default: Any = connection

    def around(kind: Any, name: str, call: Callable[[], Any]) -> Any:
        on_step(Step(kind, name, "before"))
        result = call()
        on_step(Step(kind, name, "after"))
        return result

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        written = _WRITING_STATEMENT.match(sql)
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

    with ExitStack() as hooks:
        hooks.enter_context(default.execute_wrapper(statement))
        hooks.enter_context(_hooked(default, "_commit", commit))
        hooks.enter_context(_hooked(stripe.HTTPClient, "request_with_retries", request))
        hooks.enter_context(_hooked(Storage, "save", save))
        hooks.enter_context(_hooked(EmailMessage, "send", send))
        yield


@contextmanager
def _hooked(owner: Any, name: str, hook: Callable[..., Any]) -> Iterator[None]:
    """Replace a method by `hook`, which is called with the original method and the arguments."""
    original, is_own = getattr(owner, name), name in vars(owner)

    def hooked_call(*args: Any, **named: Any) -> Any:
        return hook(original, *args, **named)

    setattr(owner, name, hooked_call)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


class CrashAt:
    """An `on_step` that raises `Crash` at the n-th step, from 1, and at every later one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.observed: list[Step] = []  # the last one is the step of the crash, if it was reached

    @property
    def step(self) -> Step | None:
        """The step of the crash; None when the n-th step was never reached."""
        return self.observed[-1] if len(self.observed) == self.number else None

    def __call__(self, step: Step) -> None:
        """Count the step, and raise `Crash` from the n-th step on."""
        if self.step is None:
            self.observed.append(step)
        if self.step is not None:
            raise Crash(str(self.step))
