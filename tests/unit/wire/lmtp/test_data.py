"""Message data: only CRLF.CRLF ends it, whatever the chunking (CVE-2023-51764 and kin)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.lmtp.data import DotDecoder


def decode(*chunks: bytes) -> tuple[bytes, bool, bytes | None]:
    """The message, whether something stood bare, and what follows (None: not finished)."""
    decoder = DotDecoder()
    out = []
    for i, chunk in enumerate(chunks):
        out.append(decoder.feed(chunk))
        if decoder.finished:
            return b"".join(out), decoder.bare, decoder.rest + b"".join(chunks[i + 1 :])
    return b"".join(out), decoder.bare, None


CASES = [
    (b".\r\n", b"", b""),
    (b"a\r\n.\r\n", b"a\r\n", b""),
    (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
    (b"..\r\n.\r\n", b".\r\n", b""),
    (b"...\r\n.\r\n", b"..\r\n", b""),
    (b".a\r\n.\r\n", b"a\r\n", b""),
    (b"\r\n\r\n..x\r\n\r\n.\r\n", b"\r\n\r\n.x\r\n\r\n", b""),
    (b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
]


@pytest.mark.parametrize(("raw", "message", "rest"), CASES)
def test_split_at_every_point(raw: bytes, message: bytes, rest: bytes) -> None:
    for at in range(len(raw) + 1):
        assert decode(raw[:at], raw[at:]) == (message, False, rest), at
    assert decode(*(raw[i : i + 1] for i in range(len(raw)))) == (message, False, rest)


SMUGGLED = b"MAIL FROM:<evil@x>\r\nRCPT TO:<fred@example.test>\r\nDATA\r\nevil\r\n"
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n\r.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\r\n.\r\r\n",
]


@pytest.mark.parametrize("end", FALSE_ENDS)
def test_nothing_else_ends_it(end: bytes) -> None:
    raw = b"Subject: x\r\n\r\nfirst" + end + SMUGGLED + b"\r\n.\r\n"
    for at in range(len(raw) + 1):
        message, _, rest = decode(raw[:at], raw[at:])
        assert rest == b"", at
        assert SMUGGLED in message


@pytest.mark.parametrize("text", [b"a\nb", b"a\rb", b"a\r\r\nb", b"\n", b"a\n\r\nb"])
def test_bare_ends_are_noticed_at_every_split(text: bytes) -> None:
    raw = text + b"\r\n.\r\n"
    for at in range(len(raw) + 1):
        message, bare, rest = decode(raw[:at], raw[at:])
        assert (message, bare, rest) == (text + b"\r\n", True, b""), at


def stuff(message: bytes) -> bytes:
    stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
    return stuffed + b".\r\n" if message == b"" or message.endswith(b"\r\n") else stuffed


@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\n", b"\r\n.", b"\0"]), max_size=30),
    st.lists(st.integers(0, 80), max_size=6),
)
def test_round_trip(pieces: list[bytes], cuts: list[int]) -> None:
    message = b"".join(pieces) + b"\r\n"
    raw = stuff(message) + b"NOOP\r\n"
    edges = sorted({0, len(raw), *(c for c in cuts if c < len(raw))})
    chunks = [raw[a:b] for a, b in itertools.pairwise(edges)]
    out, _, rest = decode(*chunks)
    assert (out, rest) == (message, b"NOOP\r\n")


def test_octets_are_kept() -> None:
    raw = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    assert decode(stuff(raw)) == (raw, False, b"")
