"""CRAM-MD5 as in RFC 2195, and what is no answer to it."""

import base64
import re

import pytest

from restante.wire.sasl import Challenge, Credentials, SaslError
from tests.unit.wire.sasl.samples import b64, exchange


def test_the_exchange_of_rfc_2195() -> None:
    attempt = exchange("CRAM-MD5")
    step = attempt.begin()
    assert isinstance(step, Challenge)
    challenge = base64.b64decode(step.data)
    assert re.fullmatch(rb"<nonce\.[0-9]+@mail\.example\.test>", challenge)
    answer = b"tim b913a602c7eda7a495b4e6e7334d3890"
    expected = Credentials("tim", answer[4:], challenge=challenge)
    assert attempt.step(b64(answer)) == expected
    assert attempt.accepted() is None
    assert attempt.refused() is None


def test_a_challenge_is_never_the_same() -> None:
    from restante.wire.sasl import Exchange, Scene

    found = {Exchange("CRAM-MD5", Scene(("CRAM-MD5",))).begin() for _ in range(100)}
    assert len(found) == 100


def test_names_may_have_blanks_and_digests_capitals() -> None:
    attempt = exchange("CRAM-MD5")
    attempt.begin()
    step = attempt.step(b64(b"tim s " + b"AB" * 16))
    assert isinstance(step, Credentials)
    assert (step.user, step.secret) == ("tim s", b"ab" * 16)


def test_the_server_speaks_first() -> None:
    for initial in (b"=", b64(b"tim " + b"ab" * 16)):
        with pytest.raises(SaslError):
            exchange("CRAM-MD5").begin(initial)


@pytest.mark.parametrize(("name", "octets"), [("CRAM-SHA1", 20), ("CRAM-SHA256", 32)])
def test_other_hashes(name: str, octets: int) -> None:
    attempt = exchange(name)
    attempt.begin()
    assert isinstance(attempt.step(b64(b"tim " + b"ab" * octets)), Credentials)
    with pytest.raises(SaslError):
        attempt.step(b64(b"tim " + b"ab" * 16))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"tim",
        b" " + b"ab" * 16,
        b"tim " + b"ab" * 15,
        b"tim " + b"zz" * 16,
        b"\xff " + b"ab" * 16,
        b"x" * 1025 + b" " + b"ab" * 16,
        b"tim " + b"ab" * 16 + b"\n",
    ],
)
def test_bad_answers(answer: bytes) -> None:
    attempt = exchange("CRAM-MD5")
    attempt.begin()
    with pytest.raises(SaslError):
        attempt.step(b64(answer))
