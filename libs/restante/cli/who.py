"""`restante who`: who is logged in now, by POP3, IMAP and webmail, on every replica."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from restante.cli import output
from restante.cli.admin import admin
from restante.cli.output import JsonFlag
from restante.cli.times import shown
from restante.rpc.admin_reports import SessionInfo

app = typer.Typer(add_completion=False)

_COLUMNS = ("address", "service", "peer", "client", "since", "host", "login", "session")


@app.command(epilog=output.EPILOG)
def who(
    address: Annotated[
        str, typer.Argument(metavar="[USER@DOMAIN]", help="Only this account.", show_default=False)
    ] = "",
    domain: Annotated[str, typer.Option(help="Only accounts of this domain.")] = "",
    json: JsonFlag = False,
) -> None:
    """Show live sessions: whose, by what service, from where, since when."""
    if address and domain:
        output.fail("give an account or a domain, not both", output.USAGE)
    with admin() as client:
        found = client.sessions(address, domain)
    sessions = sorted(found.sessions, key=lambda s: (s.address, s.since, s.peer))
    if json:
        output.print_json(
            {
                "sessions": [asdict(session) for session in sessions],
                "workers": found.workers,
                "silent": found.silent,
            }
        )
        return
    output.rows(
        [_row(session) for session in sessions], _COLUMNS, as_json=False, empty="nobody is in"
    )
    if found.silent:
        typer.echo(
            f"restante: {found.silent} of {found.workers + found.silent} workers did not answer "
            "in time: their sessions are missing",
            err=True,
        )


def _row(session: SessionInfo) -> dict[str, Any]:
    how = [session.mechanism, "TLS" if session.tls else ""]
    how.append(f"as {session.actor}" if session.actor else "")
    return {
        "address": session.address,
        "service": session.service,
        "peer": session.peer,
        "client": session.client,
        "since": shown(session.since),
        "host": session.host,
        "login": " ".join(filter(None, how)),
        "session": session.session,
    }
