"""The player itself: a wrong answer must not pass."""

import pytest

from tests.services.imap.wire import Wire
from tests.transcripts.imap.script import Player
from tests.transcripts.imap.values import response


def no_wire() -> Wire:
    raise AssertionError("no connection is needed here")


def same(wanted: str, seen: str) -> bool:
    player = Player("test", no_wire)
    return player._is(response(wanted.encode()), response(seen.encode()))


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ("* 3 EXISTS", "* 3 EXISTS"),
        ("* 1 FETCH (UID 7)", "* 1 FETCH (FLAGS () UID 7)"),
        (r"* 1 FETCH (FLAGS (\Seen a))", r"* 1 FETCH (FLAGS (a \Recent \seen))"),
        ('* 1 FETCH (BODY[1] "ab")', "* 1 FETCH (BODY[1] {2}\r\nab)"),
        (
            '* 1 FETCH (BODY[HEADER.FIELDS (A B)] "x")',
            '* 1 FETCH (BODY[HEADER.FIELDS (A B)] "x" UID 1)',
        ),
        ("* STATUS INBOX (MESSAGES 1)", '* STATUS "INBOX" (UNSEEN 0 MESSAGES 1)'),
        (r"* LIST (\Sent) . a", r'* LIST (\HasNoChildren \Sent) "." a'),
        ("* SEARCH 1 2", "* SEARCH 2 1"),
        ("* ESEARCH (TAG _) COUNT 2 MIN 1", '* ESEARCH (TAG "x") MIN 1 COUNT 2'),
        ("* OK [UIDNEXT _]", "* OK [UIDNEXT 4] Predicted"),
        ("* FLAGS ...", "* FLAGS (a b)"),
        ("* 1 FETCH (X (<a> <a>))", "* 1 FETCH (X (5 5))"),
    ],
)
def test_right_answers_pass(wanted: str, seen: str) -> None:
    assert same(wanted, seen)


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ("* 3 EXISTS", "* 4 EXISTS"),
        ("* 1 FETCH (UID 7)", "* 1 FETCH (UID 8)"),
        ("* 1 FETCH (UID 7)", "* 2 FETCH (UID 7)"),
        ("* 1 FETCH (UID 7)", "* 1 FETCH (FLAGS ())"),
        (r"* 1 FETCH (FLAGS (\Seen))", r"* 1 FETCH (FLAGS ())"),
        (r"* 1 FETCH (FLAGS (\Seen))", r"* 1 FETCH (FLAGS (\Seen \Deleted))"),
        ('* 1 FETCH (BODY[1] "ab")', '* 1 FETCH (BODY[1] "aB\xe4")'),
        ("* STATUS INBOX (MESSAGES 1)", "* STATUS INBOX (MESSAGES 2)"),
        (r"* LIST (\Sent) . a", r"* LIST (\HasNoChildren) . a"),
        (r"* LIST () . a", r"* LIST () / a"),
        ("* SEARCH 1 2", "* SEARCH 1 2 3"),
        ("* SEARCH", "* SEARCH 1"),
        ("* ESEARCH (TAG _) COUNT 2", '* ESEARCH (TAG "x") COUNT 2 MIN 1'),
        ("* ESEARCH (TAG _) COUNT 2", '* ESEARCH (TAG "x") UID COUNT 2'),
        ("* OK [UIDNEXT 3]", "* OK [UIDNEXT 4] Predicted"),
        ("* 1 FETCH (X (<a> <a>))", "* 1 FETCH (X (5 6))"),
    ],
)
def test_wrong_answers_fail(wanted: str, seen: str) -> None:
    assert not same(wanted, seen)
