"""ENVELOPE, ready to send (RFC 3501 section 7.4.2)."""

from typing import Final

from restante.model import HeaderEnvelope, Mailbox
from restante.wire.imap.encode import NIL, nstring

EMPTY: Final = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def envelope(facts: HeaderEnvelope) -> bytes:
    """Return the parenthesised list. Sender and Reply-To default to From, as the RFC demands."""
    from_ = _addresses(facts.from_)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(facts.date),
        nstring(facts.subject),
        from_,
        _addresses(facts.sender) if facts.sender else from_,
        _addresses(facts.reply_to) if facts.reply_to else from_,
        _addresses(facts.to),
        _addresses(facts.cc),
        _addresses(facts.bcc),
        nstring(facts.in_reply_to),
        nstring(facts.message_id),
    )


def _addresses(items: tuple[Mailbox, ...]) -> bytes:
    if not items:
        return NIL
    return b"(%b)" % b"".join(
        b"(%b %b %b %b)" % (nstring(m.name), nstring(m.route), nstring(m.mailbox), nstring(m.host))
        for m in items
    )
