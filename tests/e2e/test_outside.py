"""Mail to and from another system: a second exim is the outside world."""

import uuid

import pytest

from tests.clients.programs import need, run
from tests.e2e.load import SENDER
from tests.e2e.node import Node
from tests.e2e.stack import PASSWORD, Stack, wait_until

pytestmark = pytest.mark.e2e

FRED = "fred@example.test"
LOGIN = ["--tls", "--auth", "PLAIN", "--auth-user", FRED, "--auth-password", PASSWORD]


def submit(stack: Stack, to: str) -> str:
    """Have fred submit a message; return its subject."""
    stack.add_account(FRED)
    subject = f"out {uuid.uuid4().hex}"
    port = str(stack.nodes["exim"].port(587))
    words = ["--server", "localhost", "--port", port, "--from", FRED, "--to", to]
    run([need("swaks"), *words, "--h-Subject", subject, "--timeout", "30", *LOGIN])
    return subject


def box(outside: Node) -> str:
    """Return all mail that arrived outside."""
    command = "cat /var/spool/exim4/box/new/* 2>/dev/null; true"
    return outside.run("sh", "-c", command).decode(errors="replace")


def wait_for(outside: Node, subject: str) -> str:
    """Return all mail outside as soon as one with the subject is there."""
    wait_until(f"{subject!r} is outside", lambda: f"Subject: {subject}\n" in box(outside))
    return box(outside)


def test_mail_to_outside(stack: Stack) -> None:
    subject = submit(stack, "somebody@outside.test")
    text = wait_for(stack.nodes["outside"], subject)
    assert "Return-path: <fred@example.test>" in text


def test_an_alias_leads_outside(stack: Stack) -> None:
    subject = submit(stack, "away@example.test")
    wait_for(stack.nodes["outside"], subject)


def test_mail_from_outside(stack: Stack) -> None:
    """The other system's own exim delivers to ours, by its queue."""
    stack.add_account(FRED)
    subject = f"in {uuid.uuid4().hex}"
    text = f"From: far@outside.test\nTo: {FRED}\nSubject: {subject}\n\nHello.\n"
    outside = stack.nodes["outside"]
    exim = ("exim4", "-C", "/etc/restante-exim/outside.conf", "-oi", "-f", "far@outside.test")
    outside.run(*exim, FRED, typed=text.encode())
    inbox(stack, subject)


def test_a_refusal_outside_comes_back(stack: Stack) -> None:
    """What the outside world does not want is certain: our user gets a report of it."""
    submit(stack, "nobody@outside.test")
    report = inbox(stack, "Mail delivery failed")
    assert b"nobody@outside.test" in report


def test_mail_waits_while_the_outside_world_is_away(stack: Stack) -> None:
    outside = stack.nodes["outside"]
    outside.pause()
    try:
        subject = submit(stack, "later@outside.test")
    finally:
        outside.unpause()
    stack.nodes["exim"].run("exim4", "-qff", check=False)
    wait_for(outside, subject)


def inbox(stack: Stack, subject: str) -> bytes:
    """Wait for a message of fred's."""
    from tests.e2e.front import of_stack

    return of_stack(stack).wait_for(FRED, subject)


def test_mail_while_everything_behind_exim_is_away(stack: Stack) -> None:
    """exim takes mail for certain, or not at all; what it took is delivered later, not returned."""
    stack.add_account(FRED)
    stack.add_account(SENDER)
    port = str(stack.nodes["exim"].port(25))
    subject = f"away {uuid.uuid4().hex}"
    words = ["--server", "localhost", "--port", port, "--from", SENDER, "--to", FRED]
    words += ["--h-Subject", subject, "--timeout", "60"]
    away = [stack.nodes[name] for name in ("delivery-1", "delivery-2", "auth-1", "auth-2")]
    for node in away:
        node.stop(3)
    try:
        with pytest.raises(AssertionError) as refused:
            run([need("swaks"), *words], timeout=90)
        assert "<** 4" in str(refused.value), refused.value
    finally:
        for node in reversed(away):
            node.start()
    stack.wait_ready()
    run([need("swaks"), *words])
    inbox(stack, subject)
