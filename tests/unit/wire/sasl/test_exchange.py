"""PLAIN and LOGIN: initial responses, aborts, and what is no answer."""

import base64

import pytest

from restante.wire.sasl import Challenge, Credentials, Exchange, SaslError


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def test_plain_with_initial_response() -> None:
    step = Exchange("plain").begin(b64(b"\0fred@example.test\0s e cret"))
    assert step == Credentials("fred@example.test", "s e cret")


def test_plain_asked_for() -> None:
    exchange = Exchange("PLAIN")
    assert exchange.begin() == Challenge(b"")
    assert exchange.step(b64("\0fr\u00e9d\0pass\u00fc".encode())) == Credentials("fréd", "passü")


def test_authorization_identity_is_told_when_it_differs() -> None:
    assert Exchange("PLAIN").begin(b64(b"boss\0fred\0pw")) == Credentials("fred", "pw", "boss")
    assert Exchange("PLAIN").begin(b64(b"fred\0fred\0pw")) == Credentials("fred", "pw", "")


def test_login() -> None:
    exchange = Exchange("Login")
    assert exchange.begin() == Challenge(b64(b"Username:"))
    assert exchange.step(b64(b"fred")) == Challenge(b64(b"Password:"))
    assert exchange.step(b64(b"pw")) == Credentials("fred", "pw")


def test_login_with_initial_response() -> None:
    exchange = Exchange("LOGIN")
    assert exchange.begin(b64(b"fred")) == Challenge(b64(b"Password:"))
    assert exchange.step(b64(b"pw")) == Credentials("fred", "pw")


def test_empty_initial_response() -> None:
    assert Exchange("LOGIN").begin(b"=") == Challenge(b64(b"Username:"))
    with pytest.raises(SaslError):
        Exchange("PLAIN").begin(b"=")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_abort(mechanism: str) -> None:
    exchange = Exchange(mechanism)
    exchange.begin()
    with pytest.raises(SaslError) as fault:
        exchange.step(b"*")
    assert fault.value.aborted


@pytest.mark.parametrize(
    "line",
    [
        b"not base64!",
        b"AAA",
        b64(b"fred\0pw"),
        b64(b"\0fred\0pw\0more"),
        b64(b"\0\0pw"),
        b64(b"\0\xff\0pw"),
        b64(b"\0fred\0" + b"x" * 2000),
        b"",
    ],
)
def test_bad_plain(line: bytes) -> None:
    exchange = Exchange("PLAIN")
    exchange.begin()
    with pytest.raises(SaslError) as fault:
        exchange.step(line)
    assert not fault.value.aborted


@pytest.mark.parametrize("line", [b"", b"*!", b64(b"a\0b"), b64(b"\xff")])
def test_bad_login(line: bytes) -> None:
    exchange = Exchange("LOGIN")
    exchange.begin()
    with pytest.raises(SaslError):
        exchange.step(line)


def test_unknown_mechanism() -> None:
    with pytest.raises(SaslError):
        Exchange("CRAM-MD5")


def test_credentials_are_not_printed() -> None:
    assert "secret" not in repr(Credentials("fred", "secret"))
