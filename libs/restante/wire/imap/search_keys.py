"""The tree of a search (RFC 3501 section 6.4.4, RFC 5032, RFC 7162)."""

from dataclasses import dataclass
from datetime import date
from enum import Enum

from restante.model import Flag
from restante.wire.imap.sequence_set import SequenceSet


class Compare(Enum):
    """How a date or size is compared."""

    BEFORE = "before"
    ON = "on"
    SINCE = "since"


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more keys."""

    keys: tuple["SearchKey", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Either key."""

    left: "SearchKey"
    right: "SearchKey"


@dataclass(frozen=True, slots=True)
class Not:
    """The messages that the key does not match."""

    key: "SearchKey"


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A system flag that is set; UNSEEN and its like are Not(HasFlag(...))."""

    flag: Flag


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """A keyword, compared without case."""

    keyword: str


@dataclass(frozen=True, slots=True)
class Recent:
    r"""\Recent in this session. NEW is And(Recent, Not(Seen)), OLD is Not(Recent)."""


@dataclass(frozen=True, slots=True)
class InternalDate:
    """BEFORE, ON, SINCE: the internal date, time and zone disregarded."""

    compare: Compare
    day: date


@dataclass(frozen=True, slots=True)
class SentDate:
    """SENTBEFORE, SENTON, SENTSINCE: the Date field, time and zone disregarded."""

    compare: Compare
    day: date


@dataclass(frozen=True, slots=True)
class Within:
    """OLDER (older=True) or YOUNGER: internal date against now, in seconds."""

    older: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class Larger:
    """RFC822.SIZE greater than octets."""

    octets: int


@dataclass(frozen=True, slots=True)
class Smaller:
    """RFC822.SIZE less than octets."""

    octets: int


@dataclass(frozen=True, slots=True)
class Header:
    """A field that contains the text; "" asks that the field exists.

    FROM, TO, CC, BCC and SUBJECT are this too. `field` is lower case without the colon.
    """

    field: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """Text in the body."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Text in the header or the body."""

    text: str


@dataclass(frozen=True, slots=True)
class Messages:
    """Sequence numbers."""

    messages: SequenceSet


@dataclass(frozen=True, slots=True)
class Uids:
    """UID set; SequenceSet with saved=True is "$"."""

    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class ModSeq:
    """Modification sequence of at least this value. Asks for MODSEQ in the answer."""

    modseq: int


SearchKey = (
    All
    | And
    | Or
    | Not
    | HasFlag
    | HasKeyword
    | Recent
    | InternalDate
    | SentDate
    | Within
    | Larger
    | Smaller
    | Header
    | Body
    | Text
    | Messages
    | Uids
    | ModSeq
)
