"""Every LMTP command line, and the ones that are refused."""

import pytest

from restante.model import Address
from restante.wire.lmtp.commands import (
    BadCommand,
    Bdat,
    Command,
    Data,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
    parse,
)

FRED = Address("fred", "example.test")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("LHLO mx.example.test", Lhlo("mx.example.test")),
        ("lhlo [192.0.2.1]", Lhlo("[192.0.2.1]")),
        ("MAIL FROM:<>", Mail(None)),
        ("MAIL FROM:<fred@example.test>", Mail(FRED)),
        ("mail from: <fred@Example.Test> size=100", Mail(FRED, 100)),
        ("MAIL FROM:<fred@example.test> BODY=8BITMIME", Mail(FRED, body="8BITMIME")),
        (
            "MAIL FROM:<> SIZE=5 RET=HDRS ENVID=a+2Bb AUTH=<>",
            Mail(None, 5, ret="HDRS", envid="a+b"),
        ),
        ("MAIL FROM:<fréd@example.test> SMTPUTF8", Mail(Address("fréd", "example.test"), 0, True)),
        ('MAIL FROM:<"a>b"@example.test>', Mail(Address("a>b", "example.test"))),
        ("MAIL FROM:<@relay.test,@b.test:fred@example.test>", Mail(FRED)),
        ("RCPT TO:<fred@example.test>", Rcpt(FRED)),
        ("RCPT TO:<Postmaster>", Rcpt(Address("Postmaster", ""))),
        ("RCPT TO:<fred@example.test> IGNOREQUOTA", Rcpt(FRED, ignore_quota=True)),
        (
            "RCPT TO:<fred@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;fred@example.test",
            Rcpt(FRED, ("SUCCESS", "DELAY"), "rfc822;fred@example.test"),
        ),
        ("RCPT TO:<fred@example.test> NOTIFY=never", Rcpt(FRED, ("NEVER",))),
        ("DATA", Data()),
        ("data ", Data()),
        ("BDAT 100", Bdat(100, False)),
        ("BDAT 0 last", Bdat(0, True)),
        ("RSET", Rset()),
        ("NOOP", Noop()),
        ("NOOP anything <<<\\", Noop()),
        ("QUIT", Quit()),
        ("VRFY fred", Vrfy("fred")),
        ("STARTTLS", StartTls()),
        (
            "XCLIENT ADDR=192.0.2.1 name=[UNAVAILABLE] HELO=a+2Bb",
            Xclient((("ADDR", "192.0.2.1"), ("NAME", "[UNAVAILABLE]"), ("HELO", "a+b"))),
        ),
    ],
)
def test_good(line: str, command: Command) -> None:
    assert parse(line.encode()) == command


@pytest.mark.parametrize(
    ("line", "code", "status"),
    [
        ("", 500, "5.5.1"),
        ("FOO", 500, "5.5.1"),
        ("HELO x", 500, "5.5.1"),
        ("EHLO x", 500, "5.5.1"),
        ("LHLO", 501, "5.5.4"),
        ("LHLO a b", 501, "5.5.4"),
        ("LHLO <script>", 501, "5.5.4"),
        ("MAIL", 501, "5.5.4"),
        ("MAIL FROM fred@example.test", 501, "5.5.4"),
        ("MAIL FROM:fred@example.test", 501, "5.1.3"),
        ("MAIL FROM:<fred@example.test", 501, "5.1.3"),
        ("MAIL FROM:<fred@example.test>SIZE=1", 501, "5.1.3"),
        ("MAIL FROM:<fred@example.test> SIZE=x", 555, "5.5.4"),
        ("MAIL FROM:<fred@example.test> SIZE", 555, "5.5.4"),
        ("MAIL FROM:<fred@example.test> SIZE=" + "9" * 30, 555, "5.5.4"),
        ("MAIL FROM:<fred@example.test> BODY=BINARYMIME", 555, "5.5.4"),
        ("MAIL FROM:<fred@example.test> X=1", 555, "5.5.4"),
        ("MAIL FROM:<fred@example.test> ENVID=+0D+0A", 501, "5.5.4"),
        ("MAIL FROM:<fred@example.test> ENVID=a+zz", 501, "5.5.4"),
        ("MAIL FROM:<fréd@example.test>", 553, "5.6.7"),
        ("RCPT TO:<>", 501, "5.1.3"),
        ("RCPT TO:<fred@example.test> NOTIFY=NEVER,SUCCESS", 555, "5.5.4"),
        ("RCPT TO:<fred@example.test> ORCPT=fred", 555, "5.5.4"),
        ("DATA now", 501, "5.5.4"),
        ("BDAT", 501, "5.5.4"),
        ("BDAT -1", 501, "5.5.4"),
        ("BDAT 1 LASTS", 501, "5.5.4"),
        ("BDAT 1 LAST x", 501, "5.5.4"),
        ("BDAT ٣", 501, "5.5.4"),
        ("BDAT " + "9" * 30, 501, "5.5.4"),
        ("QUIT now", 501, "5.5.4"),
        ("STARTTLS x", 501, "5.5.4"),
        ("XCLIENT", 501, "5.5.4"),
        ("XCLIENT ADDR", 501, "5.5.4"),
        ("XCLIENT ADDR=+0A", 501, "5.5.4"),
        # CVE-2020-10957
        ('RCPT TO:<""@x>', 501, "5.1.3"),
        ("NOOP \x00", 501, "5.5.4"),
        # address confusion (CVE-2023-27043) and paths out of the store
        ("RCPT TO:<alice@a.org)<bob@b.org>>", 501, "5.1.3"),
        ("RCPT TO:alice@a.org)<bob@b.org>", 501, "5.1.3"),
        ("RCPT TO:<alice@a.org> <bob@b.org>", 501, "5.5.4"),
        ("RCPT TO:<alice@a.org,bob@b.org>", 501, "5.1.3"),
        ("RCPT TO:<Alice <alice@a.org>>", 501, "5.1.3"),
        ("RCPT TO:<alice@a.org(comment)>", 501, "5.1.3"),
        ("RCPT TO:<../bob@a.org>", 501, "5.1.3"),
        ("RCPT TO:<fred@../../etc>", 501, "5.1.3"),
        ("RCPT TO:<@:fred@example.test>", 501, "5.1.3"),
        ("RCPT TO:<@relay.test:>", 501, "5.1.3"),
        ("RCPT TO:<" + "a" * 400 + "@example.test>", 501, "5.1.3"),
    ],
)
def test_bad(line: str, code: int, status: str) -> None:
    reply = parse(line.encode())
    assert isinstance(reply, BadCommand), reply
    assert (reply.code, reply.status) == (code, status)


@pytest.mark.parametrize("line", [b"NOOP \xff", b"MAIL FROM:<\xe9@x>", b"NOOP a\rb", b"NOOP \x1b"])
def test_bad_bytes(line: bytes) -> None:
    reply = parse(line)
    assert isinstance(reply, BadCommand)
    assert reply.code == 501
