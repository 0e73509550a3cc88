"""The engine of hints that the setting RESTANTE_HINTS names."""

from pathlib import Path

from restante.model import ErrorKind, MailError
from restante.store.hints import RESCAN, Hints
from restante.store.hints_inotify import InotifyHints


def make_hints(setting: str, mail_root: Path, *, rescan: int = RESCAN) -> Hints:
    """Return hints for "inotify", a Redis URL, or "none". MailError(BAD_REQUEST) for others."""
    if setting == "inotify":
        return InotifyHints(rescan=rescan)
    if setting == "none":
        return Hints(rescan=rescan)
    if setting.startswith(("redis://", "rediss://", "unix://")):
        # Imported only where it is used: it costs each worker memory and start-up time.
        from restante.store.hints_redis import RedisHints  # noqa: PLC0415 - redis is imported only where it is used

        return RedisHints(setting, mail_root, rescan=rescan)
    raise MailError(ErrorKind.BAD_REQUEST, f"unknown hints engine {setting!r}")
