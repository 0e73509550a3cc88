"""Mail in, between accounts, and out; aliases, catch-alls, details; what is never relayed."""

import smtplib
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import Exim, Outside
from tests.contract.deploy_exim.stack import ANN, FRED, PASSWORD, Stack
from tests.support.certificates import Authority
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


def route_outside(exim: Exim, outside: Outside) -> None:
    exim.write("routes", f"*.out.test: {outside.address}::{outside.port}\n")


def test_many_recipients_in_one_transaction_and_many_messages_over_one_connection(
    stack: Stack, make_exim: MakeExim
) -> None:
    exim = make_exim(stack)
    name = exim.send(unique_message("to two"), FRED, ANN)
    lines = exim.wait_log(f"{name} [=-]> .* C=", count=2)
    assert len({line.partition(" C=")[2] for line in lines}) == 2  # each recipient has its reply
    exim.wait_log(f"{name} Completed")
    ids = {line.partition("delivered as ")[2].rstrip('"') for line in lines}
    assert len(ids) == 1, lines  # one transaction at delivery's


@pytest.mark.parametrize("variant", ["callout", "readsocket"])
def test_aliases_catch_alls_and_postmaster(
    variant: str, stack: Stack, make_exim: MakeExim, outside: Outside
) -> None:
    exim = make_exim(
        stack, EXIM_VERIFY=variant, EXIM_POSTMASTER=ANN, EXIM_DOMAINS="catch.test, strict.test"
    )
    route_outside(exim, outside)
    exim.write(
        "aliases",
        "sales@example.test: fred@example.test, carl@far.out.test\n"
        "gone@example.test: :fail: moved to the moon\n"
        "later@example.test: :defer: not yet\n"
        "*@catch.test: fred@example.test\n"
        "known@catch.test: ann@example.test\n",
    )
    for address, to in (
        ("sales@example.test", (FRED,)),
        ("sales+spring@example.test", (FRED,)),
        ("anything@catch.test", (FRED,)),
        ("known@catch.test", (ANN,)),
        ("postmaster@strict.test", (ANN,)),
        ("abuse@example.test", (ANN,)),
    ):
        subject = f"{variant} {address}"
        name = exim.send(unique_message(subject), address)
        exim.wait_log(f"{name} Completed")
        for account in (FRED, ANN):
            assert len(stack.stored(f"Subject: {subject}\n", account)) == (account in to), address
    assert len(outside.received(2)) == 2
    assert exim.rcpt("gone@example.test")[0] == 550
    assert exim.rcpt("later@example.test")[0] == 451
    assert exim.rcpt("anything@strict.test")[0] == 550
    assert exim.rcpt("nobody@example.test")[0] == 550


def test_from_outside_between_accounts_and_to_outside(
    stack: Stack, make_exim: MakeExim, outside: Outside, authority: Authority
) -> None:
    exim = make_exim(stack)
    route_outside(exim, outside)
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        refused = client.sendmail(
            FRED, [ANN, "carl@far.out.test", "dora@far.out.test"], unique_message("to all")
        )
    assert refused == {}
    exim.wait_log("Completed")
    outside.wait_log("Completed", count=1)
    assert len(stack.stored("Subject: to all\n", ANN)) == 1
    (message,) = {m.partition(b"Subject:")[2] for m in outside.received(2)}
    assert b"to all" in message

    # Outside says no: a bounce to the sender, who is ours.
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        client.sendmail(FRED, ["nobody@far.out.test"], unique_message("to nobody"))
    exim.wait_log(r"\*\* nobody@far.out.test")
    exim.wait_log(r"<= <> R=")
    exim.wait_log("Completed", count=3)
    assert len(stack.stored("no such user outside", FRED)) == 1

    # Outside says later: it waits, and leaves when outside is back.
    (outside.top / "away").touch()
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        client.sendmail(FRED, ["later@far.out.test"], unique_message("later"))
    exim.wait_log(r"== later@far.out.test")
    assert exim.queue() == ["later@far.out.test"]


@pytest.mark.parametrize(
    "recipient",
    [
        "carl@far.out.test",
        "carl%far.out.test@example.test",
        "far.out.test!carl@example.test",
        '"carl@far.out.test"@example.test',
        "carl@[127.0.0.1]",
        "@example.test:carl@far.out.test",
        "carl@far.out.test@example.test",
        "carl",
    ],
)
def test_no_open_relay(recipient: str, stack: Stack, make_exim: MakeExim) -> None:
    exim = make_exim(stack)
    for sender in ("bob@x.test", FRED, ""):
        with exim.smtp() as client:
            client.ehlo()
            client.docmd("MAIL", f"FROM:<{sender}>")
            code, _ = client.docmd("RCPT", f"TO:<{recipient}>")
            assert 500 <= code < 600, recipient
    # Neither does a name in the greeting open anything, nor the submission port without a login.
    with exim.smtp(exim.submission) as client:
        client.ehlo("example.test")
        assert client.mail(FRED)[0] == 530


