"""Faults of the disk: what they mean here, and what a session is told."""

import errno
from typing import Final

from restante.model import ErrorKind, MailError

FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG))
GONE: Final = frozenset((errno.ENOENT, errno.ESTALE))


def as_mail_error(error: OSError) -> MailError:
    """Return what a session is told about a fault of the disk."""
    code = errno.errorcode.get(error.errno or 0, "error")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MailError(ErrorKind.NO_SUCH_FOLDER, "the folder is gone")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MailError(ErrorKind.TEMPORARY, "the disk is full")
    return MailError(ErrorKind.TEMPORARY, f"the mailbox is not available ({code})")
