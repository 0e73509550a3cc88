"""The command line `restante`: its groups, each loaded only when it is asked for."""

import importlib
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

# Loading gRPC and the tables of rich takes several times longer than everything else here.
_LAZY: Final = {
    "all": "restante.cli.all",
    "init": "restante.cli.init",
    "demo": "restante.cli.demo",
    "status": "restante.cli.status",
    "domain": "restante.cli.domain",
    "account": "restante.cli.account",
    "cert": "restante.cli.cert",
    "volume": "restante.cli.volume",
    "mail": "restante.cli.mail",
    "kick": "restante.cli.kick",
    "who": "restante.cli.who",
    "security": "restante.cli.security",
    "token": "restante.cli.token",
    "master": "restante.cli.master",
    "audit": "restante.cli.audit",
    "auth": "restante.cli.auth",
    "authtest": "restante.cli.authtest",
    "authenumerate": "restante.cli.authenumerate",
    "authpasswd": "restante.cli.authpasswd",
    "maildirmake": "restante.cli.maildirmake",
    "userdb": "restante.cli.userdb",
    "userdbpw": "restante.cli.userdbpw",
    "makeuserdb": "restante.cli.makeuserdb",
    "pw2userdb": "restante.cli.pw2userdb",
}


class _LazyGroup(TyperGroup):
    """A group whose commands are modules with a Typer application `app`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_LAZY, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(_LAZY[cmd_name])
        module.app._add_completion = False  # the options of `restante`, not of each command
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Restante keeps mail until its owner collects it.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"restante {version('restante')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options before any command."""
