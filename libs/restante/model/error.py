"""The one error of the mail system: a kind for machines, a text for people.

Each protocol maps a kind at its edge (IMAP NO/BAD codes, POP3 -ERR codes, LMTP and HTTP
status, gRPC status). A fault that may pass must be TEMPORARY: never AUTH_FAILED, never
NO_SUCH_USER, so that it can neither bounce mail nor look like a wrong password.
"""

from enum import Enum


class ErrorKind(Enum):
    """What went wrong, independent of any protocol."""

    AUTH_FAILED = "auth_failed"  # unknown user or wrong password; never says which
    DISABLED = "disabled"  # the account, or this service for the account, is switched off
    PRIVACY_REQUIRED = "privacy_required"  # TLS is needed first
    PERMISSION = "permission"  # known and refused
    NO_SUCH_USER = "no_such_user"  # certain: may bounce
    NO_SUCH_FOLDER = "no_such_folder"
    NOT_FOUND = "not_found"  # any other thing asked for by name
    ALREADY_EXISTS = "already_exists"
    CANNOT = "cannot"  # can never succeed, such as a folder name that is not allowed
    BAD_REQUEST = "bad_request"  # syntax or argument
    TOO_LARGE = "too_large"
    LIMIT = "limit"  # a configured bound: connections, keywords, ...
    OVER_QUOTA = "over_quota"
    GONE = "gone"  # the message was expunged by another session or host
    IN_USE = "in_use"
    TEMPORARY = "temporary"  # disk, network or backend fault: try again
    CORRUPT = "corrupt"  # stored data is damaged beyond what salvage can do
    INTERNAL = "internal"  # a fault of ours


class MailError(Exception):
    """Carries an ErrorKind and a text that may be shown to the peer (never a secret or a path)."""

    def __init__(self, kind: ErrorKind, text: str = "") -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text or kind.value.replace("_", " ")

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"
