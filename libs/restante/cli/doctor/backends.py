"""What answers: the services, auth with every module and its database, Redis."""

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from restante.cli.admin import connect
from restante.cli.doctor.finding import Finding, fail, ok, warn
from restante.cli.endpoints import SERVICES, health
from restante.model import MailError
from restante.rpc.admin_client import AdminClient
from restante.runtime import environment
from restante.runtime.settings import ServiceSettings

# Nobody can have it: "invalid" is reserved (RFC 2606).
NOBODY: Final = "restante-doctor@doctor.invalid"

_LIBRARIES: Final = {"pam": "pam"}
_URLS: Final = {
    "postgresql": "psycopg",
    "postgres": "psycopg",
    "mysql": "pymysql",
    "mariadb": "pymysql",
}
_DRIVERS: Final = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_SECONDS: Final = 3


def check(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    """Ask each, as the services do."""
    yield from _libraries(settings)
    yield from _services()
    yield from _databases(settings)
    yield from _auth()
    yield from _redis(settings)


def _libraries(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    auth = settings.get("auth")
    modules = getattr(auth, "modules", ())
    needed = {_LIBRARIES[name]: name for name in modules if name in _LIBRARIES}
    scheme = urlsplit(str(getattr(auth, "sql_url", ""))).scheme.partition("+")[0]
    if scheme in _URLS:
        needed[_URLS[scheme]] = scheme
    for library, extra in needed.items():
        if importlib.util.find_spec(library) is None:
            name = "postgres" if extra.startswith("postgres") else extra
            advice = f"pip install 'restante[{name}]'"
            yield fail("installation", f"{extra} needs {library}, which is not there", advice)


def _services() -> Iterator[Finding]:
    run_dir = environment.run_dir()
    found = [health(run_dir, name) for name in SERVICES]
    if not any(state.pid for state in found):
        yield warn("services", "none runs on this data directory", "`restante all`, or containers")
        return
    for state in found:
        what = f"service {state.service}"
        if state.pid is None:
            yield warn(what, "does not run here", "fine where it runs on another machine")
        elif state.ready:
            yield ok(what, state.text)
        else:
            yield fail(what, state.text, "its log says why")


def _databases(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    """Connect to auth's own database, and to its read replicas, as auth does."""
    auth = settings.get("auth")
    urls = {"RESTANTE_AUTH_SQL_URL": str(getattr(auth, "sql_url", ""))}
    for number, url in enumerate(getattr(auth, "sql_read_urls", ()), 1):
        urls[f"RESTANTE_AUTH_SQL_READ_URLS, number {number}"] = url
    for variable, url in urls.items():
        scheme = urlsplit(url).scheme.partition("+")[0]
        if scheme in _DRIVERS:
            yield _connect(variable, url, scheme)


def _connect(variable: str, text: str, scheme: str) -> Finding:
    import sqlalchemy as sql  # noqa: PLC0415 - slow to load
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - as above

    what = f"database of {variable}"
    url = sql.make_url(text).set(drivername=_DRIVERS[scheme])
    shown = f"{url.host or url.query.get('host') or 'the local server'}/{url.database}"
    try:
        engine = sql.create_engine(url, connect_args={"connect_timeout": _SECONDS})
        try:
            with engine.connect() as connection:
                connection.execute(sql.text("SELECT 1"))
        finally:
            engine.dispose()
    except ModuleNotFoundError:
        return fail(what, "its driver is not installed", "see the line of the installation")
    except SQLAlchemyError as error:
        reason = (
            str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        )
        password = url.password or ""
        if password and password in reason:
            reason = type(error).__name__
        return fail(what, f"{shown}: {reason}", "is it running, and are address and user right?")
    return ok(what, f"{shown} answers")


def _auth() -> Iterator[Finding]:
    try:
        with connect() as client:
            yield from _ask(client)
    except MailError as error:
        advice = "is auth running, and RESTANTE_AUTH_TARGET right? `restante status` shows more"
        yield fail("auth", error.text, advice)


def _ask(client: AdminClient) -> Iterator[Finding]:
    result = client.test_login(NOBODY)
    yield ok("auth", "answers")
    fault = result.outcome == "temporary"
    for step in result.steps:
        if not step.who.startswith("module "):
            continue
        what, took = f"auth, {step.who}", f"{step.seconds * 1000:.1f} ms"
        if fault and step is result.steps[-1]:
            text = step.detail or step.answer
            yield fail(what, text, "nobody can log in meanwhile; auth's log says more")
        else:
            yield ok(what, f"answers in {took}")
    if fault:
        yield warn("auth", "modules behind that one were not asked", "mend it first")
    try:
        next(iter(client.domains()), None)
        yield ok("auth, database", "answers")
    except MailError as error:
        if error.kind.value == "cannot":  # module sql is not in use
            return
        yield fail("auth, database", error.text, "see RESTANTE_AUTH_SQL_URL")


def _redis(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    urls: dict[str, str] = {}
    for name, one in settings.items():
        if one.hints.startswith(("redis:", "rediss:", "unix:")):
            urls.setdefault(one.hints, f"RESTANTE_HINTS ({name})")
    secret = getattr(settings.get("auth"), "throttle_redis", None)
    if secret is not None:
        urls.setdefault(secret.get_secret_value(), "RESTANTE_AUTH_THROTTLE_REDIS")
    for url, variable in urls.items():
        yield _ping(url, variable)


def _ping(url: str, variable: str) -> Finding:
    import redis  # noqa: PLC0415 - only where it is used

    try:
        client = redis.Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        with client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        # The URL may hold a password: it is not shown.
        text = f"does not answer: {type(error).__name__}"
        return fail(f"Redis of {variable}", text, "is it running, and the URL right?")
    return ok(f"Redis of {variable}", "answers")
