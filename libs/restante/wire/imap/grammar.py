"""One complete command line as a value: tag, word, arguments (RFC 3501 section 9)."""

import re
from collections.abc import Callable
from typing import Final

from restante.wire.imap.commands import any as any_
from restante.wire.imap.commands import (
    append,
    auth,
    copy,
    fetch,
    idle,
    mailbox,
    quota,
    search,
    select,
    status,
    store,
)
from restante.wire.imap.commands import list as list_
from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.limits import Limits

Reader = Callable[[Cursor, str], Command]

MAX_TAG: Final = 200

_HEAD: Final = re.compile(
    rb"([!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,%d}) +([!-~]{1,40})(?= |\Z)" % MAX_TAG
).match
_TAG: Final = re.compile(
    rb"([!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,%d})(?: |\r?\n?\Z)" % MAX_TAG
).match
_UID_WORD: Final = re.compile(rb" +([A-Za-z]{1,20})(?= |\Z)").match

_WORDS: Final[dict[bytes, Reader]] = {
    b"CAPABILITY": any_.read_capability,
    b"NOOP": any_.read_noop,
    b"LOGOUT": any_.read_logout,
    b"ID": any_.read_id,
    b"STARTTLS": auth.read_starttls,
    b"AUTHENTICATE": auth.read_authenticate,
    b"LOGIN": auth.read_login,
    b"ENABLE": auth.read_enable,
    b"SELECT": select.read_select,
    b"EXAMINE": select.read_examine,
    b"CHECK": select.read_check,
    b"CLOSE": select.read_close,
    b"UNSELECT": select.read_unselect,
    b"CREATE": mailbox.read_create,
    b"DELETE": mailbox.read_delete,
    b"RENAME": mailbox.read_rename,
    b"SUBSCRIBE": mailbox.read_subscribe,
    b"UNSUBSCRIBE": mailbox.read_unsubscribe,
    b"LIST": list_.read_list,
    b"LSUB": list_.read_lsub,
    b"NAMESPACE": list_.read_namespace,
    b"STATUS": status.read_status,
    b"APPEND": append.read_append_without_message,
    b"FETCH": fetch.read_fetch,
    b"STORE": store.read_store,
    b"SEARCH": search.read_search,
    b"COPY": copy.read_copy,
    b"MOVE": copy.read_move,
    b"EXPUNGE": copy.read_expunge,
    b"IDLE": idle.read_idle,
    b"GETQUOTA": quota.read_getquota,
    b"GETQUOTAROOT": quota.read_getquotaroot,
    b"SETQUOTA": quota.read_setquota,
}
_UID_WORDS: Final[dict[bytes, Reader]] = {
    b"FETCH": fetch.read_uid_fetch,
    b"STORE": store.read_uid_store,
    b"SEARCH": search.read_uid_search,
    b"COPY": copy.read_uid_copy,
    b"MOVE": copy.read_uid_move,
    b"EXPUNGE": copy.read_uid_expunge,
}


def tag_of(line: bytes | bytearray) -> str | None:
    """Return the tag at the start of a command, None if there is none that may be echoed."""
    found = _TAG(line)
    return found[1].decode("ascii") if found is not None else None


def read_command(data: bytes, limits: Limits) -> Command:
    """Read a whole command, literals inside, last line end gone. Raises BadSyntaxError."""
    head = _HEAD(data)
    if head is None:
        raise BadSyntaxError("tag and command expected")
    tag = head[1].decode("ascii")
    word = head[2].upper()
    at = head.end()
    if word == b"UID":
        found = _UID_WORD(data, at)
        reader = _UID_WORDS.get(found[1].upper()) if found is not None else None
        if found is not None:
            at = found.end()
    else:
        reader = _WORDS.get(word)
    if reader is None:
        raise BadSyntaxError("unknown command")
    return reader(Cursor(data, limits, at), tag)


def read_append_head(
    data: bytes, limits: Limits, size: int, *, binary: bool
) -> append.Append | None:
    """Read an APPEND up to a literal of `size` octets, which `data` does not contain.

    Returns None if this is no APPEND, or the literal is not its message. Raises BadSyntaxError.
    """
    head = _HEAD(data)
    if head is None or head[2].upper() != b"APPEND":
        return None
    c = Cursor(data, limits, head.end())
    return append.read_append(c, head[1].decode("ascii"), size, binary=binary)
