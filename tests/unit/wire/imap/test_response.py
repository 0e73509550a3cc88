"""Status, continuation and untagged responses as octets."""

from hypothesis import given
from hypothesis import strategies as st

from restante.model import ErrorKind
from restante.wire.imap import response, untagged


def test_status_lines() -> None:
    assert response.ok("a", "Done.") == b"a OK Done.\r\n"
    assert response.status("a", "NO", "Full.", "OVERQUOTA") == b"a NO [OVERQUOTA] Full.\r\n"
    assert response.status(None, "BAD", "What?") == b"* BAD What?\r\n"
    assert response.bye("See you.") == b"* BYE See you.\r\n"
    assert response.ok("a", "") == b"a OK -\r\n"  # the grammar wants a text


def test_continuations() -> None:
    assert response.continuation() == b"+ OK\r\n"
    assert response.continuation("go\r\non") == b"+ go on\r\n"


@given(st.text(max_size=40))
def test_a_text_is_always_one_line(text: str) -> None:
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        return
    for line in (response.ok("a", text), response.continuation(text)):
        assert line.count(b"\n") == 1
        assert line.count(b"\r") == 1
        assert line.endswith(b"\r\n")
        assert b"\0" not in line
    assert octets.strip(b"\r\n\0") == b"" or len(response.ok("a", text)) > 7


def test_every_kind_of_error_has_its_status() -> None:
    assert response.STATUS_OF.keys() == set(ErrorKind)
    assert all(word in ("NO", "BAD") and code for word, code in response.STATUS_OF.values())


def test_a_fault_that_may_pass_never_looks_like_a_wrong_password() -> None:
    assert response.STATUS_OF[ErrorKind.TEMPORARY] == ("NO", "UNAVAILABLE")


def test_lists() -> None:
    assert untagged.capability(["IMAP4rev1", "IDLE"]) == b"* CAPABILITY IMAP4rev1 IDLE\r\n"
    assert untagged.enabled([]) == b"* ENABLED\r\n"
    assert untagged.enabled(["CONDSTORE"]) == b"* ENABLED CONDSTORE\r\n"
    assert untagged.identity({}) == b"* ID NIL\r\n"
    assert untagged.identity({"name": 'a"b'}) == b'* ID ("name" "a\\"b")\r\n'
    assert untagged.namespace(b"INBOX.", b".") == b'* NAMESPACE (("INBOX." ".")) NIL NIL\r\n'


def test_mailboxes() -> None:
    assert (
        untagged.listing(["\\HasNoChildren", "\\Sent"], b".", b"INBOX.Sent")
        == b'* LIST (\\HasNoChildren \\Sent) "." "INBOX.Sent"\r\n'
    )
    assert untagged.listing([], b"", b'a"b', word="LSUB") == b'* LSUB () NIL "a\\"b"\r\n'
    assert untagged.listing([], b"/", b"a", child_info=["SUBSCRIBED"]) == (
        b'* LIST () "/" "a" ("CHILDINFO" ("SUBSCRIBED"))\r\n'
    )
    assert untagged.listing([], b"\\", b"a") == b'* LIST () "\\\\" "a"\r\n'
    assert untagged.status(b"INBOX", [("MESSAGES", 3), ("SIZE", 9)]) == (
        b'* STATUS "INBOX" (MESSAGES 3 SIZE 9)\r\n'
    )


def test_searches() -> None:
    assert untagged.search([]) == b"* SEARCH\r\n"
    assert untagged.search([], 5) == b"* SEARCH\r\n"
    assert untagged.search([1, 4]) == b"* SEARCH 1 4\r\n"
    assert untagged.search([1], 5) == b"* SEARCH 1 (MODSEQ 5)\r\n"
    assert untagged.esearch("a", uid=False) == b'* ESEARCH (TAG "a")\r\n'
    assert untagged.esearch("a", uid=False, numbers=[], count=0) == (
        b'* ESEARCH (TAG "a") COUNT 0\r\n'
    )
    assert untagged.esearch("a", uid=True, low=1, high=9, numbers=[1, 2, 9], count=3, modseq=8) == (
        b'* ESEARCH (TAG "a") UID MIN 1 MAX 9 ALL 1:2,9 COUNT 3 MODSEQ 8\r\n'
    )


def test_quotas() -> None:
    assert untagged.quota_root(b"INBOX", [b""]) == b'* QUOTAROOT "INBOX" ""\r\n'
    assert untagged.quota(b"", [("STORAGE", 1, 10), ("MESSAGE", 2, 20)]) == (
        b'* QUOTA "" (STORAGE 1 10 MESSAGE 2 20)\r\n'
    )
    assert untagged.quota(b"", []) == b'* QUOTA "" ()\r\n'
