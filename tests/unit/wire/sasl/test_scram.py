"""SCRAM's messages: the example of RFC 7677, channel binding, and what is no message."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.sasl import Challenge, Credentials, Exchange, SaslError, Scene, ScramQuery, Step
from tests.unit.wire.sasl.samples import b64, exchange, scene

# RFC 7677 section 3: user "user", password "pencil"
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
WITHOUT_PROOF = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
PROOF = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SIGNATURE = b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
SALT = base64.b64decode(b"W22ZaJ0SNY7soEsUEjb6gQ==")

END_POINT = {"tls-server-end-point": b"digest of the certificate"}


def sent(step: Step | None) -> bytes:
    assert isinstance(step, Challenge)
    return base64.b64decode(step.data)


def test_the_exchange_of_rfc_7677() -> None:
    attempt = exchange("SCRAM-SHA-256", SERVER_NONCE)
    assert attempt.begin(b64(FIRST)) == ScramQuery("user")
    assert sent(attempt.parameters(SALT, 4096)) == SERVER_FIRST
    step = attempt.step(b64(WITHOUT_PROOF + b",p=" + PROOF))
    message = FIRST[3:] + b"," + SERVER_FIRST + b"," + WITHOUT_PROOF
    assert step == Credentials("user", base64.b64decode(PROOF), "", message)
    # And these are right: the arithmetic of RFC 5802 section 3 with the password.
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", SALT, 4096)
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    proof = hmac.digest(server_key, message, "sha256")
    assert sent(attempt.accepted(proof)) == b"v=" + SIGNATURE
    attempt.finish(b"")


def test_without_an_initial_response() -> None:
    attempt = exchange("SCRAM-SHA-256")
    assert attempt.begin() == Challenge(b"")
    assert attempt.step(b64(FIRST)) == ScramQuery("user")


def test_the_client_must_end_it() -> None:
    attempt = exchange("SCRAM-SHA-256")
    attempt.begin(b64(FIRST))
    attempt.accepted(b"x" * 32)
    with pytest.raises(SaslError) as fault:
        attempt.finish(b"*")
    assert fault.value.aborted
    with pytest.raises(SaslError):
        attempt.finish(b64(b"more"))


def test_names_are_unescaped_and_prepared() -> None:
    # RFC 4013 section 3: a soft hyphen is nothing, a Roman nine is "IX".
    name = "u\u00ads=2Ce=3Dr\u2168".encode()
    assert exchange("SCRAM-SHA-256").begin(b64(b"n,,n=" + name + b",r=x")) == ScramQuery("us,e=rIX")


def final(attempt: Exchange, first: bytes, bound: bytes, extra: bytes = b"") -> Step:
    """Run an exchange to the client's final message, whose "c=" is `bound`."""
    assert isinstance(attempt.begin(b64(first)), ScramQuery)
    nonce = sent(attempt.parameters(b"salt", 4096)).split(b",")[0]
    return attempt.step(b64(b"c=" + b64(bound) + b"," + nonce + extra + b",p=" + b64(b"x" * 32)))


def test_authorization_identity() -> None:
    first = b"n,a=boss@example.test,n=user,r=x"
    step = final(exchange("SCRAM-SHA-256"), first, b"n,a=boss@example.test,")
    assert isinstance(step, Credentials)
    assert (step.user, step.authorization) == ("user", "boss@example.test")
    step = final(exchange("SCRAM-SHA-256"), b"n,a=user,n=user,r=x", b"n,a=user,")
    assert isinstance(step, Credentials)
    assert step.authorization == ""
    step = final(exchange("SCRAM-SHA-256"), b"n,a=,n=user,r=x", b"n,a=,")  # gsasl
    assert isinstance(step, Credentials)
    assert step.authorization == ""


def test_optional_extensions_are_part_of_what_is_signed() -> None:
    step = final(exchange("SCRAM-SHA-256"), b"n,,n=user,r=x,z=first", b"n,,", b",y=second")
    assert isinstance(step, Credentials)
    assert step.challenge.startswith(b"n=user,r=x,z=first,r=x")
    assert step.challenge.endswith(b",y=second")


# --- channel binding --------------------------------------------------------------------------

P = b"p=tls-server-end-point,,"


def plus(**bindings: bytes) -> Exchange:
    return exchange("SCRAM-SHA-256-PLUS", bindings=bindings or END_POINT)


def test_channel_binding() -> None:
    bound = P + END_POINT["tls-server-end-point"]
    assert isinstance(final(plus(), P + b"n=user,r=x", bound), Credentials)


@pytest.mark.parametrize("bound", [P, P + b"of another channel", b"n,,", P + b"digest"])
def test_another_channel_is_refused(bound: bytes) -> None:
    with pytest.raises(SaslError, match="does not fit"):
        final(plus(), P + b"n=user,r=x", bound)


@pytest.mark.parametrize("first", [b"n,,", b"y,,", b"p=tls-unique,,", b"p=tls-exporter,,"])
def test_plus_needs_a_binding_that_we_have(first: bytes) -> None:
    with pytest.raises(SaslError):
        plus().begin(b64(first + b"n=user,r=x"))


