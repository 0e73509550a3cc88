"""The demo account: of `restante all`, made once, with a new password at every start, and of
containers, `restante demo`, with the password that RESTANTE_DEMO_PASSWORD or its _FILE gives.

The password is printed and nowhere stored in clear by us; the account's own store keeps its hash.
"""

import http.client
import json
import os
import secrets
import smtplib
import time
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import typer

from restante.cli import output
from restante.cli.admin import admin as running_system
from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import AdminClient, read_token
from restante.runtime import runfile

app = typer.Typer()

DOMAIN: Final = "example.test"
ADDRESS: Final = f"demo@{DOMAIN}"
_PATIENCE: Final = 15.0  # seconds for one call

_WELCOME: Final = """\
Welcome.

This message came in through the delivery service, was stored in a Maildir, and you read it through
POP3 or IMAP: everything works.

    restante status                 what runs, and where
    restante account add ADDRESS    another account
    restante account passwd ADDRESS another password
    restante --help                 the rest

The demo account gets a new password whenever the system starts; it is printed there.
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """The account as it is to be shown."""

    address: str
    password: str
    created: bool


def prepare(run_dir: Path, target: str) -> Demo:
    """Make the demo account, or give the one that exists a new password. Raises MailError."""
    modules = os.environ.get("RESTANTE_AUTH_MODULES") or "sql"
    if "sql" not in modules.replace("auth", "").replace(",", " ").split():
        raise MailError(ErrorKind.CANNOT, "RESTANTE_AUTH_MODULES is without sql")
    password = _given_password() or secrets.token_urlsafe(12)
    with AdminClient(target, read_token(run_dir)) as admin:
        return make(admin, password)


def make(admin: AdminClient, password: str) -> Demo:
    """Make the account, or give the one that exists this password. Raises MailError."""
    try:
        admin.create_domain(DOMAIN)
    except MailError as error:
        if error.kind is not ErrorKind.ALREADY_EXISTS:
            raise
    try:
        admin.create_account(ADDRESS, password, name="Demo")
    except MailError as error:
        if error.kind is not ErrorKind.ALREADY_EXISTS:
            raise
        if admin.set_password(ADDRESS, password, dry_run=True):  # a change would end its sessions
            admin.set_password(ADDRESS, password)
        return Demo(ADDRESS, password, False)
    return Demo(ADDRESS, password, True)


@app.command()
def demo(json: output.JsonFlag = False) -> None:
    """Make the account demo@example.test, and print its password.

    The password is that of RESTANTE_DEMO_PASSWORD or RESTANTE_DEMO_PASSWORD_FILE, else a new one.
    """
    with running_system() as client:
        try:
            password = _given_password() or secrets.token_urlsafe(12)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise MailError(
                ErrorKind.CANNOT, f"RESTANTE_DEMO_PASSWORD_FILE cannot be read: {reason}"
            ) from None
        found = make(client, password)
    value = {"address": found.address, "password": found.password, "created": found.created}
    output.done(f"{found.address}   password: {found.password}", as_json=json, value=value)


def welcome(run_dir: Path) -> None:
    """Deliver the welcome message by the HTTP hook, or by LMTP where that is switched off.

    Raises MailError(TEMPORARY) with what went wrong.
    """
    run = runfile.read(run_dir, "delivery")
    if run is None:
        raise MailError(ErrorKind.TEMPORARY, "the delivery service is not running")
    message = EmailMessage()
    message["From"] = f"Restante <postmaster@{DOMAIN}>"
    message["To"] = ADDRESS
    message["Subject"] = "Welcome to Restante"
    message["Date"] = formatdate(time.time())
    message["Message-ID"] = make_msgid(domain=DOMAIN)
    message.set_content(_WELCOME)
    data = message.as_bytes().replace(b"\n", b"\r\n")
    try:
        if run.endpoint("http_listen"):
            _by_http(run, run_dir, data)
        elif run.endpoint("lmtp_listen"):
            _by_lmtp(run, data)
    except (OSError, http.client.HTTPException, smtplib.SMTPException) as error:
        raise MailError(ErrorKind.TEMPORARY, f"delivery: {error}") from None


def _by_http(run: runfile.RunFile, run_dir: Path, data: bytes) -> None:
    client = http.client.HTTPConnection(*run.endpoint("http_listen").target, timeout=_PATIENCE)
    try:
        client.request(
            "POST",
            "/v1/deliver?" + urlencode({"sender": "", "recipient": ADDRESS}),
            data,
            {
                "Authorization": f"Bearer {_http_token(run_dir)}",
                "Content-Type": "message/rfc822",
            },
        )
        answer = client.getresponse()
        body = answer.read(10_000)
    finally:
        client.close()
    if answer.status != 200:
        raise MailError(ErrorKind.TEMPORARY, f"delivery answered {answer.status}: {_reason(body)}")


def _reason(body: bytes) -> str:
    try:
        found = json.loads(body)
        return str(found.get("text") or found["recipients"][0]["text"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "no reason given"


def _by_lmtp(run: runfile.RunFile, data: bytes) -> None:
    address = run.endpoint("lmtp_listen")
    host, port = (address.path, 0) if address.is_unix else address.target
    with smtplib.LMTP(host, port) as client:
        client.sendmail("", [ADDRESS], data)


def _given_password() -> str:
    return _variable("RESTANTE_DEMO_PASSWORD")


def _http_token(run_dir: Path) -> str:
    given = _variable("RESTANTE_DELIVERY_HTTP_TOKEN")
    return given or (run_dir / "delivery.token").read_text("ascii").strip()


def _variable(name: str) -> str:
    path = os.environ.get(name + "_FILE")
    if path:
        return Path(path).read_text("utf-8").removesuffix("\n")
    return os.environ.get(name, "")
