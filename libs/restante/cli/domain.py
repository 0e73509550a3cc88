"""`restante domain`: domains of the SQL module, through the auth service's Admin API."""

from dataclasses import asdict
from typing import Annotated

import typer

from restante.cli import output
from restante.cli.admin import admin
from restante.cli.output import DryRunFlag, JsonFlag, YesFlag
from restante.cli.times import shown

app = typer.Typer(
    no_args_is_help=True,
    help="Manage mail domains.",
    epilog=output.EPILOG,
)

Name = Annotated[str, typer.Argument(metavar="DOMAIN", show_default=False)]
Quota = Annotated[
    str | None,
    typer.Option(help='Quota of accounts without their own: "10000000S,1000C"; "" is unlimited.'),
]
Options = Annotated[
    str | None, typer.Option(help='Options of accounts that do not set them: "disablepop3=1".')
]


@app.command()
def add(name: Name, quota: Quota = None, options: Options = None, json: JsonFlag = False) -> None:
    """Add a domain."""
    with admin() as client:
        made = client.create_domain(name, default_quota=quota or "", default_options=options or "")
    output.done(f"added domain {made.name}", as_json=json, value=asdict(made))


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List domains."""
    with admin() as client:
        found = [asdict(domain) for domain in client.domains()]
    columns = ("name", "accounts", "default_quota", "default_options")
    output.rows(found, columns, as_json=json, empty="no domains yet: restante domain add")


@app.command()
def show(name: Name, json: JsonFlag = False) -> None:
    """Show a domain."""
    with admin() as client:
        found = client.get_domain(name)
    facts = asdict(found)
    output.facts(facts if json else {**facts, "created": shown(found.created)}, as_json=json)


@app.command()
def update(
    name: Name, quota: Quota = None, options: Options = None, json: JsonFlag = False
) -> None:
    """Change a domain's defaults."""
    given = {"default_quota": quota, "default_options": options}
    fields = {key: value for key, value in given.items() if value is not None}
    if not fields:
        output.fail("nothing to change: give --quota or --options", output.USAGE)
    with admin() as client:
        changed = client.update_domain(name, **fields)
    output.done(f"changed domain {changed.name}", as_json=json, value=asdict(changed))


@app.command()
def remove(
    name: Name, dry_run: DryRunFlag = False, yes: YesFlag = False, json: JsonFlag = False
) -> None:
    """Remove a domain that has no accounts."""
    with admin() as client:
        client.delete_domain(name, dry_run=True)
        if dry_run:
            value = {"name": name, "removed": False}
            output.done(f"would remove domain {name}", as_json=json, value=value)
            return
        output.confirm(f"Remove domain {name}?", yes=yes, needed_in_scripts=False)
        client.delete_domain(name)
    value = {"name": name, "removed": True}
    output.done(f"removed domain {name}", as_json=json, value=value)
