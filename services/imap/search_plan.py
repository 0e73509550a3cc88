"""Evaluating a search tree over the messages of a view.

Three prices: columns (flags, dates, sizes, numbers), cached facts (the usual header fields and the
Date), and the message itself (other fields, BODY, TEXT). A chunk of messages passes the cheap
keys first, as set operations over rows; what is left is tested message by message, with facts
on the loop, and what needs messages in the pool. A predicate that meets a message whose header is
not cached raises NeedMessageError, and that message alone goes to the pool.

The result is exact: nothing is answered from an index that may be behind. A message that is gone
matches nothing, not even NOT.
"""

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from restante.mime import parse
from restante.mime.headers import decode_words, fields, header_end
from restante.mime.text import body_contains, fold, text_contains
from restante.model import ErrorKind, MailError
from restante.model.part import Part
from restante.store.facts import USUAL_FIELDS, Facts
from restante.store.mailbox import Mailbox
from restante.wire.imap import search_keys as k
from restante.wire.imap.sequence_set import SequenceSet
from services.imap.selected import Selected, rows_of
from services.imap.session import Session

_ROWS: Final = 4000  # of a chunk that columns answer
_FACTS: Final = 200  # of a chunk that facts answer
_MESSAGES: Final = 32  # read in one trip to the pool
_DAY: Final = 86400
_EPOCH: Final = 719163  # date.toordinal of 1970-01-01
_EVER: Final = 1 << 62
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\r\n")) + b"\x7f"  # dropped when decoding

