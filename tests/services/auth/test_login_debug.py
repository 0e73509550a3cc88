"""RESTANTE_AUTH_DEBUG_LOGIN: the way of each request in the log, and no password in any coding."""

import base64
import contextlib
import hashlib
import tempfile
import urllib.parse
from pathlib import Path

from restante.model import MailError
from restante.rpc.client import AuthClient
from tests.services.auth.process import AuthProcess, auth_process
from tests.services.auth.test_authdaemon import ask

CANARY = "kanari/Vogel&7"


def codings(secret: str) -> set[str]:
    """Every way in which a log could show it."""
    raw = secret.encode()
    found = {secret, repr(secret), urllib.parse.quote(secret), urllib.parse.quote_plus(secret)}
    found |= {raw.hex(), raw.hex().upper(), repr(raw), secret[::-1]}
    for shift in range(3):  # base64 of it inside something longer
        coded = base64.b64encode(b"\0" * shift + raw).decode()
        found.add(coded[shift + 1 : -4])
    for name in ("md5", "sha1", "sha256"):
        digest = hashlib.new(name, raw).digest()
        found |= {digest.hex(), base64.b64encode(digest).decode()}
    return found


async def login(process: AuthProcess, user: str, password: str) -> None:
    client = AuthClient(process.target)
    with contextlib.suppress(MailError):
        await client.authenticate(user, password, service="imap", peer="192.0.2.9")
    with contextlib.suppress(MailError):
        await client.lookup(user)
    await client.close()


def steps(log: str, user: str) -> list[str]:
    """Return "asked: answer" of a user's lines in their order, and "-> outcome"."""
    found = []
    for line in log.splitlines():
        if ": login debug " not in line or f"user={user}" not in line:
            continue
        values = dict(_pairs(line))
        if "asked" in values:
            found.append(f"{values['asked']}: {values['answer']}")
        else:
            found.append(f"-> {values['outcome']}")
    return found


def _pairs(line: str) -> list[tuple[str, str]]:
    import shlex

    return [
        (key, value)
        for word in shlex.split(line.partition("login debug ")[2])
        for key, _, value in (word.partition("="),)
    ]


async def test_the_way_is_told_and_the_password_is_not() -> None:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        data = Path(name)
        users = data / "userdb"
        users.write_text(f"ann\thome=/srv/ann|uid=5|gid=6|systempw={{PLAIN}}{CANARY}\n")
        users.chmod(0o600)
        with auth_process(
            data,
            RESTANTE_AUTH_MODULES="userdb sql",
            RESTANTE_AUTH_USERDB=str(users),
            RESTANTE_AUTH_DEBUG_LOGIN="true",
            RESTANTE_AUTH_AUTHDAEMON_LISTEN=f"unix:{data}/socket",
            RESTANTE_LOG_LEVEL="debug",
        ) as process:
            await login(process, "ann", CANARY)
            await login(process, "ann", CANARY + "x")
            await login(process, "bob", CANARY)
            await ask(data, b"PRE . imap joe\n")
            body = b"imap\nlogin\nsue\n" + CANARY.encode() + b"\n"
            await ask(data, b"AUTH %d\n" % len(body) + body)
            secret = CANARY.encode()
            await ask(data, b"PASSWD imap\ttom\t" + secret + b"\tnew" + secret + b"\n")
            log = process.log()
    both = ["module userdb: not mine", "module sql: not mine"]
    found = ["throttle: go on", "module userdb: found"]
    assert steps(log, "ann") == [
        *found,
        "password plain: fits",
        "-> ok",
        "module userdb: found",
        "-> ok",
        *found,
        "password plain: does not fit",
        "module sql: not mine",
        "-> auth_failed",
        "module userdb: found",
        "-> ok",
    ]
    assert steps(log, "bob") == [
        "throttle: go on",
        *both,
        "-> auth_failed",
        *both,
        "-> no_such_user",
    ]
    assert steps(log, "joe") == [*both, "-> no_such_user"]
    assert steps(log, "sue") == ["throttle: go on", *both, "-> auth_failed"]
    assert steps(log, "tom") == ["throttle: go on", *both, "-> auth_failed"]
    assert [coding for coding in codings(CANARY) if coding in log] == []


async def test_nothing_is_told_unless_wanted() -> None:
    with tempfile.TemporaryDirectory(prefix="rst") as name, auth_process(Path(name)) as process:
        await login(process, "ann", CANARY)
        log = process.log()
    assert "login debug" not in log
    assert [coding for coding in codings(CANARY) if coding in log] == []
