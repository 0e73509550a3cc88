"""LDAP messages: what RFC 4511 asks for, at every split point, and hostile ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.ldap import ber, message
from restante.wire.ldap import filter as filters
from restante.wire.ldap.message import Answer, Decoder, Entry, Reference, Result, Search


def result(number: int, tag: int, code: int, *rest: bytes, text: bytes = b"") -> bytes:
    body = ber.integer(code, ber.ENUMERATED), ber.octets(b""), ber.octets(text)
    return ber.tlv(ber.SEQUENCE, ber.integer(number), ber.tlv(tag, *body, *rest))


def entry(number: int, dn: bytes, **attributes: list[bytes]) -> bytes:
    found = (
        ber.tlv(
            ber.SEQUENCE,
            ber.octets(name.encode()),
            ber.tlv(ber.SET, *(ber.octets(v) for v in values)),
        )
        for name, values in attributes.items()
    )
    body = ber.tlv(0x64, ber.octets(dn), ber.tlv(ber.SEQUENCE, *found))
    return ber.tlv(ber.SEQUENCE, ber.integer(number), body)


PAGED = ber.tlv(
    ber.SEQUENCE,
    ber.integer(9),
    ber.tlv(0x65, ber.integer(0, ber.ENUMERATED), ber.octets(b""), ber.octets(b"")),
    ber.tlv(
        0xA0,
        ber.tlv(ber.SEQUENCE, ber.octets(b"1.2.3"), ber.boolean(False), ber.octets(b"x")),
        ber.tlv(
            ber.SEQUENCE,
            ber.octets(message.PAGED_RESULTS.encode()),
            ber.octets(ber.tlv(ber.SEQUENCE, ber.integer(0), ber.octets(b"cookie"))),
        ),
    ),
)
STREAM = (
    result(1, 0x61, 49, ber.octets(b"server sasl", 0x87), text="пароль".encode())
    + entry(300, "cn=ü".encode(), Mail=[b"a", b"b" * 300], cn=[])
    + ber.tlv(ber.SEQUENCE, ber.integer(300), ber.tlv(0x73, ber.octets(b"ldap://x/")))
    + PAGED
    + result(0, 0x78, 52, ber.octets(b"1.3.6.1.4.1.1466.20036", 0x8A))
)
ANSWERS = [
    Answer(1, Result(49, "пароль")),
    Answer(300, Entry("cn=ü", {"mail": (b"a", b"b" * 300), "cn": ()})),
    Answer(300, Reference(("ldap://x/",))),
    Answer(9, Result(0, cookie=b"cookie")),
    Answer(0, Result(52, name="1.3.6.1.4.1.1466.20036")),
]


def test_answers_at_every_split_point() -> None:
    for cut in range(len(STREAM) + 1):
        decoder = Decoder()
        assert decoder.feed(STREAM[:cut]) + decoder.feed(STREAM[cut:]) == ANSWERS
        assert decoder.empty
    decoder = Decoder()
    assert [a for i in range(len(STREAM)) for a in decoder.feed(STREAM[i : i + 1])] == ANSWERS


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"\x30\x80\x00\x00",  # indefinite length
        b"\x30\x85\x01\x00\x00\x00\x00",  # a length of five bytes
        b"\x30\x84\xff\xff\xff\xff",  # 4 GiB
        b"\x3f\x01\x00",  # long tag
        b"\x30\x03\x02\x01\x01",  # no operation
        b"\x30\x05\x02\x01\x01\x7f\x00",
        b"\x30\x05\x02\x01\x01\x42\x00",  # a request
        b"\x30\x05\x04\x01\x01\x61\x00",  # no number
        b"\x30\x04\x02\x00\x61\x00",
        ber.tlv(ber.SEQUENCE, ber.integer(1), b"\x61\x05\x0a\x01\x00"),  # cut off inside
        ber.tlv(ber.SEQUENCE, ber.integer(1), ber.tlv(0x65, ber.integer(0))),  # wrong type
        ber.tlv(ber.SEQUENCE, ber.integer(1), ber.tlv(0x64, ber.octets(b"x"), b"\x30\x02\x30\x05")),
    ],
)
def test_hostile_answers(data: bytes) -> None:
    with pytest.raises(message.ProtocolError):
        Decoder().feed(data)


def test_a_message_over_the_limit_is_refused_before_it_comes() -> None:
    with pytest.raises(message.ProtocolError):
        Decoder(limit=1000).feed(b"\x30\x82\x03\xe9")
    assert Decoder(limit=1000).feed(b"\x30\x82\x03\xe8") == []


@given(st.binary(max_size=80))
def test_any_bytes_are_answers_or_refused(data: bytes) -> None:
    for start in (b"", b"\x30", STREAM[:40]):
        try:
            Decoder().feed(start + data)
        except message.ProtocolError:
            continue


def test_bind() -> None:
    """RFC 4511 section 4.2, written out."""
    wanted = bytes.fromhex("300f 0201 01 60 0a 0201 03 0402 636e 8001 78".replace(" ", ""))
    assert message.bind(1, "cn", b"x") == wanted
    assert message.bind(1, "", b"") == bytes.fromhex("300c02010160070201030400" + "8000")


def test_a_dn_without_a_password_is_never_bound() -> None:
    with pytest.raises(ValueError, match="without a password"):
        message.bind(1, "cn=fred", b"")


def test_search() -> None:
    what = Search("o=x", filters.encode("(a=b)"), ("mail",), size_limit=2, time_limit=5)
    wanted = "3029020102" + "6324" + "04036f3d78" + "0a0102" + "0a0100" + "020102" + "020105"
    wanted += "010100" + "a306" + "040161" + "040162" + "3006" + "04046d61696c"
    assert message.search(2, what).hex() == wanted


def test_a_paged_search_says_so_critically() -> None:
    what = Search("", filters.encode("(a=b)"), (), page_size=500, cookie=b"c")
    value = ber.tlv(ber.SEQUENCE, ber.integer(500), ber.octets(b"c"))
    control = ber.tlv(
        ber.SEQUENCE,
        ber.octets(b"1.2.840.113556.1.4.319"),
        ber.boolean(True),
        ber.octets(value),
    )
    assert message.search(1, what).endswith(ber.tlv(0xA0, control))


def test_a_password_change_leaves_out_what_is_not_known() -> None:
    assert message.password_modify(1, "", b"", b"n").endswith(
        ber.octets(ber.tlv(ber.SEQUENCE, ber.octets(b"n", 0x82)), 0x81)
    )
    full = ber.tlv(
        ber.SEQUENCE, ber.octets(b"d", 0x80), ber.octets(b"o", 0x81), ber.octets(b"n", 0x82)
    )
    assert message.password_modify(1, "d", b"o", b"n").endswith(ber.octets(full, 0x81))


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65535, 65536])
def test_lengths(size: int) -> None:
    data = ber.octets(b"x" * size)
    assert ber.Reader(data).octets() == b"x" * size
    assert len(data) - size == (2 if size < 128 else 3 if size < 256 else 4 if size < 65536 else 5)


@given(st.integers(min_value=0, max_value=2**40))
def test_numbers(value: int) -> None:
    assert ber.Reader(ber.integer(value)).integer() == value
