"""Real messages with octets changed, doubled and lost: a step, or a refusal, and nothing else."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from restante.wire.sasl import Challenge, Credentials, SaslError, ScramQuery
from tests.support.scram import ScramClient
from tests.unit.wire.sasl.samples import b64, exchange

BINDINGS = {"tls-exporter": b"k" * 32}
OPENINGS = {
    "PLAIN": b"boss\0fred@example.test\0secret",
    "SCRAM-SHA-256": b"n,a=boss,n=fred@example.test,r=abc,x=y",
    "SCRAM-SHA-256-PLUS": b"p=tls-exporter,,n=fred@example.test,r=abc",
    "OAUTHBEARER": b"n,a=fred@example.test,\1host=h\1port=143\1auth=Bearer abc.def.ghi\1\1",
    "XOAUTH2": b"user=fred@example.test\1auth=Bearer abc.def.ghi\1\1",
}


@st.composite
def mutated(draw: st.DrawFn, message: bytes) -> bytes:
    """Cut, double and overwrite pieces, a few times."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(message)))
        end = draw(st.integers(start, min(len(message), start + 8)))
        kind = draw(st.sampled_from(("cut", "double", "write")))
        piece = message[start:end]
        new = {"cut": b"", "double": piece * 2, "write": draw(st.binary(max_size=4))}[kind]
        message = message[:start] + new + message[end:]
    return message


@given(st.data(), st.sampled_from(sorted(OPENINGS)))
def test_openings(data: st.DataObject, mechanism: str) -> None:
    message = data.draw(mutated(OPENINGS[mechanism]))
    try:
        step = exchange(mechanism, bindings=BINDINGS).begin(b64(message) or b"=")
    except SaslError:
        return
    assert isinstance(step, Credentials | ScramQuery | Challenge)
    if isinstance(step, Credentials):
        # Whatever came, the parts are parts of it: nothing is invented.
        assert step.secret in message
        assert step.user.encode() in message.replace(b"=2C", b",").replace(b"=3D", b"=")


@given(st.data())
def test_no_changed_final_message_is_taken_for_another(data: st.DataObject) -> None:
    """What auth is given to judge holds the client's own octets; the proof covers the rest."""
    client = ScramClient("fred", "secret")
    attempt = exchange("SCRAM-SHA-256")
    attempt.begin(b64(client.first()))
    step = attempt.parameters(b"salt", 1)
    assert isinstance(step, Challenge)
    final = client.final(base64.b64decode(step.data))
    message = data.draw(mutated(final))
    try:
        end = attempt.step(b64(message))
    except SaslError:
        return
    assert isinstance(end, Credentials)
    same = end.challenge == client.message and end.secret == client.proof(b"salt", 1)
    assert same or message != final
    # Base64 may say one proof in more than one way; all else is as the client sent it.
    assert not same or message.rpartition(b",p=")[0] == final.rpartition(b",p=")[0]
