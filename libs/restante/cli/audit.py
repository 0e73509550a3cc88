"""`restante audit`: the audit log's table, through the auth service's Admin API."""

from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer

from restante.cli import output
from restante.cli.admin import admin
from restante.cli.output import JsonFlag
from restante.cli.times import shown

app = typer.Typer(add_completion=False)

_COLUMNS = ("time", "action", "actor", "address", "service", "peer", "result", "detail")


@app.command(epilog=output.EPILOG)
def audit(
    address: Annotated[
        str, typer.Argument(metavar="[USER@DOMAIN]", help="Only this account.", show_default=False)
    ] = "",
    domain: Annotated[str, typer.Option(help="Only this domain.")] = "",
    action: Annotated[str, typer.Option(help='Only this action, such as "login".')] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Entries at most.")] = 100,
    json: JsonFlag = False,
) -> None:
    """Show who logged in, who failed, and who changed what; the newest first."""
    with admin() as client:
        found = list(islice(client.audit(address, domain, action), limit))
    rows = [{**asdict(one), "time": one.time if json else shown(one.time)} for one in found]
    output.rows(rows, _COLUMNS, as_json=json, empty="nothing")
