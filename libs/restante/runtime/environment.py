"""The few settings that the command line needs, read without the cost of pydantic-settings.

The rules are those of settings.py; tests/unit/runtime holds both against each other.
"""

import os
import socket
from pathlib import Path


def data_dir() -> Path:
    """Return RESTANTE_DATA, by default ./var, as an absolute path."""
    return _path("RESTANTE_DATA", Path("var"))


def run_dir() -> Path:
    """Return the directory of sockets, tokens and run files."""
    return data_dir() / "run"


def mail_root() -> Path:
    """Return RESTANTE_MAIL_ROOT, by default the data directory's mail/."""
    return _path("RESTANTE_MAIL_ROOT", data_dir() / "mail")


def mail_volumes() -> tuple[Path, ...]:
    """Return the further mail volumes, RESTANTE_MAIL_VOLUMES: "/srv/one,/srv/two"."""
    given = os.environ.get("RESTANTE_MAIL_VOLUMES", "")
    return tuple(
        Path(os.path.abspath(os.path.expanduser(text.strip())))
        for text in given.split(",")
        if text.strip()
    )


def certificate_files() -> tuple[Path, Path]:
    """Return the paths of certificate and key: RESTANTE_TLS_CERTIFICATE and RESTANTE_TLS_KEY."""
    tls = data_dir() / "tls"
    return (
        _path("RESTANTE_TLS_CERTIFICATE", tls / "cert.pem"),
        _path("RESTANTE_TLS_KEY", tls / "key.pem"),
    )


def hostname() -> str:
    """Return RESTANTE_HOSTNAME, by default the machine's name."""
    return os.environ.get("RESTANTE_HOSTNAME") or socket.gethostname()


def userdb() -> Path:
    """Return the userdb text that the auth service uses.

    That is the one beside RESTANTE_AUTH_USERDB_INDEX where this is set, else RESTANTE_AUTH_USERDB,
    by default the data directory's auth/userdb.
    """
    if os.environ.get("RESTANTE_AUTH_USERDB_INDEX"):
        return _path("RESTANTE_AUTH_USERDB_INDEX", Path()).with_suffix("")
    return _path("RESTANTE_AUTH_USERDB", data_dir() / "auth" / "userdb")


def _path(variable: str, default: Path) -> Path:
    text = os.environ.get(variable) or str(default)
    return Path(os.path.abspath(os.path.expanduser(text)))