Predicate = Callable[["_Message"], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """Matching messages, ascending."""

    seqs: Sequence[int]
    uids: Sequence[int]


class NeedMessageError(Exception):
    """The facts do not say; the message must be read."""


async def find(session: Session, key: k.SearchKey, *, first_only: bool = False) -> Found:
    """Return the messages of the selected view that match. MailError(TEMPORARY) for disk faults.

    `first_only`: one match is enough.
    """
    selected = session.box
    search = _Search(selected, key)
    uids = search.uids
    seqs: list[int] = []
    step = _FACTS if search.price else _ROWS
    for start in range(0, len(uids), step):
        rows = search.columns_pass(start, min(start + step, len(uids)))
        if rows and search.price:
            rows = await _test(session, search, rows)
        seqs += [at + 1 for at in rows]
        if first_only and seqs:
            break
        await session.out.breathe()
    return Found(seqs, array("I", [uids[seq - 1] for seq in seqs]))


async def _test(session: Session, search: "_Search", rows: list[int]) -> list[int]:
    """Test messages one by one; `rows` are zero-based positions in the view."""
    uids = [search.uids[at] for at in rows]
    mailbox = search.selected.mailbox
    known = mailbox.cached_facts(uids)
    if None in known:
        known = await session.blocking(mailbox.facts, uids)
    predicate = search.predicate(rows)
    matched: list[int] = []
    unsure: list[tuple[int, int, Facts]] = []
    for at, uid, facts in zip(rows, uids, known, strict=True):
        if facts is None:
            continue
        try:
            if predicate(_Message(at, facts)):
                matched.append(at)
        except NeedMessageError:
            unsure.append((at, uid, facts))
    for first in range(0, len(unsure), _MESSAGES):
        some = unsure[first : first + _MESSAGES]
        matched += await session.blocking(_read_and_test, mailbox, some, predicate)
    matched.sort()
    return matched


def _read_and_test(
    mailbox: Mailbox, some: Sequence[tuple[int, int, Facts]], predicate: Predicate
) -> list[int]:
    """BLOCKING. Test messages with their octets at hand; their numbers come back."""
    matched = []
    for at, uid, facts in some:
        try:
            message = _Message(at, facts, mailbox.read(uid))
        except MailError as error:
            if error.kind is not ErrorKind.GONE:
                raise
            continue
        if predicate(message):
            matched.append(at)
    return matched


class _Message:
    """What a predicate sees."""

    __slots__ = ("_root", "_wire", "at", "facts")

    def __init__(self, at: int, facts: Facts, wire: bytes | None = None) -> None:
        self.at = at
        self.facts = facts
        self._wire = wire
        self._root: Part | None = None

    def wire(self) -> bytes:
        """Return the octets. Raises NeedMessageError where they were not read."""
        if self._wire is None:
            raise NeedMessageError
        return self._wire

    def root(self) -> Part:
        """Return the part tree."""
        wire = self.wire()
        if self._root is None:
            self._root = parse(wire)
        return self._root

    def field_lines(self, name: bytes) -> bytes:
        """Return header lines among which are all fields of this name."""
        if self._wire is not None:
            return self._wire[: header_end(self._wire, 0, len(self._wire))]
        if name not in USUAL_FIELDS:
            raise NeedMessageError
        lines = self.facts.header
        # Nothing kept: either there are none of the usual fields, or too long ones.
        if not lines and self.facts.header_fields((name,)) is None:
            raise NeedMessageError
        return lines


class _Search:
    """One search over one state of the columns."""

    def __init__(self, selected: Selected, key: k.SearchKey) -> None:
        self.selected = selected
        self.columns = selected.mailbox.columns
        self.uids = selected.view.uids()
        self.seqs = range(1, len(self.uids) + 1)
        self.rows = rows_of(self.columns, self.uids)
        self.keywords = [name.lower() for name in selected.mailbox.keywords]
        self.now = int(time.time())
        keys = key.keys if isinstance(key, k.And) else (key,)
        self.cheap = [one for one in keys if not _price(one)]
        self.dear = sorted((one for one in keys if _price(one)), key=_price)
        self.price = max(map(_price, keys))
        self._ranges: dict[SequenceSet, list[tuple[int, int]]] = {}

    def columns_pass(self, start: int, stop: int) -> list[int]:
        """Return the positions of start..stop-1 that are there and match the cheap keys."""
        rows = self.rows
        if isinstance(rows, range):
            at = list(range(start, stop))
        else:
            at = [i for i in range(start, stop) if rows[i] >= 0]
        for key in self.cheap:
            at = self.columns_key(key, at)
        return at

    def columns_key(self, key: k.SearchKey, at: list[int]) -> list[int]:
        """Return the positions of `at` that a key of price 0 matches."""
        columns, rows = self.columns, self.rows
        match key:
            case k.All():
                return at
            case k.And(keys):
                for one in keys:
                    at = self.columns_key(one, at)
                return at
            case k.Or(left, right):
                one_side = set(self.columns_key(left, at))
                rest = [i for i in at if i not in one_side]
                one_side.update(self.columns_key(right, rest))
                return [i for i in at if i in one_side]
            case k.Not(inner):
                gone = set(self.columns_key(inner, at))
                return [i for i in at if i not in gone]
            case k.HasFlag(flag):
                flags, mask = columns.flags, flag.value
                return [i for i in at if flags[rows[i]] & mask]
            case k.HasKeyword(keyword):
                return self._with_keyword(keyword.lower(), at)
            case k.Recent():
                view, uids = self.selected.view, self.uids
                return [i for i in at if view.is_recent(uids[i])] if view.recent else []
            case k.Messages(messages) | k.Uids(messages):
                return self._among(messages, at, uid=isinstance(key, k.Uids))
            case k.Larger(octets):
                sizes = columns.wire_sizes
                return [i for i in at if sizes[rows[i]] > octets]
            case k.Smaller(octets):
                sizes = columns.wire_sizes
                return [i for i in at if sizes[rows[i]] < octets]
            case k.ModSeq(modseq):
                modseqs = columns.modseqs
                return [i for i in at if modseqs[rows[i]] >= modseq]
            case k.InternalDate(compare, day):
                low, high = _seconds(compare, (day.toordinal() - _EPOCH) * _DAY)
                dates = columns.dates
                return [i for i in at if low <= dates[rows[i]] < high]
            case k.Within(older, seconds):
                dates, edge = columns.dates, self.now - seconds
                return [i for i in at if (dates[rows[i]] <= edge) is older]
        raise MailError(ErrorKind.INTERNAL, "a key of the wrong price")

    def _with_keyword(self, keyword: str, at: list[int]) -> list[int]:
        if keyword not in self.keywords:
            return []
        bits, mask, rows = self.columns.keyword_bits, 1 << self.keywords.index(keyword), self.rows
        return [i for i in at if bits[rows[i]] & mask]

    def _among(self, messages: SequenceSet, at: list[int], *, uid: bool) -> list[int]:
        if not at:
            return at
        ranges = self._ranges.get(messages)
        if ranges is None:
            if messages.saved:
                found = SequenceSet.of(self.selected.saved).ranges(self.uids)
            else:
                found = messages.ranges(self.uids if uid else self.seqs)
            ranges = self._ranges[messages] = list(found)
        low, high = at[0], at[-1] + 1
        chosen: set[int] = set()
        for start, stop in ranges[max(bisect_left(ranges, (low, 0)) - 1, 0) :]:
            if start >= high:
                break
            chosen.update(range(max(start, low), min(stop, high)))
        return [i for i in at if i in chosen]

    # --- one message at a time --------------------------------------------------------------

    def predicate(self, at: list[int]) -> Predicate:
        """Return the test of the dear keys for messages at these positions."""
        return _all([self._predicate(key, at) for key in self.dear])

    def _predicate(self, key: k.SearchKey, at: list[int]) -> Predicate:
        if not _price(key):
            matched = set(self.columns_key(key, at))
            return lambda message: message.at in matched
        match key:
            case k.And(keys):
                return _all([self._predicate(one, at) for one in sorted(keys, key=_price)])
            case k.Or(left, right):
                sides = sorted((left, right), key=_price)
                one, other = (self._predicate(side, at) for side in sides)
                return lambda message: one(message) or other(message)
            case k.Not(inner):
                test = self._predicate(inner, at)
                return lambda message: not test(message)
            case k.SentDate(compare, day):
                low, high = _seconds(compare, (day.toordinal() - _EPOCH) * _DAY)
                return lambda message: _sent_between(message.facts, low, high)
            case k.Header(name, text):
                return _header(name, text)
            case k.Body(text):
                return _content(body_contains, text)
            case k.Text(text):
                return _content(text_contains, text)
        raise MailError(ErrorKind.INTERNAL, "a key without a test")


def _price(key: k.SearchKey) -> int:
    """Return 0 for columns, 1 for facts, 2 for what needs the message."""
    match key:
        case k.And(keys):
            return max(map(_price, keys))
        case k.Or(left, right):
            return max(_price(left), _price(right))
        case k.Not(inner):
            return _price(inner)
        case k.SentDate():
            return 1
        case k.Header(name, _):
            return 1 if name in USUAL_FIELDS else 2
        case k.Body() | k.Text():
            return 2
    return 0


def _seconds(compare: k.Compare, day: int) -> tuple[int, int]:
    """Return the range [low, high) of seconds that a date key means; `day` is its midnight."""
    if compare is k.Compare.BEFORE:
        return -_EVER, day
    if compare is k.Compare.ON:
        return day, day + _DAY
    return day, _EVER


def _sent_between(facts: Facts, low: int, high: int) -> bool:
    """Compare the Date field as it was written, its zone disregarded; no date never matches."""
    sent = facts.sent
    return sent is not None and low <= sent + facts.sent_zone * 60 < high


def _all(tests: list[Predicate]) -> Predicate:
    if len(tests) == 1:
        return tests[0]
    return lambda message: all(test(message) for test in tests)


def _header(name: bytes, text: str) -> Predicate:
    folded = fold(text)
    longest = max(folded.split(), key=len, default="")
    hint = longest.encode() if folded.isascii() else b""

    def test(message: _Message) -> bool:
        lines = message.field_lines(name)
        # Plain text without encoded words says no at the price of one search.
        if hint and hint not in lines.lower() and b"=?" not in lines and _is_plain(lines):
            return False
        return any(
            folded in fold(decode_words(value))
            for field, value in fields(lines)
            if field.lower() == name
        )

    return test


def _is_plain(lines: bytes) -> bool:
    return lines.isascii() and len(lines.translate(None, _CONTROLS)) == len(lines)


def _content(contains: Callable[[bytes, Part, str], bool], text: str) -> Predicate:
    folded = fold(text)
    if not folded:
        return lambda _: True
    return lambda message: contains(message.wire(), message.root(), folded)
