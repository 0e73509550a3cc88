"""AUTHENTICATE with more than PLAIN: what is offered, refused, and told in which order."""

import base64
import json
from collections.abc import Callable

import pytest

from tests.services.imap.server import PASSWORD, TOKEN, Server
from tests.services.imap.wire import Wire

JOE = "joe@example.test"
Start = Callable[..., Server]


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def bearer(token: bytes = TOKEN, user: str = JOE) -> bytes:
    return b64(f"n,a={user},\1auth=Bearer ".encode() + token + b"\1\1")


def advertised(wire: Wire) -> set[str]:
    (line,) = wire.ok("CAPABILITY")
    names = line.decode().split()[2:]
    return {name for name in names if name.startswith("AUTH=") or name == "LOGINDISABLED"}


def test_offers_follow_the_setting(start: Start) -> None:
    server = start(sasl_mechanisms="scram-sha-256 oauthbearer", tls_required=True)
    with server.connect() as wire:
        assert advertised(wire) == {"AUTH=SCRAM-SHA-256", "LOGINDISABLED"}
        assert b"[PRIVACYREQUIRED]" in wire.no(b"AUTHENTICATE OAUTHBEARER " + bearer())
        assert b"[CANNOT]" in wire.no("AUTHENTICATE CRAM-MD5")
        assert b"[CANNOT]" in wire.no("AUTHENTICATE PLAIN AGEAYg==")
        assert server.accounts.asked == []
    with server.connect(tls=True) as wire:
        # No password at all is taken, by whatever command.
        assert advertised(wire) == {
            "AUTH=SCRAM-SHA-256",
            "AUTH=OAUTHBEARER",
            "LOGINDISABLED",
        }
        assert b"[CANNOT]" in wire.no(f'LOGIN {JOE} "{PASSWORD}"')
        assert server.accounts.asked == []
        wire.ok(b"AUTHENTICATE OAUTHBEARER " + bearer())


def test_plus_is_offered_inside_tls_only(start: Start) -> None:
    server = start(sasl_mechanisms="SCRAM-SHA-256-PLUS SCRAM-SHA-256 EXTERNAL")
    with server.connect() as wire:
        assert advertised(wire) == {"AUTH=SCRAM-SHA-256", "LOGINDISABLED"}
        assert b"[CANNOT]" in wire.no("AUTHENTICATE SCRAM-SHA-256-PLUS")
        wire.ok("STARTTLS")
        wire.start_tls()
        assert "AUTH=SCRAM-SHA-256-PLUS" in advertised(wire)
        assert b"[CANNOT]" in wire.no("AUTHENTICATE EXTERNAL =")


def test_a_refused_token_is_explained_first(start: Start) -> None:
    """RFC 7628 section 3.2.3: challenge, the client's dummy, and then NO."""
    server = start(sasl_mechanisms="OAUTHBEARER", max_login_failures=2)
    with server.connect() as wire:
        for dummy, last in ((b"AQ==", b"NO"), (b"*", b"BYE")):
            wire.send(b"a AUTHENTICATE OAUTHBEARER " + bearer(b"other") + b"\r\n")
            told = wire.line()
            assert told.startswith(b"+ ")
            assert json.loads(base64.b64decode(told[2:]))["status"] == "invalid_token"
            wire.send(dummy + b"\r\n")
            if last == b"BYE":
                assert wire.line().startswith(b"* BYE Too many failed logins")
            assert wire.line() == b"a NO [AUTHENTICATIONFAILED] Authentication failed."
        assert wire.ended()


def test_auth_that_is_away_is_no_refusal(start: Start) -> None:
    server = start(sasl_mechanisms="OAUTHBEARER")
    server.accounts.down = True
    with server.connect() as wire:
        assert b"[UNAVAILABLE]" in wire.no(b"AUTHENTICATE OAUTHBEARER " + bearer())
        server.accounts.down = False
        wire.ok(b"AUTHENTICATE OAUTHBEARER " + bearer())


@pytest.mark.parametrize("initial", [True, False])
def test_every_split(start: Start, initial: bool) -> None:
    server = start(sasl_mechanisms="OAUTHBEARER", max_login_failures=100)
    answer = bearer(b"other")
    stream = b"a AUTHENTICATE OAUTHBEARER " + answer if initial else b"a AUTHENTICATE OAUTHBEARER"
    stream += b"\r\n" if initial else b"\r\n" + answer + b"\r\n"
    stream += b"AQ==\r\nb NOOP\r\n"
    expected = [b"+", b"a NO", b"b OK"] if initial else [b"+", b"+", b"a NO", b"b OK"]
    with server.connect() as wire:
        for cut in range(1, len(stream), 5):
            wire.send(stream[:cut])
            wire.send(stream[cut:])
            for start_of in expected:
                assert wire.line().startswith(start_of)


def test_scram_of_nobody_fails_like_a_wrong_password(start: Start) -> None:
    server = start(sasl_mechanisms="SCRAM-SHA-256")
    answers = []
    for user in (JOE, "nobody@example.test"):
        with server.connect() as wire:
            wire.send(b"a AUTHENTICATE SCRAM-SHA-256 " + b64(f"n,,n={user},r=x".encode()) + b"\r\n")
            first = base64.b64decode(wire.line()[2:])
            nonce = first.split(b",")[0]
            assert first.split(b",", 1)[1] == b"s=c2FsdA==,i=4096"
            final = b"c=biws," + nonce + b",p=" + b64(b"x" * 32)
            wire.send(b64(final) + b"\r\n")
            answers.append(wire.line())
    assert answers == [b"a NO [AUTHENTICATIONFAILED] Authentication failed."] * 2
