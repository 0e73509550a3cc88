"""Every command: its value, at every split point of its octets, and what is refused."""

from dataclasses import FrozenInstanceError
from datetime import date

import pytest

from restante.model import NO_FLAGS, Flag
from restante.wire.imap import search_keys as k
from restante.wire.imap.commands import (
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Expunge,
    Fetch,
    GetQuota,
    GetQuotaRoot,
    Id,
    Idle,
    List,
    ListReturn,
    ListSelect,
    Login,
    Logout,
    Lsub,
    Move,
    Namespace,
    Noop,
    Qresync,
    Rename,
    Search,
    SearchReturn,
    Select,
    SetQuota,
    StartTls,
    Status,
    StatusItem,
    Store,
    StoreMode,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from restante.wire.imap.events import LiteralRequest
from restante.wire.imap.fetch_items import FetchAtt, FetchItems, Section, SectionText, Transfer
from restante.wire.imap.sequence_set import STAR, SequenceSet
from tests.unit.wire.imap.streams import command_of, error_of, events_of


def numbers(text: bytes) -> SequenceSet:
    return SequenceSet.parse(text)


def items(mask: FetchAtt, *sections: Section) -> FetchItems:
    return FetchItems(mask, sections)


NONE = FetchAtt(0)
SEEN = k.HasFlag(Flag.SEEN)
FEB = date(1994, 2, 1)

COMMANDS: list[tuple[bytes, Command]] = [
    (b"a CAPABILITY", Capability("a")),
    (b"a1. noop  ", Noop("a1.")),
    (b"x LOGOUT", Logout("x")),
    (b"a ID NIL", Id("a")),
    (b"a ID ()", Id("a")),
    (b'a ID ("Name" "mutt" "os" NIL)', Id("a", ((b"name", b"mutt"), (b"os", None)))),
    (b"a STARTTLS", StartTls("a")),
    (b"a AUTHENTICATE plain", Authenticate("a", "PLAIN")),
    (b"a AUTHENTICATE PLAIN =", Authenticate("a", "PLAIN", b"")),
    (b"a AUTHENTICATE PLAIN AGEAYg==", Authenticate("a", "PLAIN", b"\0a\0b")),
    (b"a LOGIN fred@x.test secret", Login("a", b"fred@x.test", b"secret")),
    (b'a LOGIN "f" "a\\"b\\\\ {5}"', Login("a", b"f", b'a"b\\ {5}')),
    (b"a LOGIN {1}\r\nf {4+}\r\n\r\n x", Login("a", b"f", b"\r\n x")),
    (b"a LOGIN {0}\r\n {0+}\r\n", Login("a", b"", b"")),
    (b"a LOGIN fred*master 50%*", Login("a", b"fred*master", b"50%*")),
    (b"a LOGIN {5+}\r\n{3}\r\n x", Login("a", b"{3}\r\n", b"x")),
    (b'a LOGIN f "p\xc3\xa4"', Login("a", b"f", b"p\xc3\xa4")),
    (b"a ENABLE condstore X-Y", Enable("a", ("CONDSTORE", "X-Y"))),
    (b"a SELECT INBOX", Select("a", b"INBOX")),
    (b'a SELECT "in box" (CONDSTORE)', Select("a", b"in box", condstore=True)),
    (b"a EXAMINE x", Select("a", b"x", examine=True)),
    (b"a SELECT x (QRESYNC (67 9001))", Select("a", b"x", qresync=Qresync(67, 9001))),
    (
        b"a SELECT x (QRESYNC (1 2 1:9 (1,3 7,9)) CONDSTORE)",
        Select(
            "a",
            b"x",
            condstore=True,
            qresync=Qresync(1, 2, numbers(b"1:9"), numbers(b"1,3"), numbers(b"7,9")),
        ),
    ),
    (
        b"a SELECT x (QRESYNC (1 2 (1,3 7,9)))",
        Select("a", b"x", qresync=Qresync(1, 2, None, numbers(b"1,3"), numbers(b"7,9"))),
    ),
    (b"a CHECK", Check("a")),
    (b"a CLOSE", Close("a")),
    (b"a UNSELECT", Unselect("a")),
    (b"a CREATE INBOX.new", Create("a", b"INBOX.new")),
    (b"a CREATE x (USE (\\Sent \\Junk))", Create("a", b"x", ("\\Sent", "\\Junk"))),
    (b"a CREATE x (USE ())", Create("a", b"x")),
    (b"a DELETE x", Delete("a", b"x")),
    (b"a RENAME x {3+}\r\ny z", Rename("a", b"x", b"y z")),
    (b"a SUBSCRIBE x", Subscribe("a", b"x")),
    (b"a UNSUBSCRIBE x", Unsubscribe("a", b"x")),
    (b'a LIST "" %', List("a", b"", (b"%",))),
    (b'a LIST "" ""', List("a", b"", (b"",))),
    (b"a LIST INBOX. {1+}\r\n*", List("a", b"INBOX.", (b"*",))),
    (
        b'a LIST (SUBSCRIBED RECURSIVEMATCH) "" (% "b*") RETURN (CHILDREN SPECIAL-USE SUBSCRIBED)',
        List(
            "a",
            b"",
            (b"%", b"b*"),
            extended=True,
            select=ListSelect.SUBSCRIBED | ListSelect.RECURSIVEMATCH,
            returns=ListReturn.CHILDREN | ListReturn.SPECIAL_USE | ListReturn.SUBSCRIBED,
        ),
    ),
    (
        b'a LIST (SPECIAL-USE) "" * RETURN (STATUS (MESSAGES UNSEEN))',
        List(
            "a",
            b"",
            (b"*",),
            extended=True,
            select=ListSelect.SPECIAL_USE,
            status=StatusItem.MESSAGES | StatusItem.UNSEEN,
        ),
    ),
    (b'a LIST () "" * RETURN ()', List("a", b"", (b"*",), extended=True)),
    (b'a LSUB "" *', Lsub("a", b"", b"*")),
    (b"a NAMESPACE", Namespace("a")),
    (
        b"a STATUS INBOX (UIDNEXT messages SIZE HIGHESTMODSEQ)",
        Status(
            "a",
            b"INBOX",
            StatusItem.UIDNEXT | StatusItem.MESSAGES | StatusItem.SIZE | StatusItem.HIGHESTMODSEQ,
        ),
    ),
    (b"a IDLE", Idle("a")),
    (b"a FETCH 1 FLAGS", Fetch("a", False, numbers(b"1"), items(FetchAtt.FLAGS))),
    (
        b"a UID FETCH 1:* (FLAGS)",
        Fetch("a", True, SequenceSet(((1, STAR),)), items(FetchAtt.FLAGS | FetchAtt.UID)),
    ),
    (
        b"a FETCH 2,4:7 ALL",
        Fetch(
            "a",
            False,
            numbers(b"2,4:7"),
            items(FetchAtt.FLAGS | FetchAtt.INTERNALDATE | FetchAtt.SIZE | FetchAtt.ENVELOPE),
        ),
    ),
    (
        b"a FETCH $ (UID RFC822.SIZE BODYSTRUCTURE BODY ENVELOPE MODSEQ)",
        Fetch(
            "a",
            False,
            SequenceSet((), True),
            items(
                FetchAtt.UID
                | FetchAtt.SIZE
                | FetchAtt.BODYSTRUCTURE
                | FetchAtt.BODY
                | FetchAtt.ENVELOPE
                | FetchAtt.MODSEQ
            ),
        ),
    ),
    (
        b"a UID FETCH 1 (FLAGS) (CHANGEDSINCE 12 VANISHED)",
        Fetch(
            "a",
            True,
            numbers(b"1"),
            items(FetchAtt.FLAGS | FetchAtt.UID | FetchAtt.MODSEQ),
            12,
            True,
        ),
    ),
    (
        b"a FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT)",
        Fetch(
            "a",
            False,
            numbers(b"1"),
            items(
                NONE,
                Section(b"RFC822"),
                Section(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),
                Section(b"RFC822.TEXT", text=SectionText.TEXT),
            ),
        ),
    ),
    (
        b"a FETCH 1 body.peek[header.fields (From {2+}\r\nTo)]<10.20>",
        Fetch(
            "a",
            False,
            numbers(b"1"),
            items(
                NONE,
                Section(
                    b"BODY[HEADER.FIELDS (From To)]<10>",
                    text=SectionText.FIELDS,
                    fields=(b"FROM", b"TO"),
                    peek=True,
                    partial=(10, 20),
                ),
            ),
        ),
    ),
    (
        b"a FETCH 1 (BODY[] BODY[1.2] BODY[3.MIME] BODY[1.HEADER.FIELDS.NOT (X)] BODY[TEXT])",
        Fetch(
            "a",
            False,
            numbers(b"1"),
            items(
                NONE,
                Section(b"BODY[]"),
                Section(b"BODY[1.2]", (1, 2)),
                Section(b"BODY[3.MIME]", (3,), SectionText.MIME),
                Section(b"BODY[1.HEADER.FIELDS.NOT (X)]", (1,), SectionText.FIELDS_NOT, (b"X",)),
                Section(b"BODY[TEXT]", text=SectionText.TEXT),
            ),
        ),
    ),
    (
        b"a FETCH 1 (BINARY.PEEK[1]<0.5> BINARY.SIZE[1.2])",
        Fetch(
            "a",
            False,
            numbers(b"1"),
            items(
                NONE,
                Section(
                    b"BINARY[1]<0>", (1,), peek=True, partial=(0, 5), transfer=Transfer.DECODED
                ),
                Section(b"BINARY.SIZE[1.2]", (1, 2), peek=True, transfer=Transfer.DECODED_SIZE),
            ),
        ),
    ),
    (
        b"a STORE 1:3 +FLAGS.SILENT (\\Deleted work)",
        Store("a", False, numbers(b"1:3"), StoreMode.ADD, True, Flag.DELETED, ("work",)),
    ),
    (
        b"a UID STORE 7 -flags \\Seen \\Recent $forwarded Work WORK",
        Store(
            "a", True, numbers(b"7"), StoreMode.REMOVE, False, Flag.SEEN | Flag.FORWARDED, ("Work",)
        ),
    ),
    (
        b"a STORE 7 (UNCHANGEDSINCE 5) FLAGS ()",
        Store("a", False, numbers(b"7"), StoreMode.SET, False, NO_FLAGS, (), 5),
    ),
    (b"a COPY 1:2 x", Copy("a", False, numbers(b"1:2"), b"x")),
    (b"a UID COPY 1:2 x", Copy("a", True, numbers(b"1:2"), b"x")),
    (b"a MOVE 1 x", Move("a", False, numbers(b"1"), b"x")),
    (b"a uid move 1 x", Move("a", True, numbers(b"1"), b"x")),
    (b"a EXPUNGE", Expunge("a")),
    (b"a UID EXPUNGE 4:9", Expunge("a", numbers(b"4:9"))),
    (b'a GETQUOTA ""', GetQuota("a", b"")),
    (b"a GETQUOTAROOT INBOX", GetQuotaRoot("a", b"INBOX")),
    (
        b"a SETQUOTA root (STORAGE 512 message 9)",
        SetQuota("a", b"root", (("STORAGE", 512), ("MESSAGE", 9))),
    ),
    (b"a SEARCH ALL", Search("a", False, k.All())),
    (b"a UID SEARCH UNSEEN", Search("a", True, k.Not(SEEN))),
    (
        b"a SEARCH NEW OLD RECENT",
        Search(
            "a",
            False,
            k.And((k.And((k.Recent(), k.Not(SEEN))), k.Not(k.Recent()), k.Recent())),
        ),
    ),
    (
        b'a SEARCH OR FROM x (SUBJECT "a b" NOT TEXT {1+}\r\ny)',
        Search(
            "a",
            False,
            k.Or(
                k.Header(b"from", "x"),
                k.And((k.Header(b"subject", "a b"), k.Not(k.Text("y")))),
            ),
        ),
    ),
    (
        b"a SEARCH CHARSET iso-8859-1 BODY {1+}\r\n\xe4",
        Search("a", False, k.Body("ä")),
    ),
    (
        b'a SEARCH RETURN () CHARSET UTF-8 TO "\xc3\xa4" HEADER X-Y ""',
        Search(
            "a",
            False,
            k.And((k.Header(b"to", "ä"), k.Header(b"x-y", ""))),
            SearchReturn.ALL,
        ),
    ),
    (
        b"a SEARCH RETURN (MIN COUNT SAVE) 1:3,5 UID 7:* UID $",
        Search(
            "a",
            False,
            k.And(
                (
                    k.Messages(numbers(b"1:3,5")),
                    k.Uids(numbers(b"7:*")),
                    k.Uids(SequenceSet((), True)),
                )
            ),
            SearchReturn.MIN | SearchReturn.COUNT | SearchReturn.SAVE,
        ),
    ),
    (
        b'a SEARCH SINCE 1-Feb-1994 SENTBEFORE "01-feb-1994" ON 1-Feb-1994',
        Search(
            "a",
            False,
            k.And(
                (
                    k.InternalDate(k.Compare.SINCE, FEB),
                    k.SentDate(k.Compare.BEFORE, FEB),
                    k.InternalDate(k.Compare.ON, FEB),
                )
            ),
        ),
    ),
    (
        b"a SEARCH LARGER 10 SMALLER 20 KEYWORD $Forwarded UNKEYWORD work OLDER 60 YOUNGER 5",
        Search(
            "a",
            False,
            k.And(
                (
                    k.Larger(10),
                    k.Smaller(20),
                    k.HasFlag(Flag.FORWARDED),
                    k.Not(k.HasKeyword("work")),
                    k.Within(True, 60),
                    k.Within(False, 5),
                )
            ),
        ),
    ),
    (b"a SEARCH MODSEQ 620162338", Search("a", False, k.ModSeq(620162338))),
    (
        b'a SEARCH MODSEQ "/flags/\\\\draft" all 620162338',
        Search("a", False, k.ModSeq(620162338)),
    ),
]


@pytest.mark.parametrize(("line", "wanted"), COMMANDS, ids=lambda v: str(v)[:40])
def test_command_at_every_split_point(line: bytes, wanted: Command) -> None:
    stream = line + b"\r\n"
    whole = events_of([stream])
    assert whole[-1] == wanted
    assert all(isinstance(event, LiteralRequest) for event in whole[:-1])
    for cut in range(1, len(stream)):
        assert events_of([stream[:cut], stream[cut:]]) == whole
    assert events_of([stream[i : i + 1] for i in range(len(stream))]) == whole


def test_all_of_them_in_one_stream() -> None:
    stream = b"".join(line + b"\r\n" for line, _ in COMMANDS)
    seen = [event for event in events_of([stream]) if isinstance(event, Command)]
    assert seen == [wanted for _, wanted in COMMANDS]


def test_lines_may_end_with_lf() -> None:
    assert events_of([b"a LOGIN {1}\nf p\nb NOOP\n"]) == [
        LiteralRequest("a", 1),
        Login("a", b"f", b"p"),
        Noop("b"),
    ]


def test_commands_are_values_without_secrets() -> None:
    login = command_of(b"a LOGIN fred secret")
    assert "secret" not in repr(login)
    assert "secret" not in repr(command_of(b"a AUTHENTICATE PLAIN c2VjcmV0"))
    with pytest.raises(FrozenInstanceError):
        login.tag = "b"  # type: ignore[misc]


def test_id_is_cut_to_what_the_rfc_allows() -> None:
    pairs = b" ".join(b'"n%d" "%b"' % (i, b"v" * 1500) for i in range(40))
    command = command_of(b'a ID ("%b" "x" %b)' % (b"n" * 31, pairs))
    assert isinstance(command, Id)
    assert command.fields == tuple((b"n%d" % i, b"v" * 1024) for i in range(30))


def test_repeated_fetch_items_count_once() -> None:
    command = command_of(b"a FETCH 1 (BODY[] BODY[] FLAGS FLAGS BODY[])")
    assert isinstance(command, Fetch)
    assert command.items == items(FetchAtt.FLAGS, Section(b"BODY[]"))


@pytest.mark.parametrize(
    ("line", "sets"),
    [
        (b"a FETCH 1 BODY[]", True),
        (b"a FETCH 1 BODY.PEEK[]", False),
        (b"a FETCH 1 RFC822", True),
        (b"a FETCH 1 RFC822.HEADER", False),
        (b"a FETCH 1 BINARY[1]", True),
        (b"a FETCH 1 BINARY.SIZE[1]", False),
        (b"a FETCH 1 (FLAGS UID)", False),
    ],
)
def test_which_items_set_seen(line: bytes, sets: bool) -> None:
    command = command_of(line)
    assert isinstance(command, Fetch)
    assert command.items.sets_seen is sets


BAD = [
    b"a",
    b"a ",
    b"a FROB",
    b"a UID",
    b"a UID NOOP",
    b"a UIDFETCH 1 FLAGS",
    b"a NOOP x",
    b"a LOGIN",
    b"a LOGIN fred",
    b"a LOGIN fred secret x",
    b'a LOGIN "fred secret',
    b'a LOGIN "a\\b" x',
    b"a LOGIN fr(ed x",
    b"a AUTHENTICATE",
    b"a AUTHENTICATE PLAIN $$$",
    b"a AUTHENTICATE PLAIN AGE",
    b"a ENABLE",
    b"a SELECT",
    b"a SELECT x y",
    b"a SELECT x (FROB)",
    b"a SELECT x ()",
    b"a SELECT x (QRESYNC (1))",
    b"a SELECT x (QRESYNC (0 1))",
    b"a SELECT x (QRESYNC (1 1 1:*))",
    b"a SELECT x (QRESYNC (1 1 (1)))",
    b"a CREATE x (FROB)",
    b"a CREATE x (USE (Sent))",
    b"a RENAME x",
    b"a LIST",
    b'a LIST ""',
    b'a LIST "" * RETURN',
    b'a LIST "" * RETURN (FROB)',
    b'a LIST (FROB) "" *',
    b'a LIST (RECURSIVEMATCH) "" *',
    b'a LIST (RECURSIVEMATCH REMOTE) "" *',
    b'a LIST "" ()',
    b"a STATUS x",
    b"a STATUS x ()",
    b"a STATUS x (FROB)",
    b"a STATUS x MESSAGES",
    b"a APPEND x",
    b"a APPEND x text",
    b"a FETCH",
    b"a FETCH 1",
    b"a FETCH 0 FLAGS",
    b"a FETCH a FLAGS",
    b"a FETCH 1 ()",
    b"a FETCH 1 (FLAGS",
    b"a FETCH 1 (ALL)",
    b"a FETCH 1 FROB",
    b"a FETCH 1 FLAGS UID",
    b"a FETCH 1 BODY[",
    b"a FETCH 1 BODY[0]",
    b"a FETCH 1 BODY[1.]",
    b"a FETCH 1 BODY[MIME]",
    b"a FETCH 1 BODY[FROB]",
    b"a FETCH 1 BODY[1TEXT]",
    b"a FETCH 1 BODY[HEADER.FIELDS]",
    b"a FETCH 1 BODY[HEADER.FIELDS ()]",
    b"a FETCH 1 BODY[]<1>",
    b"a FETCH 1 BODY[]<1.0>",
    b"a FETCH 1 BINARY[TEXT]",
    b"a FETCH 1 BINARY.SIZE[1]<0.1>",
    b"a FETCH 1 FLAGS[]",
    b"a FETCH 1 FLAGS (FROB 1)",
    b"a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
    b"a UID FETCH 1 FLAGS (VANISHED)",
    b"a UID FETCH 1 FLAGS (CHANGEDSINCE 99999999999999999999)",
    b"a STORE 1 FLAGS",
    b"a STORE 1 FLAGS \\Frob",
    b"a STORE 1 FLAGS (\\Seen",
    b"a STORE 1 FROB (x)",
    b"a STORE 1 (FROB 1) FLAGS (x)",
    b"a STORE 1 FLAGS (a%)",
    b"a COPY 1",
    b"a COPY 1 x y",
    b"a EXPUNGE 1",
    b"a UID EXPUNGE",
    b"a SETQUOTA x",
    b"a SETQUOTA x (STORAGE)",
    b"a SEARCH",
    b"a SEARCH FROB",
    b"a SEARCH NOT",
    b"a SEARCH OR ALL",
    b"a SEARCH ()",
    b"a SEARCH (ALL",
    b"a SEARCH FROM",
    b"a SEARCH SINCE 31-Feb-1994",
    b"a SEARCH LARGER x",
    b"a SEARCH OLDER 0",
    b"a SEARCH ALLSEEN",
    b"a SEARCH RETURN (FROB) ALL",
    b"a SEARCH RETURN (MIN)",
    b'a SEARCH TO "\xe4"',
    b"a SEARCH MODSEQ x",
    b"a ID",
    b"a ID x",
    b'a ID ("a")',
    b"a IDLE x",
]


@pytest.mark.parametrize("line", BAD)
def test_wrong_commands_are_bad_with_their_tag(line: bytes) -> None:
    error = error_of(line)
    assert (error.tag, error.status, error.fatal) == ("a", "BAD", False)
    assert error.text.isprintable()


def test_unknown_charset() -> None:
    error = error_of(b"a SEARCH CHARSET x-klingon ALL")
    assert error.status == "NO"
    assert error.code is not None
    assert error.code.startswith("BADCHARSET (")


@pytest.mark.parametrize(
    "line", [b"(a NOOP", b"+ NOOP", b"* NOOP", b" NOOP", b"a{ NOOP", b"\xe4 NOOP", b'"a" NOOP']
)
def test_a_bad_tag_is_never_echoed(line: bytes) -> None:
    assert error_of(line).tag is None
