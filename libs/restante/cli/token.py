"""`restante token`: API tokens, their roles and domains, through the auth service's Admin API."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from restante.cli import output
from restante.cli.admin import admin
from restante.cli.output import JsonFlag
from restante.cli.times import expiry, shown
from restante.rpc.admin_values import ROLES, TokenInfo

app = typer.Typer(
    no_args_is_help=True, help="Manage tokens for administration.", epilog=output.EPILOG
)

_COLUMNS = ("id", "name", "role", "domains", "expires", "last_used")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who or what holds it.", show_default=False)],
    role: Annotated[str, typer.Option(help=", ".join(ROLES))],
    domain: Annotated[
        list[str] | None, typer.Option(help="Bind it to a domain; may be repeated.")
    ] = None,
    expires: Annotated[str, typer.Option(help='"12h", "90d", "4w" or a date.')] = "",
    json: JsonFlag = False,
) -> None:
    """Make a token and print its secret, which is never shown again.

    RESTANTE_ADMIN_TOKEN, or the file RESTANTE_ADMIN_TOKEN_FILE, gives it to commands.
    """
    if role not in ROLES:
        output.fail(f"a role is one of {', '.join(ROLES)}", output.USAGE)
    until = expiry(expires)
    with admin() as client:
        made, secret = client.create_token(name, role, domain or (), expires=until)
    output.done(secret, as_json=json, value={**asdict(made), "secret": secret})


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List tokens, the oldest first."""
    with admin() as client:
        found = client.tokens()
    rows = [asdict(token) if json else _row(token) for token in found]
    output.rows(rows, _COLUMNS, as_json=json, empty="no tokens but the admin token")


@app.command()
def remove(
    token: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    json: JsonFlag = False,
) -> None:
    """End a token."""
    with admin() as client:
        client.delete_token(token)
    value = {"id": token, "removed": True}
    output.done(f"removed token {token}", as_json=json, value=value)


def _row(token: TokenInfo) -> dict[str, Any]:
    return {
        **asdict(token),
        "domains": " ".join(token.domains),
        "expires": shown(token.expires),
        "last_used": shown(token.last_used),
    }
