"""The fields of IMAP's ENVELOPE from a header (RFC 3501 section 7.4.2)."""

from collections.abc import Mapping
from typing import Final

from restante.mime.addresses import parse_addresses
from restante.model.part import HeaderEnvelope, Mailbox

FIELDS: Final = frozenset(
    b"date subject from sender reply-to to cc bcc in-reply-to message-id".split()
)


def make_envelope(values: Mapping[bytes, bytes]) -> HeaderEnvelope:
    """Make the envelope of unfolded values by lower-case name.

    Sender and Reply-To are those of From where they are absent or empty.
    """
    get = values.get
    from_ = _list(get(b"from"))
    return HeaderEnvelope(
        get(b"date"),
        get(b"subject"),
        from_,
        _list(get(b"sender")) or from_,
        _list(get(b"reply-to")) or from_,
        _list(get(b"to")),
        _list(get(b"cc")),
        _list(get(b"bcc")),
        get(b"in-reply-to"),
        get(b"message-id"),
    )


def _list(value: bytes | None) -> tuple[Mailbox, ...]:
    return parse_addresses(value) if value else ()
