from hypothesis import given
from hypothesis import strategies as st

from restante.mime import parse
from restante.store.facts import Facts, check_record, compute_facts

WIRE = (
    b"From: Ann <a@b>\r\nX-Odd: 1\r\nSubject: s\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\none\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    b"--c\r\nContent-Type: text/html\r\n\r\ntwo\r\n--c--\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: flat\r\n\r\nthree\r\n"
    b"--b\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n"
    b"--d\r\nContent-Transfer-Encoding: BASE64\r\n\r\nfour\r\n--d--\r\n"
    b"--b--\r\n"
)


def body(facts: Facts, *path: int) -> bytes | None:
    section = facts.section(path)
    return None if section is None else WIRE[section.body : section.end]


def test_the_usual_answers() -> None:
    facts = compute_facts(WIRE)
    assert facts.wire_size == len(WIRE)
    assert WIRE[: facts.header_size].endswith(b"boundary=b\r\n\r\n")
    assert (facts.sent, facts.sent_zone) == (880127706, -360)
    assert facts.envelope.startswith(
        b'("Fri, 21 Nov 1997 09:55:06 -0600" "s" (("Ann" NIL "a" "b"))'
    )
    assert facts.bodystructure.startswith(b'(("text" "plain" ("charset" "us-ascii")')
    assert facts.body.endswith(b'"mixed")')
    assert facts.header.startswith(b"From: Ann <a@b>\r\nSubject: s\r\nDate")


def test_header_fields() -> None:
    facts = compute_facts(WIRE)
    assert facts.header_fields([b"subject", b"from"]) == b"From: Ann <a@b>\r\nSubject: s\r\n\r\n"
    assert facts.header_fields([b"cc"]) == b"\r\n"
    assert facts.header_fields([b"subject", b"x-odd"]) is None


def test_sections() -> None:
    facts = compute_facts(WIRE)
    assert body(facts, 1) == b"one"
    assert body(facts, 1, 1) is None
    assert body(facts, 2, 1) == b"two"
    assert body(facts, 2, 2) is None
    assert body(facts, 2, 1, 1) is None
    assert body(facts, 3, 1) == b"three"
    assert body(facts, 3, 2) is None
    assert body(facts, 4, 1) == b"four"
    assert body(facts, 5) is None
    assert body(facts, 0) is None
    second = facts.section([2])
    assert second is not None
    assert second.message is not None
    header, middle, end = second.message
    assert WIRE[header:middle].startswith(b"Subject: inner")
    assert end == second.end
    assert WIRE[second.header : second.body] == b"Content-Type: message/rfc822\r\n\r\n"
    fourth = facts.section([4, 1])
    assert fourth is not None
    assert fourth.encoding == b"base64"


def test_a_plain_message_has_part_1() -> None:
    section = compute_facts(b"Subject: x\r\n\r\nhello").section([1])
    assert section is not None
    assert (section.body, section.end) == (14, 19)
    assert compute_facts(b"Subject: x\r\n\r\nhello").section([1, 1]) is None
    assert compute_facts(b"Subject: x\r\n\r\nhello").section([2]) is None


def test_no_date() -> None:
    assert compute_facts(b"Date: never\r\n\r\n").sent is None


def test_a_huge_usual_header_is_left_out() -> None:
    facts = compute_facts(b"".join(b"X-Mailer: %070d\r\n" % i for i in range(1000)) + b"\r\n")
    assert facts.header == b""
    assert facts.header_fields([b"x-mailer"]) is None


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_any_bytes(wire: bytes, before: bytes) -> None:
    facts = compute_facts(wire)
    packed = facts.pack()
    moved = Facts(before + packed + b"x", len(before))
    assert moved == facts
    assert (moved.envelope, moved.body) == (facts.envelope, facts.body)
    assert check_record(before + packed, len(before), len(packed))
    assert not check_record(packed, 0, len(packed) - 1)
    root = parse(wire)
    first = facts.section([1])
    assert first is not None
    if not root.is_multipart:
        assert (first.body, first.end) == (root.body, root.end)
