"""Untagged data responses (RFC 3501 sections 7.2 to 7.4 and extensions), one function each.

Mailbox names are IMAP names as `MailboxNames.encode` makes them; they are quoted here.
"""

from collections.abc import Iterable, Mapping, Sequence

from restante.wire.imap import encode
from restante.wire.imap.sequence_set import compact


def capability(names: Iterable[str]) -> bytes:
    """Return `* CAPABILITY ...`."""
    return f"* CAPABILITY {' '.join(names)}\r\n".encode()


def enabled(names: Iterable[str]) -> bytes:
    """Return `* ENABLED ...` (RFC 5161)."""
    return " ".join(["* ENABLED", *names]).encode() + b"\r\n"


def identity(fields: Mapping[str, str]) -> bytes:
    """Return `* ID (...)`, NIL for no fields (RFC 2971)."""
    if not fields:
        return b"* ID NIL\r\n"
    items = (encode.string(item.encode()) for pair in fields.items() for item in pair)
    return b"* ID (%b)\r\n" % b" ".join(items)


def namespace(prefix: bytes, separator: bytes) -> bytes:
    """Return one personal namespace and no others (RFC 2342)."""
    return b"* NAMESPACE ((%b %b)) NIL NIL\r\n" % (
        encode.mailbox(prefix),
        encode.mailbox(separator),
    )


def listing(
    attributes: Sequence[str],
    separator: bytes,
    name: bytes,
    *,
    word: str = "LIST",
    child_info: Sequence[str] = (),
) -> bytes:
    r"""Return `* LIST (\HasNoChildren) "." "INBOX.a"`; word LSUB likewise.

    `child_info`: selection options that only descendants match (RFC 5258 CHILDINFO).
    """
    extra = b""
    if child_info:
        extra = b' ("CHILDINFO" (%b))' % b" ".join(b'"%b"' % c.encode() for c in child_info)
    return b"* %b (%b) %b %b%b\r\n" % (
        word.encode(),
        " ".join(attributes).encode(),
        encode.mailbox(separator) if separator else encode.NIL,
        encode.mailbox(name),
        extra,
    )


def status(name: bytes, values: Iterable[tuple[str, int]]) -> bytes:
    """Return `* STATUS "INBOX" (MESSAGES 3 ...)`."""
    items = " ".join(f"{item} {value}" for item, value in values)
    return b"* STATUS %b (%b)\r\n" % (encode.mailbox(name), items.encode())


def search(numbers: Sequence[int], modseq: int | None = None) -> bytes:
    """Return `* SEARCH ...`; `modseq` as RFC 7162 section 3.1.5 has it."""
    middle = " ".join(["* SEARCH", *map(str, numbers)])
    if modseq is not None and numbers:
        middle += f" (MODSEQ {modseq})"
    return middle.encode() + b"\r\n"


def esearch(
    tag: str,
    *,
    uid: bool,
    low: int | None = None,
    high: int | None = None,
    numbers: Sequence[int] | None = None,
    count: int | None = None,
    modseq: int | None = None,
) -> bytes:
    """Return `* ESEARCH (TAG "x") UID MIN 1 ...` (RFC 4731).

    What is None is left out; so is ALL of no numbers.
    """
    out = [b'* ESEARCH (TAG "%b")' % tag.encode()]
    if uid:
        out.append(b"UID")
    if low is not None:
        out.append(b"MIN %d" % low)
    if high is not None:
        out.append(b"MAX %d" % high)
    if numbers:
        out.append(b"ALL " + compact(numbers))
    if count is not None:
        out.append(b"COUNT %d" % count)
    if modseq is not None:
        out.append(b"MODSEQ %d" % modseq)
    return b" ".join(out) + b"\r\n"


def quota_root(name: bytes, roots: Iterable[bytes]) -> bytes:
    """Return `* QUOTAROOT mailbox root ...` (RFC 9208)."""
    items = [encode.mailbox(name), *(encode.string(root) for root in roots)]
    return b"* QUOTAROOT %b\r\n" % b" ".join(items)


def quota(root: bytes, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """Return `* QUOTA root (STORAGE used limit ...)`; STORAGE counts units of 1024 octets."""
    items = " ".join(f"{name} {used} {limit}" for name, used, limit in resources)
    return b"* QUOTA %b (%b)\r\n" % (encode.string(root), items.encode())
