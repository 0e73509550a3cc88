"""PLAIN and LOGIN: initial responses, aborts, and what is no answer."""

import pytest

from restante.runtime.settings import SASL_MECHANISMS
from restante.wire.sasl import (
    MECHANISMS,
    Challenge,
    Credentials,
    Exchange,
    SaslError,
    offered,
    takes_passwords,
)
from tests.unit.wire.sasl.samples import b64, exchange, scene


def test_plain_with_initial_response() -> None:
    step = exchange("plain").begin(b64(b"\0fred@example.test\0s e cret"))
    assert step == Credentials("fred@example.test", b"s e cret")


def test_plain_asked_for() -> None:
    attempt = exchange("PLAIN")
    assert attempt.begin() == Challenge(b"")
    assert attempt.step(b64("\0fr\u00e9d\0pass\u00fc".encode())) == Credentials(
        "fréd", "passü".encode()
    )


def test_authorization_identity_is_told_when_it_differs() -> None:
    assert exchange("PLAIN").begin(b64(b"boss\0fred\0pw")) == Credentials("fred", b"pw", "boss")
    assert exchange("PLAIN").begin(b64(b"fred\0fred\0pw")) == Credentials("fred", b"pw", "")


def test_login() -> None:
    attempt = exchange("Login")
    assert attempt.begin() == Challenge(b64(b"Username:"))
    assert attempt.step(b64(b"fred")) == Challenge(b64(b"Password:"))
    assert attempt.step(b64(b"pw")) == Credentials("fred", b"pw")


def test_login_with_initial_response() -> None:
    attempt = exchange("LOGIN")
    assert attempt.begin(b64(b"fred")) == Challenge(b64(b"Password:"))
    assert attempt.step(b64(b"pw")) == Credentials("fred", b"pw")


def test_empty_initial_response() -> None:
    assert exchange("LOGIN").begin(b"=") == Challenge(b64(b"Username:"))
    with pytest.raises(SaslError):
        exchange("PLAIN").begin(b"=")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_abort(mechanism: str) -> None:
    attempt = exchange(mechanism)
    attempt.begin()
    with pytest.raises(SaslError) as fault:
        attempt.step(b"*")
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
    attempt = exchange("PLAIN")
    attempt.begin()
    with pytest.raises(SaslError) as fault:
        attempt.step(line)
    assert not fault.value.aborted


@pytest.mark.parametrize("line", [b"", b"*!", b64(b"a\0b"), b64(b"\xff")])
def test_bad_login(line: bytes) -> None:
    attempt = exchange("LOGIN")
    attempt.begin()
    with pytest.raises(SaslError):
        attempt.step(line)


def test_a_mechanism_that_is_not_offered() -> None:
    with pytest.raises(SaslError):
        exchange("GSSAPI")
    with pytest.raises(SaslError):
        Exchange("CRAM-MD5", scene("PLAIN", "LOGIN"))


def test_credentials_are_not_printed() -> None:
    assert "secret" not in repr(Credentials("fred", b"secret", challenge=b"secret"))


def test_the_setting_knows_the_same_names() -> None:
    assert set(SASL_MECHANISMS) == set(MECHANISMS)


def test_what_is_offered_where() -> None:
    def names(*, private: bool, bindings: bool = False, certificate: bool = False) -> set[str]:
        found = offered(
            MECHANISMS,
            private=private,
            bindings=lambda: {"tls-exporter": b"x"} if bindings else {},
            certificate="fred" if certificate else "",
        )
        return set(found)

    cram = {"CRAM-MD5", "CRAM-SHA1", "CRAM-SHA256", "SCRAM-SHA-256"}
    assert names(private=False) == cram
    assert names(private=True) == cram | {"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}
    assert "SCRAM-SHA-256-PLUS" in names(private=True, bindings=True)
    assert "EXTERNAL" in names(private=True, certificate=True)
    order = ("SCRAM-SHA-256", "PLAIN")
    assert offered(order, private=True, bindings=dict, certificate="") == order


def test_passwords_in_plain_commands_are_plain_by_another_name() -> None:
    assert takes_passwords(("SCRAM-SHA-256", "LOGIN"))
    assert not takes_passwords(("SCRAM-SHA-256", "EXTERNAL"))
