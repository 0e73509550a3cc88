"""Values that every layer shares. Standard library only; frozen; no I/O."""

from restante.model.account import Account, Options, Quota
from restante.model.address import Address
from restante.model.envelope import Envelope
from restante.model.error import ErrorKind, MailError
from restante.model.flag import NO_FLAGS, Flag
from restante.model.folder_name import INBOX, FolderName
from restante.model.message_name import MessageName
from restante.model.part import HeaderEnvelope, Mailbox, Part

__all__ = [
    "INBOX",
    "NO_FLAGS",
    "Account",
    "Address",
    "Envelope",
    "ErrorKind",
    "Flag",
    "FolderName",
    "HeaderEnvelope",
    "MailError",
    "Mailbox",
    "MessageName",
    "Options",
    "Part",
    "Quota",
]
