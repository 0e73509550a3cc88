import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.mime import parse
from restante.mime.text import body_contains, body_text, fold, leaves, text_contains

WIRE = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Other: here\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6n=\r\ner Tag\r\n"
    b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n"
    b"\r\nPHA+VGV4dDwvcD4\r\n"
    b"--b\r\nContent-Type: application/x\r\n\r\nhidden\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\n\r\nPlain body\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("needle", "in_body", "in_text"),
    [
        ("SCHÖNER", True, True),
        ("schöner  tag", True, True),
        ("<p>text", True, True),
        ("hidden", False, False),
        ("plain BODY", True, True),
        ("inner", False, True),
        ("grüsse", False, True),
        ("x-other: HERE", False, True),
        ("application/x", False, True),  # the header of a part
    ],
)
def test_search(needle: str, in_body: bool, in_text: bool) -> None:
    root = parse(WIRE)
    assert body_contains(WIRE, root, fold(needle)) is in_body
    assert text_contains(WIRE, root, fold(needle)) is in_text


def test_body_text() -> None:
    assert [body_text(WIRE, part).strip() for part in leaves(parse(WIRE))][:2] == [
        "Schöner Tag",
        "<p>Text</p>",
    ]


@given(
    st.binary(max_size=200),
    st.sampled_from([b"base64", b"quoted-printable", b"8bit", b"x"]),
    st.sampled_from([b"utf-8", b"utf-7", b"utf-16", b"iso-2022-jp", b"hz", b"gb18030", b"zip"]),
)
def test_never_raises(body: bytes, encoding: bytes, charset: bytes) -> None:
    wire = b"Content-Type: text/plain; charset=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        charset,
        encoding,
        body,
    )
    root = parse(wire)
    text_contains(wire, root, "x y")
    text_contains(wire, root, "x")
