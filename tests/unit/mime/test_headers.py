import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.mime.charsets import codec_of, decode
from restante.mime.headers import (
    base64_bytes,
    decode_words,
    fields,
    header_end,
    parameter_text,
    parameters,
    select_fields,
    strip_comments,
    structured,
)

HEADER = b"A: 1\r\nb : 2\r\n\tmore\r\nnot a field\r\nA:3\r\n\r\n"


def test_fields_are_unfolded_in_order() -> None:
    assert list(fields(HEADER)) == [(b"A", b"1"), (b"b", b"2\tmore"), (b"A", b"3")]


@pytest.mark.parametrize(
    ("wire", "end"),
    [(b"\r\nx", 2), (b"\nx", 1), (b"A: b\r\n\r\nx", 8), (b"A: b\n\nx", 6), (b"A: b", 4), (b"", 0)],
)
def test_header_end(wire: bytes, end: int) -> None:
    assert header_end(wire, 0, len(wire)) == end


def test_select_fields() -> None:
    end = len(HEADER)
    assert select_fields(HEADER, 0, end, {b"b"}) == b"b : 2\r\n\tmore\r\n"
    assert select_fields(HEADER, 0, end, {b"x"}) == b""
    assert select_fields(HEADER, 0, end, {b"a"}, exclude=True) == (
        b"b : 2\r\n\tmore\r\nnot a field\r\n"
    )
    assert select_fields(HEADER, 0, end, (), exclude=True) == HEADER[:-2]
    assert select_fields(b"A: cut off", 0, 10, {b"a"}) == b"A: cut off\r\n"


@given(st.lists(st.sampled_from([b"A: x\r\n", b"B: y\r\n z\r\n", b"C\r\n", b"a:\r\n"])))
def test_selected_and_the_rest_are_the_whole(lines: list[bytes]) -> None:
    wire = b"".join(lines)
    chosen = select_fields(wire, 0, len(wire), {b"a"})
    rest = select_fields(wire, 0, len(wire), {b"a"}, exclude=True)
    assert sorted(chosen + rest) == sorted(wire)


def test_structured() -> None:
    assert structured(b'Text/HTML (a (b) \\) c); Charset="a\\"b" ; x=y z; =; q') == (
        b"text/html",
        ((b"charset", b'a"b'), (b"x", b"y")),
    )
    assert structured(b"x; filename=a b.txt; y=1")[1] == ((b"filename", b"a"), (b"y", b"1"))


def test_comments() -> None:
    assert strip_comments(b'a (b) "(c)" (d') == b'a   "(c)"  '


def test_parameter_continuations() -> None:
    assert parameters(b"a*1=b; a*0=a; c*0*=u''%41; c*1=%") == (
        (b"a", b"ab"),
        (b"c*", b"u''%41%25"),
    )
    assert parameters(b"a*0=a; a*2=c") == ((b"a", b"a"),)


def test_parameter_text() -> None:
    params = parameters(b"filename*=iso-8859-1'de'%FCber%0D%0A.txt; name=\"=?utf-8?q?=C3=BC?=\"")
    assert parameter_text(params, b"filename") == "über.txt"
    assert parameter_text(params, b"name") == "ü"
    assert parameter_text(params, b"x") is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?a_b=C3=A4?= x", "a bä x"),
        (b"=?utf-8?B?w6Q=?= \t =?UTF-8?b?w7Y?=", "äö"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),  # a character cut in two
        (b"=?iso-8859-1?q?=E4?= =?utf-8?q?=C3=A4?=", "ää"),
        (b"=?utf-8*de?q?x?=", "x"),
        (b"=?nonsense?q?=E4?=", "ä"),
        (b"=?unicode_escape?q?=5Cu0041?=", "\\u0041"),
        (b"=?utf-8?q?hi=0D=0ABcc:_evil@x=00?=", "hiBcc: evil@x"),
        (b"caf\xc3\xa9 caf\xe9", "cafÃ© café"),
        (b"=?x?q?", "=?x?q?"),
    ],
)
def test_decode_words(raw: bytes, text: str) -> None:
    assert decode_words(raw) == text


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        (b"UTF-8", "utf-8"),
        (b"windows-1251", "cp1251"),
        (b"ks_c_5601-1987", "cp949"),
        (b"GB2312", "gb18030"),
        (b"rot13", None),
        (b"punycode", None),
        (b"idna", None),
        (b"zlib", None),
        (b"\0", None),
        (b"", None),
    ],
)
def test_codecs(charset: bytes, codec: str | None) -> None:
    assert codec_of(charset) == codec


@pytest.mark.parametrize("text", [b"YQ==", b"YQ=", b"YQ", b"YQ==\r\n!", b"YQA", b"YQ==Y"])
def test_base64_is_forgiving(text: bytes) -> None:
    assert base64_bytes(text)[:1] == b"a"


@given(st.binary(max_size=200))
def test_nothing_raises(raw: bytes) -> None:
    decode_words(raw)
    decode_words(b"=?utf-8?b?" + raw + b"?= =?" + raw + b"?q?x?=")
    structured(raw)
    base64_bytes(raw)
    decode(raw, raw)
    text = decode_words(raw)
    assert not set(text) & set("\r\n\0")
