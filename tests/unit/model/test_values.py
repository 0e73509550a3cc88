"""Quota, options, flags, file names and folder names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import ErrorKind, Flag, MailError, MessageName, Options, Quota
from restante.model.flag import flags_of
from restante.model.folder_name import folder_name


@pytest.mark.parametrize(
    ("text", "size", "count"),
    [
        ("10000000S,1000C", 10_000_000, 1000),
        ("1000C,10000000S", 10_000_000, 1000),
        ("5S", 5, 0),
        ("7C", 0, 7),
        ("", 0, 0),
        ("0S", 0, 0),
    ],
)
def test_quota_reads_maildirpp(text: str, size: int, count: int) -> None:
    assert Quota.parse(text) == Quota(size, count)
    assert Quota.parse(str(Quota(size, count))) == Quota(size, count)


@pytest.mark.parametrize("text", ["x", "10", "-1S", "1.5S", "S", "1s", "١S", "1" * 30 + "S"])
def test_quota_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(MailError) as caught:
        Quota.parse(text)
    assert caught.value.kind is ErrorKind.BAD_REQUEST


@pytest.mark.parametrize(
    ("value", "on"),
    [
        ("1", True),
        ("2", True),
        ("t", True),
        ("True", True),
        ("yes", True),
        ("Y", True),
        ("0", False),
        ("", True),  # as Courier's servers: tests/contract/test_options.py
        ("no", False),
        ("00", False),
        ("-1", True),
        ("10x", True),
    ],
)
def test_options_switch_as_courier(value: str, on: bool) -> None:
    assert Options.parse(f"disableimap={value}").enabled("disableimap") is on


def test_options_keep_repeats_and_take_absent_defaults() -> None:
    own = Options.parse("group=a, group=b,disablepop3=0,bare")
    assert own.all("group") == ("a", "b")
    merged = own.merged(Options.parse("disablepop3=1,wbnodsn=1,group=c"))
    assert str(merged) == "group=a,group=b,disablepop3=0,bare,wbnodsn=1"
    assert not merged.enabled("disablepop3")
    assert merged.enabled("bare")
    assert not merged.enabled("absent")


@given(st.integers(0, 63), st.sampled_from(["", "ab", "x"]))
def test_message_name_round_trip(mask: int, other: str) -> None:
    name = MessageName("1700000000.M1P2Q3R4.host,S=12,W=13", Flag(mask), other)
    again = MessageName.parse(name.filename())
    assert again == name
    assert (again.size, again.wire_size) == (12, 13)
    letters = name.filename().partition(":2,")[2]
    assert letters == "".join(sorted(letters))


@given(st.text(alphabet=st.characters(blacklist_characters="/\0"), min_size=1))
def test_any_file_name_parses_and_renders_stably(text: str) -> None:
    once = MessageName.parse(text).filename()
    assert MessageName.parse(once).filename() == once


def test_sizes_of_names_by_others() -> None:
    assert MessageName.parse("1.2.h").size is None
    assert MessageName.parse("1.2.h,S=x:2,S").size is None
    assert MessageName.parse("1.2.h,S=5:2,FS").size == 5
    assert flags_of("SFab") == Flag.SEEN | Flag.FLAGGED


@pytest.mark.parametrize(
    "parts",
    [
        ("..",),
        ("a.b",),
        ("a/b",),
        ("",),
        ("a", ""),
        ("a\0",),
        ("a\r\n",),
        ("~root",),
        ("x" * 241,),
        ("ü" * 121,),
        tuple("a" * 33),
        ("inbox",),
        ("\ud800",),
        ("\u2028",),
    ],
)
def test_folder_names_that_are_not_allowed(parts: tuple[str, ...]) -> None:
    with pytest.raises(MailError) as caught:
        folder_name(parts)
    assert caught.value.kind is ErrorKind.CANNOT


def test_folder_names_are_normalised() -> None:
    assert folder_name(("Entwu\u0308rfe", "2026")) == ("Entw\u00fcrfe", "2026")
    assert folder_name(("Inbox", "x")) == ("Inbox", "x")
    assert folder_name(()) == ()
