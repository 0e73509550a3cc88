"""Certificates by the name that a client asks for (SNI, RFC 6066 section 3).

A directory has a folder for each name, as ACME clients and Kubernetes lay them:

    mail.example.org/tls.crt          and tls.key       (a mounted Secret of the type tls)
    imap.example.net/fullchain.pem    and privkey.pem   (certbot's live/, lego, acme.sh)
    *.example.org/...                 or _wildcard.example.org, or _.example.org

A wildcard stands for one label (RFC 6125 section 6.4.3), and an exact name goes before it. Folders
whose names begin with a dot are none of ours (Kubernetes' ..data).

- New and removed folders are noticed within SECONDS, at a handshake that names a server: one stat
  of the directory, and a listing where it moved (or might have, within the clock's grain).
- A certificate is loaded when its name is asked for first, and looked at at most once a second
  while it is. One that cannot be loaded is logged once, and its name gets the default certificate
  until its files change.
- What a client says is looked up among the names of the folders, and never becomes a path.
"""

import os
import time
from pathlib import Path
from typing import Final

from restante.model import MailError
from restante.runtime.log import get_logger
from restante.runtime.tls import ServerContext, TlsContexts

SECONDS: Final = 2.0  # between two looks at the directory
RETRY: Final = 5.0  # seconds between two tries to load a certificate that never was
_SETTLED: Final = 5.0  # seconds after which an unmoved mtime means an unmoved directory
_PAIRS: Final = (("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem"))
_WILD: Final = ("_wildcard.", "_.", "*.")

_log = get_logger(__name__)


class TlsNames:
    """The certificates of one directory. Used from one thread."""

    def __init__(self, folder: Path, client_ca: Path | None = None) -> None:
        """`client_ca`: for the certificates of clients, as in TlsContexts."""
        self._folder, self._client_ca = folder, client_ca
        self._names: dict[str, _Certificate] = {}
        self._listed = -1  # mtime of the directory at the last listing, -1: list again
        self._looked = -SECONDS
        self._complained = False

    def find(self, name: str) -> ServerContext | None:
        """Return the context for a name as a client sent it; None: the default one."""
        now = time.monotonic()
        if now - self._looked >= SECONDS:
            self._looked = now
            self._look()
        name = name.lower().rstrip(".")
        found = self._names.get(name) or self._names.get("*." + name.partition(".")[2])
        return found.context(now) if found is not None else None

    def _look(self) -> None:
        try:
            mtime = os.stat(self._folder).st_mtime_ns
            if mtime == self._listed:
                return
            folders = {
                _name(entry.name): entry.path
                for entry in os.scandir(self._folder)
                if not entry.name.startswith(".") and entry.is_dir()
            }
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("tls names cannot be listed", reason=str(error))
            return
        self._complained = False
        self._listed = mtime if time.time_ns() - mtime > _SETTLED * 1e9 else -1
        known = self._names
        self._names = {
            name: old
            if (old := known.get(name)) is not None and old.folder == Path(path)
            else _Certificate(Path(path), self._client_ca)
            for name, path in folders.items()
        }
        if known.keys() != self._names.keys():
            _log.info("tls names", count=len(self._names))


class _Certificate:
    """A folder, and what was loaded from it."""

    __slots__ = ("_client_ca", "_contexts", "_reason", "_retry_at", "folder")

    def __init__(self, folder: Path, client_ca: Path | None) -> None:
        self.folder, self._client_ca = folder, client_ca
        self._contexts: TlsContexts | None = None
        self._retry_at = 0.0
        self._reason = ""

    def context(self, now: float) -> ServerContext | None:
        """Return the context for a handshake now, None while there is none."""
        if self._contexts is None and now >= self._retry_at:
            self._retry_at = now + RETRY
            certificate, key = next(
                (pair for pair in _PAIRS if (self.folder / pair[0]).exists()), _PAIRS[0]
            )
            try:
                self._contexts = TlsContexts(
                    self.folder / certificate, self.folder / key, self._client_ca
                )
            except MailError as error:
                if error.text != self._reason:
                    self._reason = error.text
                    _log.warning("tls name has no certificate", reason=error.text)
        return self._contexts.context() if self._contexts is not None else None


def _name(folder: str) -> str:
    """Return the name that a folder stands for, "*." before the domain of a wildcard."""
    name = folder.lower()
    for mark in _WILD:
        if name.startswith(mark):
            return "*." + name[len(mark) :]
    return name
