"""The secrets of a stack: who reads each, and how two that say the same stay in step.

A password stands in two files where two programs need it: PostgreSQL's in postgres.password and in
sql.url, Redis' in redis.conf and in redis.url. The one that is missing is made from the one that is
there, so that a crash between the two, or one of them brought by the operator, does no harm.
"""

import re
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from restante.cli.init_files import GRAFANA, POSTGRES, REDIS, Kept, Place
from restante.model import ErrorKind, MailError

AUTH_SECRET: Final = Kept("auth.secret")
ADMIN_TOKEN: Final = Kept("admin.token")
DELIVERY_TOKEN: Final = Kept("delivery.token")
DEMO_PASSWORD: Final = Kept("demo.password")
GRAFANA_PASSWORD: Final = Kept("grafana.password", GRAFANA, GRAFANA)
POSTGRES_PASSWORD: Final = Kept("postgres.password", POSTGRES, POSTGRES)
SQL_URL: Final = Kept("sql.url")
REDIS_CONF: Final = Kept("redis.conf", REDIS, REDIS)
REDIS_URL: Final = Kept("redis.url")

ALL: Final = (
    AUTH_SECRET,
    ADMIN_TOKEN,
    DELIVERY_TOKEN,
    POSTGRES_PASSWORD,
    SQL_URL,
    REDIS_URL,
    REDIS_CONF,
    DEMO_PASSWORD,
    GRAFANA_PASSWORD,
)

_SHORTEST: Final = 16  # characters of what seals and opens everything (services.auth.secret)
_LONG: Final = (AUTH_SECRET, ADMIN_TOKEN, DELIVERY_TOKEN)

_REDIS_CONF: Final = """\
# Hints and counters of failed logins: nothing in it is missed after a restart, so nothing is kept.
bind * -::*
port 6379
requirepass {password}
save ""
appendonly no
dir /tmp
maxmemory 128mb
maxmemory-policy volatile-ttl
"""


def make_secrets(place: Place) -> None:
    """Make what is missing, check what is there. Raises MailError(CANNOT)."""
    for kept in ALL:
        if place.has(kept):
            text = _text(place, kept)
            if kept in _LONG and len(text) < _SHORTEST:
                raise _refused(place, kept, f"has fewer than {_SHORTEST} characters")
            place.check_reader(kept)
    for kept in (AUTH_SECRET, ADMIN_TOKEN, DELIVERY_TOKEN):
        _make(place, kept, lambda: secrets.token_urlsafe(32))
    for kept in (DEMO_PASSWORD, GRAFANA_PASSWORD):
        _make(place, kept, lambda: secrets.token_urlsafe(12))
    _make(place, POSTGRES_PASSWORD, lambda: _password_of_url(place, SQL_URL) or _password())
    _make(place, SQL_URL, lambda: _sql_url(_text(place, POSTGRES_PASSWORD)))
    _make(place, REDIS_CONF, lambda: _redis_conf(_password_of_url(place, REDIS_URL) or _password()))
    _make(place, REDIS_URL, lambda: _redis_url(place))


def _make(place: Place, kept: Kept, value: Callable[[], str]) -> None:
    if not place.has(kept):
        place.write(kept, value().encode() + b"\n")


def _text(place: Place, kept: Kept) -> str:
    try:
        text = place.read(kept).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise _refused(place, kept, "is not text") from None
    if not text:
        raise _refused(place, kept, "is empty")
    return text


def _password() -> str:
    return secrets.token_hex(24)


def _password_of_url(place: Place, kept: Kept) -> str:
    if not place.has(kept):
        return ""
    try:
        return unquote(urlsplit(_text(place, kept)).password or "")
    except ValueError:
        raise _refused(place, kept, "is not a URL") from None


def _sql_url(password: str) -> str:
    return f"postgresql://restante:{quote(password, safe='')}@postgres:5432/restante"


def _redis_conf(password: str) -> str:
    if not re.fullmatch(r"[!#-&(-\[\]-~]+", password):  # what needs no quotes there
        raise MailError(ErrorKind.CANNOT, "redis.url: the password cannot stand in redis.conf")
    return _REDIS_CONF.format(password=password).rstrip("\n")


def _redis_url(place: Place) -> str:
    found = re.findall(r'(?m)^\s*requirepass\s+"?([^\s"]+)"?\s*$', _text(place, REDIS_CONF))
    password = f":{quote(found[-1], safe='')}@" if found else ""
    return f"redis://{password}redis:6379/0"


def _refused(place: Place, kept: Kept, why: str) -> MailError:
    return MailError(ErrorKind.CANNOT, f"{place.directory / kept.name} {why}")
