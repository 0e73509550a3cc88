"""The way of one request through the modules: who was asked, what each answered, how long it took.

For `restante auth test --trace` and for login debugging (RESTANTE_AUTH_DEBUG_LOGIN, Courier's
DEBUG_LOGIN). A trace is collected only inside `collecting`; without it `step` costs one look at a
context variable. Never given to a step: a password, a hash, a token.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from restante.model import MailError, spans


@dataclass(slots=True)
class Step:
    """One question. `answer` is a word or two ("found", "not mine", "temporary failure")."""

    who: str  # "throttle", "module userdb", "password argon2id", "app passwords"...
    answer: str = ""
    detail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Trace:
    """All steps in their order."""

    steps: list[Step] = field(default_factory=list)


_current: ContextVar[Trace | None] = ContextVar("restante_auth_trace", default=None)


@contextmanager
def collecting() -> Iterator[Trace]:
    """Collect the steps of what runs inside, in this task; an outer trace gets them, too."""
    trace, outer = Trace(), _current.get()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
        if outer is not None:
            outer.steps.extend(trace.steps)


@contextmanager
def step(who: str) -> Iterator[Step]:
    """Time one question; the body sets `answer`. An error is the answer where it sets none.

    A span, too, where they are made (restante.model.spans).
    """
    if spans.on():
        with spans.span(who) as span, _step(who) as made:
            try:
                yield made
            finally:
                span.note(answer=made.answer)
        return
    with _step(who) as made:
        yield made


@contextmanager
def _step(who: str) -> Iterator[Step]:
    trace = _current.get()
    made = Step(who)
    if trace is None:
        yield made
        return
    trace.steps.append(made)
    started = time.perf_counter()
    try:
        yield made
    except MailError as error:
        made.answer = made.answer or error.kind.value.replace("_", " ")
        made.detail = made.detail or error.text
        raise
    except Exception as error:
        made.answer = made.answer or type(error).__name__  # its text may hold anything
        raise
    finally:
        made.seconds = time.perf_counter() - started
