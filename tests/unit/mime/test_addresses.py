import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.mime.addresses import parse_addresses
from restante.model import Mailbox

Entry = tuple[bytes | None, bytes | None, bytes | None, bytes | None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b.c", [(None, None, b"a", b"b.c")]),
        (b" Ann  Example <a@b.c> ,", [(b"Ann Example", None, b"a", b"b.c")]),
        (b'"Ex, Ann" <a@b.c>, x@y', [(b"Ex, Ann", None, b"a", b"b.c"), (None, None, b"x", b"y")]),
        (b'"a\\"b" <a@b>', [(b'a"b', None, b"a", b"b")]),
        (b"John Q. Public <a@b>", [(b"John Q. Public", None, b"a", b"b")]),
        (b"=?utf-8?q?=C3=A4?= <a@b>", [(b"=?utf-8?q?=C3=A4?=", None, b"a", b"b")]),
        (b"<a@b>", [(None, None, b"a", b"b")]),
        (b'"a b"@c', [(None, None, b"a b", b"c")]),
        (b"a@[1.2.3.4]", [(None, None, b"a", b"[1.2.3.4]")]),
        (b"a@b (Ann (x) E)", [(b"Ann (x) E", None, b"a", b"b")]),
        (b"Ann (c) <a@b>", [(b"Ann", None, b"a", b"b")]),
        (b"M <@r1,@r2:a@b>", [(b"M", b"@r1,@r2", b"a", b"b")]),
        (b"j@test   . example", [(None, None, b"j", b"test.example")]),
        (
            b"Team: a@b, C <c@d>; , e@f",
            [
                (None, None, b"Team", None),
                (None, None, b"a", b"b"),
                (b"C", None, b"c", b"d"),
                (None, None, None, None),
                (None, None, b"e", b"f"),
            ],
        ),
        (b"undisclosed:;", [(None, None, b"undisclosed", None), (None, None, None, None)]),
        (b"open: a@b", [(None, None, b"open", None), (None, None, b"a", b"b"), (None,) * 4]),
        (b"alice", [(None, None, b"alice", b"")]),
        (b"Big Bug", [(b"Big Bug", None, b"", b"")]),
        (b"Big Bug bb@bug.com", [(b"Big Bug", None, b"bb", b"bug.com")]),
        (b"a@b@c, d@e", [(None, None, b"a", b"b"), (None, None, b"d", b"e")]),
        (b"a@b <c@d>", [(b"a@b", None, b"c", b"d")]),
        # Text behind the closing angle cannot become another address (CVE-2023-27043).
        (b"A <a@b> <c@d>, e@f", [(b"A", None, b"a", b"b"), (None, None, b"e", b"f")]),
        (b"<a@b", [(None, None, b"a", b"b")]),
        (b"<a@b, c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"", []),
        (b" , ,; ", []),
        (b"((((", []),
    ],
)
def test_addresses(value: bytes, expected: list[Entry]) -> None:
    assert [(m.name, m.route, m.mailbox, m.host) for m in parse_addresses(value)] == expected


def test_the_number_is_bounded() -> None:
    assert len(parse_addresses(b"a@b," * 10_000)) == 4096
    assert len(parse_addresses(b"(c) a@b," * 10_000)) == 4096


PIECES = st.sampled_from([bytes((byte,)) for byte in b'"\\()<>@,;:[] a.\0\xff'] + [b"=?"])


@given(st.lists(PIECES).map(b"".join))
def test_any_input_gives_well_formed_entries(value: bytes) -> None:
    open_groups = 0
    for mailbox in parse_addresses(value):
        assert isinstance(mailbox, Mailbox)
        if mailbox.host is None:
            open_groups += 1 if mailbox.mailbox is not None else -1
            assert 0 <= open_groups <= 1
        else:
            assert mailbox.mailbox is not None
    assert open_groups == 0
