"""Submission: who may send, as whom, how much; and what webmail says of its users."""

import smtplib
import ssl
from base64 import b64encode
from email import message_from_bytes

import pytest

from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.stack import ANN, FRED, PASSWORD, Stack
from tests.support.certificates import Authority
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


def test_logins(stack: Stack, make_exim: MakeExim, authority: Authority) -> None:
    exim = make_exim(stack)
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    # Not without TLS, whatever the port.
    for port in (exim.port, exim.submission):
        with exim.smtp(port) as client:
            client.ehlo()
            assert not client.has_extn("auth")
            assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 503
    for kind in ("PLAIN", "LOGIN"):
        with smtplib.SMTP_SSL(exim.address, exim.submissions, context=_named(trust)) as client:
            client.ehlo()
            assert set(client.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN"}
            client.user, client.password = "Fred@Example.test", PASSWORD
            method = getattr(client, f"auth_{kind.lower()}")
            assert client.auth(kind, method)[0] == 235
            client.sendmail(FRED, [ANN], unique_message(f"by {kind}"))
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        assert client.noop()[0] == 250
    # Line ends and further fields open nothing.
    for name, password in (
        ("nobody@example.test", "x"),
        (FRED, "wrong"),
        (FRED, ""),
        (f"x\n{FRED}", PASSWORD),
        (FRED, f"x\n{PASSWORD}"),
    ):
        with exim.smtp(exim.submission) as client:
            client._host = "localhost"  # type: ignore[attr-defined] # the name in the certificate
            client.starttls(context=trust)
            client.ehlo()
            secret = b64encode(f"\0{name}\0{password}".encode()).decode()
            assert client.docmd("AUTH", f"PLAIN {secret}")[0] == 535
    assert "535 Incorrect authentication data" in exim.log()
    assert PASSWORD not in exim.log()
    log = stack.system["auth"].log()
    assert "peer=127.0.0.1" in log.replace('"peer": "127.0.0.1"', "peer=127.0.0.1")


def _named(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False  # its address is one of many
    return context


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (
            "own",
            (FRED, "Fred@example.test", "fred+x@example.test", "sales@example.test", ""),
            (ANN, "carl@x.test", "boss@example.test"),
        ),
        ("domain", (FRED, ANN, ""), ("carl@x.test",)),
        ("any", (FRED, ANN, "carl@x.test"), ()),
    ],
)
def test_sender_addresses(
    rule: str,
    allowed: tuple[str, ...],
    refused: tuple[str, ...],
    stack: Stack,
    make_exim: MakeExim,
    authority: Authority,
) -> None:
    exim = make_exim(stack, EXIM_SUBMISSION_SENDER=rule)
    exim.write(
        "aliases",
        "sales@example.test: ann@example.test, fred@example.test\n"
        "boss@example.test: ann@example.test\n",
    )
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        for sender in allowed:
            assert client.mail(sender)[0] == 250, sender
            client.rset()
        for sender in refused:
            code, text = client.mail(sender)
            assert (code, text.split()[0]) == (550, b"5.7.1"), sender


def test_fixups(stack: Stack, make_exim: MakeExim, authority: Authority) -> None:
    exim = make_exim(stack)
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        client.sendmail(
            FRED, [ANN], b"From: Boss <ann@example.test>\r\nSubject: fixups\r\n\r\nx\r\n"
        )
    exim.wait_log("Completed")
    message = message_from_bytes(stack.stored("Subject: fixups\n", ANN)[0])
    assert message["Date"]
    assert message["Message-ID"]
    assert message["Sender"] == FRED


def test_rates(stack: Stack, make_exim: MakeExim, authority: Authority) -> None:
    exim = make_exim(stack, EXIM_RATE_USER="2/1h", EXIM_RATE_CLIENT="3/1h")
    with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
        client.mail(FRED)
        codes = [client.rcpt(ANN)[0] for _ in range(4)]
    assert codes == [250, 250, 451, 451]
    with exim.login(ANN, PASSWORD, trust=authority.certificate) as client:
        client.mail(ANN)
        assert client.rcpt(FRED)[0] == 250


def test_clients_that_try_names(stack: Stack, make_exim: MakeExim) -> None:
    exim = make_exim(stack, EXIM_MAX_UNKNOWN="3")
    with exim.smtp() as client:
        client.ehlo()
        client.mail("bob@x.test")
        said = [client.rcpt(f"u{number}@example.test") for number in range(5)]
        assert [code for code, _ in said] == [550] * 5
        assert b"Too many" in said[4][1]
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()


def test_webmail_names_its_user(stack: Stack, make_exim: MakeExim) -> None:
    message = (
        b"X-Restante-Client: 192.0.2.7\r\nX-Restante-Submitted: forged\r\n"
        b"From: fred@example.test\r\nSubject: %s\r\n\r\nx\r\n"
    )
    exim = make_exim(stack, EXIM_WEBMAIL_FROM="127.0.0.1")
    with exim.smtp(exim.submission) as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<fred@example.test> AUTH=<>")[0] == 530
        assert client.docmd("MAIL", "FROM:<ann@example.test> AUTH=fred@example.test")[0] == 550
        assert client.docmd("MAIL", "FROM:<fred@example.test> AUTH=fred@example.test")[0] == 250
        client.rcpt(ANN)
        assert client.data(message % b"by webmail")[0] == 250
    name = exim.wait_log("Completed")[0].split()[3]
    found = message_from_bytes(stack.stored("Subject: by webmail\n", ANN)[0])
    (mark,) = found.get_all("X-Restante-Submitted") or []
    assert mark == f"webmail; user={FRED}; client=192.0.2.7; id={name}"
    assert found["X-Restante-Client"] is None
    exim.wait_log(f"submitted by webmail user={FRED} client=192.0.2.7")

    # From anybody else both fields are taken out, and AUTH= means nothing.
    exim = make_exim(stack)
    with exim.smtp(exim.submission) as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<fred@example.test> AUTH=fred@example.test")[0] == 530
    exim.send(message % b"forged mark", ANN)
    exim.wait_log("Completed")
    found = message_from_bytes(stack.stored("Subject: forged mark\n", ANN)[0])
    assert found["X-Restante-Submitted"] is None
    assert found["X-Restante-Client"] is None
