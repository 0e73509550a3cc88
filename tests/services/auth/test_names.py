"""Logins, canonical addresses and homes; the attack row "path traversal: user ../bob"."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import MailError
from services.auth.names import NameRules, domain_name, homes, is_safe


def test_spellings_of_one_login() -> None:
    rules = NameRules("example.test")
    spellings = ("fred", "FRED", "Fred@Example.TEST", "fred@example.test.")
    assert {rules.parse(text).address for text in spellings} == {"fred@example.test"}
    assert NameRules("", fold_case=False).parse("Fred@Example.TEST").address == "Fred@example.test"
    assert NameRules().parse("fred").address == "fred"
    assert rules.parse("jose\u0301").address == "jos\u00e9@example.test"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@example.test",
        "../bob",
        "../bob@example.test",
        "a/b@example.test",
        "/etc/passwd",
        ".",
        "..",
        ".hidden@example.test",
        "a..b@example.test",
        "fred@",
        "fred@..",
        "fred@../x",
        "fred@.example.test",
        "fred@[192.0.2.1]",
        "fred@a@b",
        "fr ed@example.test",
        "fred\0@example.test",
        "fred\n@example.test",
        "fred@example.test\r\nx",
        '"a/b"@example.test',
        '"../x"@example.test',
        '"fred@2"@example.test',
        "x" * 200 + "@example.test",
        "fred@" + "d" * 300,
        "alice@a.org)<bob@b.org>",
        "<fred@example.test>",
        "\ud800@example.test",
    ],
)
def test_what_is_no_login(text: str) -> None:
    with pytest.raises(MailError):
        NameRules("example.test").parse(text)


@given(st.text(max_size=40))
def test_no_login_leaves_its_place(text: str) -> None:
    try:
        login = NameRules("example.test").parse(text)
    except MailError:
        return
    assert is_safe(login.local, login.domain)
    home = next(homes(login.local, login.domain))
    parts = home.split("/")
    assert len(parts) == 4
    assert all(part and part not in (".", "..") and "\0" not in part for part in parts)
    again = NameRules("example.test").parse(login.address)
    assert (again.local, again.domain) == (login.local, login.domain)


def test_homes_are_hashed() -> None:
    assert list(islice(homes("fred", "example.test"), 3)) == [
        "example.test/f/fr/fred",
        "example.test/f/fr/fred@2",
        "example.test/f/fr/fred@3",
    ]
    assert next(homes("x", "example.test")) == "example.test/x/x/x"
    assert next(homes("fr", "")) == "f/fr/fr"


def test_domains() -> None:
    assert domain_name("Example.TEST.") == "example.test"
    for bad in ("", "..", "a/b", "[192.0.2.1]", "a@b", "a b", "-x", "x\0"):
        with pytest.raises(MailError):
            domain_name(bad)
