"""Filters: RFC 4515's own examples, and names that want to be more than a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.ldap import ber
from restante.wire.ldap import filter as filters


def equality(attribute: bytes, value: bytes, tag: int = 0xA3) -> bytes:
    return ber.tlv(tag, ber.octets(attribute), ber.octets(value))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(cn=Babs Jensen)", equality(b"cn", b"Babs Jensen")),
        ("cn=x", equality(b"cn", b"x")),
        ("(!(cn=Tim Howes))", ber.tlv(0xA2, equality(b"cn", b"Tim Howes"))),
        (
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
            ber.tlv(
                0xA0,
                equality(b"objectClass", b"Person"),
                ber.tlv(
                    0xA1,
                    equality(b"sn", b"Jensen"),
                    ber.tlv(
                        0xA4,
                        ber.octets(b"cn"),
                        ber.tlv(ber.SEQUENCE, ber.octets(b"Babs J", 0x80)),
                    ),
                ),
            ),
        ),
        (
            "(o=univ*of*mich*)",
            ber.tlv(
                0xA4,
                ber.octets(b"o"),
                ber.tlv(
                    ber.SEQUENCE,
                    ber.octets(b"univ", 0x80),
                    ber.octets(b"of", 0x81),
                    ber.octets(b"mich", 0x81),
                ),
            ),
        ),
        ("(seeAlso=)", equality(b"seeAlso", b"")),
        ("(mail=*)", ber.octets(b"mail", 0x87)),
        ("(n>=5)", equality(b"n", b"5", 0xA5)),
        ("(n<=5)", equality(b"n", b"5", 0xA6)),
        ("(n~=5)", equality(b"n", b"5", 0xA8)),
        (
            "(cn:caseExactMatch:=Fred Flintstone)",
            ber.tlv(
                0xA9,
                ber.octets(b"caseExactMatch", 0x81),
                ber.octets(b"cn", 0x82),
                ber.octets(b"Fred Flintstone", 0x83),
            ),
        ),
        (
            "(sn:dn:2.4.6.8.10:=Barney Rubble)",
            ber.tlv(
                0xA9,
                ber.octets(b"2.4.6.8.10", 0x81),
                ber.octets(b"sn", 0x82),
                ber.octets(b"Barney Rubble", 0x83),
                ber.boolean(True, 0x84),
            ),
        ),
        (
            "(o:dn:=Ace Industry)",
            ber.tlv(
                0xA9,
                ber.octets(b"o", 0x82),
                ber.octets(b"Ace Industry", 0x83),
                ber.boolean(True, 0x84),
            ),
        ),
        (
            "(:1.2.3:=Wilma)",
            ber.tlv(0xA9, ber.octets(b"1.2.3", 0x81), ber.octets(b"Wilma", 0x83)),
        ),
        (
            "(o=Parens R Us \\28for all your parenthetical needs\\29)",
            equality(b"o", b"Parens R Us (for all your parenthetical needs)"),
        ),
        (
            "(cn=*\\2A*)",
            ber.tlv(0xA4, ber.octets(b"cn"), ber.tlv(ber.SEQUENCE, ber.octets(b"*", 0x81))),
        ),
        ("(filename=C:\\5cMyFile)", equality(b"filename", b"C:\\MyFile")),
        ("(bin=\\00\\00\\00\\04)", equality(b"bin", b"\0\0\0\4")),
        ("(sn=Lu\\c4\\8di\\c4\\87)", equality(b"sn", "Lučić".encode())),
        ("(cn;lang-de=x)", equality(b"cn;lang-de", b"x")),
    ],
)
def test_encoded(text: str, wanted: bytes) -> None:
    assert filters.encode(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(",
        ")",
        "()",
        "(cn)",
        "(cn=x",
        "(cn=x))",
        "(cn=x)(cn=y)",
        "((cn=x))",
        "(&(cn=x)",
        "(!cn=x)",
        "(!(a=b)(c=d))",
        "(cn=a(b)",
        "(cn=\\2)",
        "(cn=\\zz)",
        "(cn=\\)",
        "(1cn=x)",
        "(c n=x)",
        "(=x)",
        "(n>=a*)",
        "(a=b**c)",
        "(:=x)",
        "(a:b:c:=x)",
        "(a:dn:b:=x*)",
        "(!" * 60 + "(a=b)" + ")" * 60,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(filters.FilterError):
        filters.encode(text)


@given(st.text())
def test_an_escaped_value_is_only_ever_a_value(value: str) -> None:
    wanted = equality(b"mail", value.encode("utf-8", "surrogateescape"))
    assert filters.encode(f"(mail={filters.escape(value)})") == wanted


@given(st.text(alphabet="()*\\=&|!<>~: ax0\0", max_size=30))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        encoded = filters.encode(text)
    except filters.FilterError:
        return
    assert ber.header(encoded) is not None
