"""Envelope addresses: what is taken, and what two programs could read in two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import Address, ErrorKind, MailError


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("fred@example.org", "fred", "example.org"),
        ("Fred.Bloggs@EXAMPLE.org", "Fred.Bloggs", "example.org"),
        ("fred@example.org.", "fred", "example.org"),
        ('"a b"@x.org', "a b", "x.org"),
        ('"a\\"b"@x.org', 'a"b', "x.org"),
        ('"a@b"@x.org', "a@b", "x.org"),
        ("jürgen@münchen.example", "jürgen", "münchen.example"),
        ("a@[127.0.0.1]", "a", "[127.0.0.1]"),
        ("postmaster", "postmaster", ""),
        ("a+b=c!#$%&'*/?^_`{|}~-@x", "a+b=c!#$%&'*/?^_`{|}~-", "x"),
    ],
)
def test_taken(text: str, local: str, domain: str) -> None:
    address = Address.parse(text)
    assert (address.local, address.domain) == (local, domain)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@x.org",
        "a@",
        "a@b@c",
        "alice@a.org)<bob@b.org>",
        "<a@b>",
        "a b@c",
        '""@x',
        '"a@x',
        '"a"b@x',
        ".a@x",
        "a..b@x",
        "a.@x",
        "a@x..y",
        "a@-x",
        "a@x-",
        "a@x\r\nRCPT TO:<b@y>",
        "a\0@x",
        '"a\0"@x',
        "a@x,b@y",
        "a@x(c)",
        "a\u2028@x",
        "a\x85@x",
        "\ud800@x",
        "a" * 400 + "@x",
        "a@" + "b." * 200 + "c",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(MailError) as caught:
        Address.parse(text)
    assert caught.value.kind is ErrorKind.BAD_REQUEST


@given(st.text(max_size=60))
def test_never_anything_but_an_address_or_bad_request(text: str) -> None:
    try:
        address = Address.parse(text)
    except MailError as error:
        assert error.kind is ErrorKind.BAD_REQUEST
        return
    assert Address.parse(str(address)) == address
    assert not set("\r\n\0") & set(str(address))


def test_detail() -> None:
    address = Address.parse("fred+lists+x@example.org")
    assert str(address.without_detail()) == "fred@example.org"
    assert address.detail() == "lists+x"
    plain = Address.parse("fred@example.org")
    assert plain.without_detail() is plain
    assert plain.detail() == ""
    assert str(Address.parse("+x@example.org").without_detail()) == "+x@example.org"
    assert str(Address.parse("f-l+x@e.org").without_detail("-+")) == "f@e.org"
