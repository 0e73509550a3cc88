"""The bytes of `restante.index`: a header and checksummed records.

    0    header            64 bytes
    64   the header again  64 bytes
    128  successor mark    64 bytes, zero until the file is replaced
    192  records, each at a multiple of 32 bytes

Header: magic, version, UIDVALIDITY, generation, file id, CRC-32. A record is a 32-byte head
(CRC-32, magic, kind, length, UIDVALIDITY, UIDNEXT, MODSEQ) and its payload, padded with zeros. A
snapshot is nothing but records, too: blocks of rows as columns. So one scan salvages any part of
the file: at a bad record it tries the next multiple of 32 bytes. Since every record repeats
UIDVALIDITY and UIDNEXT, neither depends on any one place of the file.

Numbers are little-endian; UIDs 32 bits, MODSEQs 64 bits, dates in Unix seconds, sizes in bytes.
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

HEADER_BYTES: Final = 192
SLOT: Final = 32
VERSION: Final = 1

_HEADER: Final = struct.Struct("<8sHHIQQ28xI")
_MAGIC: Final = b"RESTINDX"
_MARK: Final = struct.Struct("<8sQ44xI")
_MARK_MAGIC: Final = b"REPLACED"
_COPY: Final = _HEADER.size
MARK_AT: Final = 2 * _COPY
MARK_BYTES: Final = _MARK.size

_HEAD: Final = struct.Struct("<I2sBxIII4xQ")
_RECORD_MAGIC: Final = b"Rj"
_MAX_PAYLOAD: Final = 64 << 20


class Kind(IntEnum):
    """What a record says; the payload of each is described at its function below."""

    ROWS = 1
    ADD = 2
    FLAGS = 3
    EXPUNGE = 4
    KEYWORD = 5
    RECENT = 6
    DIRECTORIES = 7
    UIDL = 8
    FILENAME = 9
    NEXT = 10
    VANISHED = 11


@dataclass(frozen=True, slots=True)
class Header:
    """Identity of one file: a file that replaces another has a higher generation and a new id."""

    uidvalidity: int
    generation: int
    file_id: int

    def encode(self) -> bytes:
        """Return the first HEADER_BYTES of a file, without a successor."""
        head = _HEADER.pack(_MAGIC, VERSION, 0, self.uidvalidity, self.generation, self.file_id, 0)[
            :-4
        ]
        return (head + struct.pack("<I", zlib.crc32(head))) * 2 + bytes(MARK_BYTES)

    @classmethod
    def decode(cls, data: bytes) -> "Header | None":
        """Read either copy; None where both are damaged or of another version."""
        for at in (0, _COPY):
            copy = data[at : at + _COPY]
            if len(copy) < _COPY:
                return None
            magic, version, _, uidvalidity, generation, file_id, crc = _HEADER.unpack(copy)
            if magic == _MAGIC and version == VERSION and crc == zlib.crc32(copy[:-4]):
                return cls(uidvalidity, generation, file_id)
        return None


def encode_mark(generation: int) -> bytes:
    """Return the mark "replaced by this generation" for MARK_AT."""
    mark = _MARK.pack(_MARK_MAGIC, generation, 0)[:-4]
    return mark + struct.pack("<I", zlib.crc32(mark))


def decode_mark(data: bytes) -> int:
    """Return the generation that replaced the file with this beginning, or 0."""
    mark = data[MARK_AT : MARK_AT + MARK_BYTES]
    if len(mark) < MARK_BYTES:
        return 0
    magic, generation, crc = _MARK.unpack(mark)
    if magic != _MARK_MAGIC or crc != zlib.crc32(mark[:-4]):
        return 0
    return int(generation)


class Record(NamedTuple):
    """A record as read; `end` is the offset of what follows it."""

    kind: int
    payload: memoryview
    uidvalidity: int
    uidnext: int
    modseq: int
    end: int


def encode(kind: Kind, payload: bytes, uidvalidity: int, uidnext: int, modseq: int) -> bytes:
    """Return one record, padded to whole slots."""
    head = _HEAD.pack(0, _RECORD_MAGIC, kind, len(payload), uidvalidity, uidnext, modseq)[4:]
    crc = zlib.crc32(payload, zlib.crc32(head))
    padding = -len(payload) % SLOT
    return b"".join((struct.pack("<I", crc), head, payload, bytes(padding)))


def record_at(data: memoryview, at: int) -> Record | None:
    """Return the record that starts at `at`, or None where there is no valid one."""
    if at + _HEAD.size > len(data):
        return None
    crc, magic, kind, length, uidvalidity, uidnext, modseq = _HEAD.unpack_from(data, at)
    body = at + _HEAD.size
    end = body + length
    padded = end + -length % SLOT
    if magic != _RECORD_MAGIC or length > _MAX_PAYLOAD or padded > len(data):
        return None
    if zlib.crc32(data[at + 4 : end]) != crc:
        return None
    return Record(kind, data[body:end], uidvalidity, uidnext, modseq, padded)


def records(data: memoryview, at: int) -> Iterator[Record]:
    """Yield records from `at` until the first that is not valid."""
    while (record := record_at(data, at)) is not None:
        yield record
        at = record.end


def salvaged(data: memoryview, at: int) -> Iterator[Record]:
    """Yield every valid record from `at` on, whatever lies between."""
    raw = bytes(data)
    while at < len(raw):
        record = record_at(data, at)
        if record is not None:
            yield record
            at = record.end
            continue
        following = raw.find(_RECORD_MAGIC, at + SLOT)
        if following < 0:
            return
        at = max(at + SLOT, (following - 4) // SLOT * SLOT)


# --- payloads -------------------------------------------------------------------------------
# The writer's functions return the payload, the reader's take it; a reader returns None for a
# payload that no version of ours wrote.

_ADD: Final = struct.Struct("<IB3xQQq")
_COUNT: Final = struct.Struct("<I")
_DIRECTORIES: Final = struct.Struct("<qqBB")
_TEXT: Final = struct.Struct("<IH")


class Added(NamedTuple):
    """A new message."""

    uid: int
    flags: int
    keyword_bits: int
    wire_size: int
    date: int
    base: bytes


def pack_add(added: Added) -> bytes:
    """ADD: uid, flags, keyword bits, wire size, date, base name."""
    return _ADD.pack(*added[:5]) + added.base


def unpack_add(payload: memoryview) -> Added | None:
    """Read ADD."""
    if not _ADD.size < len(payload) <= _ADD.size + 255:
        return None
    uid, flags, keyword_bits, wire_size, date = _ADD.unpack_from(payload)
    return Added(uid, flags, keyword_bits, wire_size, date, bytes(payload[_ADD.size :]))


def pack_flags(rows: Iterable[tuple[int, int, int]]) -> bytes:
    """FLAGS: count, then columns of uid, keyword bits and flags; rows are (uid, flags, bits)."""
    uids, flags, bits = array("I"), array("B"), array("Q")
    for uid, flag, bit in rows:
        uids.append(uid)
        flags.append(flag)
        bits.append(bit)
    return b"".join((_COUNT.pack(len(uids)), _little(uids), _little(bits), flags.tobytes()))


def unpack_flags(payload: memoryview) -> Iterator[tuple[int, int, int]] | None:
    """Read FLAGS as (uid, flags, keyword bits)."""
    if len(payload) < _COUNT.size:
        return None
    (count,) = _COUNT.unpack_from(payload)
    if len(payload) != _COUNT.size + count * 13:
        return None
    at = _COUNT.size
    uids = unpack_numbers("I", payload[at : at + 4 * count])
    bits = unpack_numbers("Q", payload[at + 4 * count : at + 12 * count])
    return zip(uids, bytes(payload[at + 12 * count :]), bits, strict=True)


def pack_uids(uids: Iterable[int]) -> bytes:
    """EXPUNGE: the UIDs, ascending."""
    return _little(array("I", uids))


def unpack_numbers(typecode: str, payload: memoryview) -> "array[int]":
    """Read a column; an odd rest is left out."""
    column = array(typecode)
    column.frombytes(payload[: len(payload) - len(payload) % column.itemsize])
    return _swapped(column)


def pack_directories(new: int, cur: int, new_settled: bool, cur_settled: bool) -> bytes:
    """DIRECTORIES: mtimes of new/ and cur/ in ns, and whether each is settled (see scan.py)."""
    return _DIRECTORIES.pack(new, cur, new_settled, cur_settled)


def unpack_directories(payload: memoryview) -> tuple[int, int, bool, bool] | None:
    """Read DIRECTORIES."""
    if len(payload) != _DIRECTORIES.size:
        return None
    new, cur, new_settled, cur_settled = _DIRECTORIES.unpack(payload)
    return new, cur, bool(new_settled), bool(cur_settled)


def pack_texts(items: Iterable[tuple[int, bytes]]) -> bytes:
    """UIDL, FILENAME, KEYWORD: (uid or bit number, text) again and again."""
    return b"".join([_TEXT.pack(number, len(text)) + text for number, text in items])


def unpack_texts(payload: memoryview) -> Iterator[tuple[int, bytes]]:
    """Read what `pack_texts` wrote."""
    at = 0
    while at + _TEXT.size <= len(payload):
        number, length = _TEXT.unpack_from(payload, at)
        at += _TEXT.size
        yield number, bytes(payload[at : at + length])
        at += length


def pack_vanished(floor: int, uids: "array[int]", modseqs: "array[int]") -> bytes:
    """VANISHED: the MODSEQ from which on the list is complete, UIDs, and when each was removed."""
    return b"".join((struct.pack("<Q", floor), _little(uids), _little(modseqs)))


def unpack_vanished(payload: memoryview) -> "tuple[int, array[int], array[int]] | None":
    """Read VANISHED."""
    if len(payload) < 8 or (len(payload) - 8) % 12:
        return None
    (floor,) = struct.unpack_from("<Q", payload)
    count = (len(payload) - 8) // 12
    uids = unpack_numbers("I", payload[8 : 8 + 4 * count])
    return floor, uids, unpack_numbers("Q", payload[8 + 4 * count :])


def pack_number(number: int) -> bytes:
    """RECENT: the first UID that no session has had as \\Recent."""
    return _COUNT.pack(number)


def unpack_number(payload: memoryview) -> int | None:
    """Read RECENT."""
    return _COUNT.unpack(payload)[0] if len(payload) == _COUNT.size else None


def _swapped(column: "array[int]") -> "array[int]":
    if struct.pack("=H", 1) != b"\1\0":
        column.byteswap()
    return column


def _little(column: "array[int]") -> bytes:
    return _swapped(column[:]).tobytes()