def test_a_binding_needs_plus() -> None:
    with pytest.raises(SaslError):
        exchange("SCRAM-SHA-256", bindings=END_POINT).begin(b64(P + b"n=user,r=x"))


def test_downgrade() -> None:
    """A client that could bind, and was not told that we can: somebody changed the list."""
    first = b64(b"y,,n=user,r=x")
    with pytest.raises(SaslError, match="tampered"):
        exchange("SCRAM-SHA-256", bindings=END_POINT).begin(first)
    honest = Exchange("SCRAM-SHA-256", scene("SCRAM-SHA-256"))
    assert honest.begin(first) == ScramQuery("user")


def test_the_header_must_be_repeated() -> None:
    """RFC 5802 section 6: else the flag itself could be changed on the way."""
    with pytest.raises(SaslError, match="does not fit"):
        final(Exchange("SCRAM-SHA-256", scene("SCRAM-SHA-256")), b"n,,n=user,r=x", b"y,,")


# --- what is no message -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,r=x,n=user",
        b"n,,n=,r=x",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=" + b"x" * 513,
        b"n,,n=" + b"u" * 1025 + b",r=x",
        b"n,,n=us=er,r=x",
        b"n,,n=us=2cer,r=x",
        b"n,,n=\xff,r=x",
        b"n,,n=u\0,r=x",
        b"n,,n=\xe2\x80\x8e,r=x",  # LEFT-TO-RIGHT MARK, prohibited
        b"n,,m=ext,n=user,r=x",
        b"n,,n=user,r=x,m=ext",
        b"n,,n=user,r=x,",
        b"n,,n=user,r=x,z",
        b"x,,n=user,r=x",
        b"p=,,n=user,r=x",
        b"p=a b,,n=user,r=x",
        b"n,boss,n=user,r=x",
        b"N,,n=user,r=x",
    ],
)
def test_bad_first_messages(first: bytes) -> None:
    with pytest.raises(SaslError):
        exchange("SCRAM-SHA-256").begin(b64(first))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"*!",
        WITHOUT_PROOF,
        WITHOUT_PROOF + b",p=",
        WITHOUT_PROOF + b",p=" + b64(b"x" * 31),
        WITHOUT_PROOF + b",p=!",
        WITHOUT_PROOF[:-1] + b",p=" + PROOF,
        WITHOUT_PROOF + b"0,p=" + PROOF,
        WITHOUT_PROOF + b",m=1,p=" + PROOF,
        WITHOUT_PROOF.replace(b"c=biws", b"c=eSws") + b",p=" + PROOF,
        WITHOUT_PROOF.replace(b"c=biws", b"c=*") + b",p=" + PROOF,
        b"r=x,c=biws,p=" + PROOF,
        b"c=biws,p=" + PROOF,
    ],
)
def test_bad_final_messages(answer: bytes) -> None:
    attempt = exchange("SCRAM-SHA-256", SERVER_NONCE)
    attempt.begin(b64(FIRST))
    attempt.parameters(SALT, 4096)
    with pytest.raises(SaslError):
        attempt.step(b64(answer))


def test_the_order_of_calls() -> None:
    attempt = exchange("SCRAM-SHA-256")
    with pytest.raises(SaslError):
        attempt.parameters(SALT, 4096)
    attempt.begin(b64(FIRST))
    with pytest.raises(SaslError):
        attempt.step(b64(FIRST))
    for salt, iterations in ((b"", 4096), (SALT, 0), (SALT, 10**9)):
        with pytest.raises(SaslError):
            attempt.parameters(salt, iterations)
    attempt.parameters(SALT, 4096)
    with pytest.raises(SaslError):
        attempt.parameters(SALT, 4096)


@given(st.binary(max_size=200))
def test_any_octets_give_a_step_or_a_refusal(data: bytes) -> None:
    for name in ("SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"):
        try:
            exchange(name).begin(b64(data) or b"=")
        except SaslError:
            continue


@given(
    user=st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=40),
    authorization=st.text(st.characters(codec="ascii", min_codepoint=33), max_size=40),
    nonce=st.text(st.characters(codec="ascii", min_codepoint=45), min_size=1, max_size=40),
)
def test_names_round_trip(user: str, authorization: str, nonce: str) -> None:
    def escaped(name: str) -> bytes:
        return name.replace("=", "=3D").replace(",", "=2C").encode()

    nonce = nonce.replace("\x7f", "x")
    header = b"n," + (b"a=" + escaped(authorization) if authorization else b"") + b","
    user, authorization = user.replace("\x7f", "x"), authorization.replace("\x7f", "x")
    header = header.replace(b"\x7f", b"x")
    first = header + b"n=" + escaped(user) + b",r=" + nonce.encode()
    step = final(Exchange("SCRAM-SHA-256", Scene(("SCRAM-SHA-256",))), first, header)
    assert isinstance(step, Credentials)
    assert step.user == user
    assert step.authorization == ("" if authorization == user else authorization)
