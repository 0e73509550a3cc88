"""IMAP names and folders, in both layouts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import INBOX, ErrorKind, FolderName, MailError
from restante.model.folder_name import folder_name
from restante.wire.imap.mailbox_name import MailboxNames

COURIER = MailboxNames()
SLASH = MailboxNames("/", "")


def folders() -> st.SearchStrategy[FolderName]:
    part = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)

    def checked(parts: list[str]) -> FolderName | None:
        try:
            return folder_name(tuple(parts))
        except MailError:
            return None

    made = st.lists(part, max_size=4).map(checked)
    return made.filter(lambda name: name is not None).map(lambda name: name or INBOX)


@pytest.mark.parametrize("names", [COURIER, SLASH])
@pytest.mark.parametrize("utf8", [False, True])
@given(name=folders())
def test_round_trip(names: MailboxNames, utf8: bool, name: FolderName) -> None:
    assert names.decode(names.encode(name, utf8=utf8), utf8=utf8) == name


@pytest.mark.parametrize(
    ("names", "raw", "folder"),
    [
        (COURIER, b"inbox", INBOX),
        (COURIER, b"INBOX.Sent", ("Sent",)),
        (COURIER, b"inbox.Sent.2024", ("Sent", "2024")),
        (COURIER, b"INBOX.Entw&APw-rfe", ("Entwürfe",)),
        (SLASH, b"InBox", INBOX),
        (SLASH, b"Sent/2024", ("Sent", "2024")),
    ],
)
def test_names(names: MailboxNames, raw: bytes, folder: FolderName) -> None:
    assert names.decode(raw) == folder


def test_utf8_names_once_enabled() -> None:
    assert COURIER.decode("INBOX.Entwürfe".encode(), utf8=True) == ("Entwürfe",)
    assert COURIER.decode(b"INBOX.A&-B", utf8=True) == ("A&-B",)
    assert COURIER.encode(("Entwürfe",), utf8=True) == "INBOX.Entwürfe".encode()


def test_create_allows_one_separator_at_the_end() -> None:
    assert COURIER.decode(b"INBOX.a.", create=True) == ("a",)
    assert COURIER.decode(b"INBOX.", create=True) == INBOX
    assert SLASH.decode(b"a/", create=True) == ("a",)
    for raw in (b"INBOX.a..", b"INBOX.."):
        with pytest.raises(MailError):
            COURIER.decode(raw, create=True)


@pytest.mark.parametrize(
    ("names", "raw"),
    [
        (COURIER, b""),
        (COURIER, b"Sent"),
        (COURIER, b"INBOX."),
        (COURIER, b"INBOX.a."),
        (COURIER, b"INBOX..a"),
        (COURIER, b"INBOX.../../x"),
        (COURIER, b"INBOX.a/b"),
        (COURIER, b"INBOX.inbox"),
        (COURIER, b"INBOX.a\0"),
        (COURIER, b"INBOX.&AGE-"),
        (COURIER, b"INBOX.\xe4"),
        (COURIER, b"INBOX." + b"x" * 5000),
        (COURIER, b"INBOX." + b".".join([b"x"] * 40)),
        (COURIER, b"INBOX.~root"),
        (COURIER, b"#shared.x"),
        (SLASH, b"../../x"),
        (SLASH, b"a/../b"),
        (SLASH, b"."),
        (SLASH, b".."),
        (SLASH, b"/etc/passwd"),
        (SLASH, b"a//b"),
        (SLASH, b"a/"),
        (SLASH, b"a.b"),
    ],
)
def test_names_that_no_folder_can_have(names: MailboxNames, raw: bytes) -> None:
    with pytest.raises(MailError) as caught:
        names.decode(raw)
    assert caught.value.kind is ErrorKind.CANNOT
