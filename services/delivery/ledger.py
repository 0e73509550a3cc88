"""Which request an Idempotency-Key stands for, for all replicas: a directory on the mail volume.

That a repeated request delivers once is the store's doing (Incoming.deliver's `key`). This ledger
only remembers the digest of the first request with a key, so that another message under the same
key is refused instead of being taken for a repetition and lost.

`<mail root>/.restante-keys/<day>/<digest of the key>` holds the digest of the request. It is made
under another name and linked, so whoever comes second sees all of it. A key is looked for in the
buckets of the last KEEP_DAYS days, older buckets are removed. Losing the directory loses no mail.
"""

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError

DIRECTORY: Final = ".restante-keys"
KEEP_DAYS: Final = 3  # today and the two days before, as long as the store remembers at least


class KeyLedger:
    """The ledger of one mail volume. BLOCKING; thread-safe."""

    def __init__(self, mail_root: Path) -> None:
        self._root = mail_root / DIRECTORY

    def claim(self, key: str, request: str, now: float | None = None) -> bool:
        """Bind the key to the digest of a request; True if it is, now or before.

        False: it stands for another request. Raises MailError(TEMPORARY).
        """
        day = int((time.time() if now is None else now) // 86_400)
        name = hashlib.sha256(key.encode()).hexdigest()
        try:
            for earlier in range(day, day - KEEP_DAYS, -1):
                found = _read(self._root / str(earlier) / name)
                if found is not None:
                    return found == request
            return self._write(self._root / str(day), name, request)
        except OSError as error:
            raise MailError(ErrorKind.TEMPORARY, "the mail volume is not available") from error

    def _write(self, bucket: Path, name: str, request: str) -> bool:
        if not bucket.is_dir():
            bucket.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_old(int(bucket.name))
        draft = bucket / f".{os.getpid()}.{os.urandom(8).hex()}"
        draft.write_text(request)
        try:
            os.link(draft, bucket / name)
        except FileExistsError:
            return _read(bucket / name) == request
        else:
            return True
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

    def _remove_old(self, today: int) -> None:
        for bucket in self._root.iterdir():
            if bucket.name.isdigit() and int(bucket.name) <= today - KEEP_DAYS:
                shutil.rmtree(bucket, ignore_errors=True)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
