"""Reading back by IMAP the messages that a test has sent; each bears a field X-Token."""

import imaplib
import re
from typing import Final, Protocol

_UID: Final = re.compile(rb"UID (\d+)")


class NotSelectedError(OSError):
    """SELECT was refused."""


class Witness(Protocol):
    """Who notes what clients are shown."""

    def show(self, account: str, folder: str, uidvalidity: int, uid: int, text: bytes, /) -> None:
        """Note that a client saw this message under this UID."""


def read_tokens(
    client: imaplib.IMAP4, account: str, folder: str, witness: Witness, *, last: int | None = None
) -> list[tuple[int, bytes]]:
    """Return (UID, message) of the folder's last messages of ours, noting what was shown.

    Raises NotSelectedError.
    """
    status, answer = client.select(folder)
    if status != "OK":
        raise NotSelectedError(str(answer))
    count = int(answer[0] or 0)
    uidvalidity = int(client.response("UIDVALIDITY")[1][0])
    if not count:
        return []
    first = 1 if last is None else max(1, count - last + 1)
    _, parts = client.fetch(f"{first}:{count}", "(UID BODY.PEEK[])")
    found = []
    for part in parts:
        if isinstance(part, tuple) and b"X-Token: " in part[1]:
            uid = _UID.search(part[0])
            assert uid is not None, part[0]
            witness.show(account, folder, uidvalidity, int(uid[1]), part[1])
            found.append((int(uid[1]), part[1]))
    return found