def test_hosts_that_may_relay(stack: Stack, make_exim: MakeExim, outside: Outside) -> None:
    exim = make_exim(stack, EXIM_RELAY_FROM="127.0.0.0/8, ::1")
    route_outside(exim, outside)
    name = exim.send(unique_message("relayed"), "carl@far.out.test")
    exim.wait_log(f"{name} Completed")
    assert len(outside.received(1)) == 1


def test_development_catches_what_would_leave(
    stack: Stack, make_exim: MakeExim, outside: Outside
) -> None:
    exim = make_exim(stack, EXIM_CATCH_ALL_TO=FRED, EXIM_RELAY_FROM="127.0.0.0/8")
    route_outside(exim, outside)
    name = exim.send(unique_message("caught"), "carl@far.out.test", "x@nowhere.invalid", ANN)
    exim.wait_log(f"{name} Completed")
    assert len(stack.stored("Subject: caught\n", FRED)) == 1
    assert len(stack.stored("Subject: caught\n", ANN)) == 1
    assert outside.received() == []


def test_a_full_mailbox_waits_in_the_queue(stack: Stack, make_exim: MakeExim) -> None:
    exim = make_exim(stack)
    name = exim.send(unique_message("too much", size=5000), "full@example.test")
    exim.wait_log(f"{name} == full@example.test .* 452")
    assert exim.queue() == ["full@example.test"]
    free = make_exim(stack, EXIM_DELIVERY_IGNORE_QUOTA="yes")
    name = free.send(unique_message("in spite", size=5000), "full@example.test")
    free.wait_log(f"{name} Completed")
    assert len(stack.stored("Subject: in spite\n", "full@example.test")) == 1


def test_sizes_and_letters(stack: Stack, make_exim: MakeExim) -> None:
    exim = make_exim(stack, EXIM_MAX_SIZE="20K")
    with exim.smtp() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "20480"
        assert {"8bitmime", "smtputf8", "prdr", "chunking", "pipelining"} <= set(
            client.esmtp_features
        )
        with pytest.raises(smtplib.SMTPSenderRefused, match="size"):
            client.sendmail("bob@x.test", [FRED], unique_message(size=30000))
        client.rset()
        code, _ = client.docmd("MAIL", "FROM:<bob@x.test>")
        client.rcpt(FRED)
        code, _ = client.data(unique_message(size=30000))  # a size that nobody announced
        assert code == 552
    message = unique_message("8bit") + "Grüße\r\n".encode()
    name = exim.send(message, FRED)
    exim.wait_log(f"{name} Completed")
    assert "Grüße".encode() in stack.stored("Subject: 8bit\n")[0]
    with exim.smtp() as client:
        client.ehlo()
        client.sendmail("jürgen@x.test", [FRED], unique_message("utf8"), ["SMTPUTF8"])
    exim.wait_log("Completed", count=2)
    assert len(stack.stored("Subject: utf8\n")) == 1


def test_an_end_of_data_that_is_none(stack: Stack, make_exim: MakeExim) -> None:
    """SMTP smuggling (CVE-2023-51766): one message stays one."""
    exim = make_exim(stack)
    with exim.smtp() as client:
        client.ehlo()
        client.docmd("MAIL", "FROM:<bob@x.test>")
        client.docmd("RCPT", f"TO:<{FRED}>")
        client.docmd("DATA")
        client.send(
            b"Subject: smuggler\r\n\r\nx\n.\r\nMAIL FROM:<evil@x.test>\r\n"
            b"RCPT TO:<ann@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n.\r\n"
        )
        client.getreply()
        client.close()
    assert "evil@x.test" not in exim.log()
    assert stack.stored("Subject: smuggled\n", ANN) == []


def test_what_an_account_gets(stack: Stack, make_exim: MakeExim, folder: Path) -> None:
    exim = make_exim(stack)
    name = exim.send(unique_message("whole"), FRED)
    exim.wait_log(f"{name} Completed")
    message = message_from_bytes(stack.stored("Subject: whole\n")[0])
    assert message["Return-Path"] == "<bob@x.test>"
    assert message["Delivered-To"] == FRED
    ours, exims = message.get_all("Received") or []
    assert "with LMTP" in ours
    assert f"id {name}" in exims
