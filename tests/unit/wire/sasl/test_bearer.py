"""OAUTHBEARER (RFC 7628), XOAUTH2, EXTERNAL."""

import base64
import json

import pytest

from restante.wire.sasl import Challenge, Credentials, Exchange, SaslError
from tests.unit.wire.sasl.samples import b64, exchange, scene

TOKEN = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
# RFC 7628 section 4.1
EXAMPLE = (
    b"n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer " + TOKEN + b"\1\1"
)
GOOGLE = b"user=someuser@example.com\1auth=Bearer " + TOKEN + b"\1\1"


def test_the_example_of_rfc_7628() -> None:
    attempt = exchange("OAUTHBEARER")
    assert attempt.begin(b64(EXAMPLE)) == Credentials("user@example.com", TOKEN)
    assert attempt.accepted() is None


def test_the_name_may_be_missing() -> None:
    step = exchange("OAUTHBEARER").begin(b64(b"n,,\1auth=bearer " + TOKEN + b"\1\1"))
    assert step == Credentials("", TOKEN)


def test_xoauth2() -> None:
    attempt = exchange("XOAUTH2")
    assert attempt.begin() == Challenge(b"")
    assert attempt.step(b64(GOOGLE)) == Credentials("someuser@example.com", TOKEN)


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("dummy", [b64(b"\1"), b""])
def test_a_refusal_is_told_in_json_first(name: str, dummy: bytes) -> None:
    attempt = exchange(name)
    attempt.begin(b64(EXAMPLE if name == "OAUTHBEARER" else GOOGLE))
    last = attempt.refused()
    assert last is not None
    assert json.loads(base64.b64decode(last.data))["status"]
    attempt.finish(dummy)
    with pytest.raises(SaslError):
        attempt.finish(b"*")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"n,,",
        EXAMPLE[:-1],
        EXAMPLE[:-2],
        EXAMPLE.replace(b"Bearer", b"Basic"),
        EXAMPLE.replace(b"auth=", b"other="),
        EXAMPLE.replace(TOKEN, b""),
        EXAMPLE.replace(TOKEN, b"a b"),
        EXAMPLE.replace(TOKEN, b"x" * 8193),
        EXAMPLE.replace(b"host=", b"auth=Bearer x\1host="),
        EXAMPLE.replace(b"host=", b"ho st="),
        EXAMPLE.replace(b"n,a", b"p=tls-unique,a"),
        EXAMPLE.replace(b",\1", b",x\1"),
        b"n,,\1" + b"k=v\1" * 40 + b"auth=Bearer x\1\1",
        EXAMPLE.replace(b"user@", b"us=er@"),
    ],
)
def test_bad_oauthbearer(data: bytes) -> None:
    with pytest.raises(SaslError):
        exchange("OAUTHBEARER").begin(b64(data) or b"=")


@pytest.mark.parametrize(
    "data", [b"", GOOGLE[:-1], GOOGLE.replace(b"user=", b"use="), GOOGLE[1:], b"user=\xff" + GOOGLE]
)
def test_bad_xoauth2(data: bytes) -> None:
    with pytest.raises(SaslError):
        exchange("XOAUTH2").begin(b64(data) or b"=")


def test_external() -> None:
    def attempt() -> Exchange:
        return Exchange("EXTERNAL", scene(certificate="fred@example.test"))

    assert attempt().begin() == Challenge(b"")
    assert attempt().begin(b"=") == Credentials("fred@example.test", b"")
    assert attempt().begin(b64(b"fred@example.test")) == Credentials("fred@example.test", b"")
    step = attempt().begin(b64(b"jane@example.test"))
    assert step == Credentials("fred@example.test", b"", "jane@example.test")
    for bad in (b"\0", b"\xff", b"x" * 1025):
        with pytest.raises(SaslError):
            attempt().begin(b64(bad))
    with pytest.raises(SaslError):
        exchange("EXTERNAL")
