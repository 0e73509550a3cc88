"""What FETCH asks for (RFC 3501 section 6.4.5, RFC 3516, RFC 7162).

Items without arguments are bits of one mask, so that a session can compare a whole request
with one number; what returns octets is a Section that carries its own answer label.
"""

from dataclasses import dataclass
from enum import Enum, IntFlag


class FetchAtt(IntFlag):
    """Items without arguments."""

    UID = 1
    FLAGS = 2
    INTERNALDATE = 4
    SIZE = 8  # RFC822.SIZE
    ENVELOPE = 16
    BODYSTRUCTURE = 32
    BODY = 64  # BODY without brackets: the structure without extension data
    MODSEQ = 128


class SectionText(Enum):
    """Which octets of the message or part."""

    ALL = "all"  # BODY[], BODY[1.2]
    HEADER = "header"
    FIELDS = "fields"  # HEADER.FIELDS
    FIELDS_NOT = "fields_not"  # HEADER.FIELDS.NOT
    TEXT = "text"
    MIME = "mime"


class Transfer(Enum):
    """In which form the octets go out."""

    RAW = "raw"  # BODY[...], RFC822...
    DECODED = "decoded"  # BINARY[...]
    DECODED_SIZE = "decoded_size"  # BINARY.SIZE[...]


@dataclass(frozen=True, slots=True)
class Section:
    """One BODY[...], RFC822..., BINARY[...] item.

    `label` is the item's name in the answer, ready to send, origin octet included:
    b"BODY[HEADER.FIELDS (FROM TO)]<0>". `partial` is (offset, octets) or None.
    """

    label: bytes
    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[bytes, ...] = ()  # upper case, in the order asked
    peek: bool = False
    partial: tuple[int, int] | None = None
    transfer: Transfer = Transfer.RAW


@dataclass(frozen=True, slots=True)
class FetchItems:
    """A whole request."""

    mask: FetchAtt
    sections: tuple[Section, ...] = ()

    @property
    def sets_seen(self) -> bool:
        r"""True if the answer sets \Seen on a mailbox open for writing."""
        return any(not s.peek and s.transfer is not Transfer.DECODED_SIZE for s in self.sections)
