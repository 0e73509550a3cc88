# ruff: noqa: PLC0415 - the short way does without the libraries of the command line
"""The entry point of everything: `restante ...`, and `python -m services NAME` in containers.

Starting a service takes the short way past the command line's libraries, because the supervisor
and containers do it often; everything else is in restante.cli.
"""

import importlib
import sys
from functools import partial
from typing import Annotated, Any, Final

SERVICES: Final = {
    "auth": "services.auth.main",
    "delivery": "services.delivery.main",
    "pop3": "services.pop3.main",
    "imap": "services.imap.main",
    "webmail": "services.webmail.main",
}
"""Each module has `main() -> int`, the whole life of the service. In the order of starting."""


SETTINGS: Final = {
    "auth": "services.auth.settings:AuthSettings",
    "delivery": "services.delivery.settings:DeliverySettings",
    "pop3": "services.pop3.settings:Pop3Settings",
    "imap": "services.imap.settings:ImapSettings",
    "webmail": "services.webmail.settings:WebmailSettings",
}


def serve(name: str) -> int:
    """Run a service until it is told to end; return its exit code."""
    return int(importlib.import_module(SERVICES[name]).main())


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    words = sys.argv[1:]
    if words[:1] == ["serve"] and len(words) == 2:
        words = words[1:]
    if len(words) == 1 and words[0] in SERVICES:
        return serve(words[0])
    if words[:1] == ["healthy"] and "--help" not in words:
        from restante.cli.healthy import main as healthy

        return healthy(words[1:])
    return _command_line()


def _command_line() -> int:
    import typer

    from restante.cli.main import app

    @app.command("serve")
    def serve_command(
        name: Annotated[str, typer.Argument(help=" | ".join(SERVICES))],
    ) -> None:
        """Run one service in the foreground, as a container does."""
        if name not in SERVICES:
            sys.stderr.write(f"restante: no service {name!r}; one of: {', '.join(SERVICES)}\n")
            raise typer.Exit(2)
        raise typer.Exit(serve(name))

    @app.command("healthy")
    def healthy_command(
        service: Annotated[list[str] | None, typer.Argument(help=" | ".join(SERVICES))] = None,
    ) -> None:
        """Exit with 0 if the services that run here are ready: a container's health check."""
        from restante.cli.healthy import main as healthy

        raise typer.Exit(healthy(service or []))

    @app.command("doctor")
    def doctor_command(
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is not OK.")] = False,
        json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Look at settings, files, volume and backends, and say what to do; exit code 0 or 1."""
        from restante.cli.doctor import doctor

        doctor(
            {name: partial(_settings_class, path) for name, path in SETTINGS.items()},
            (_sealed_factors,),
            quiet=quiet,
            json=json,
        )

    app(prog_name="restante")
    return 0


def _sealed_factors(settings: Any) -> Any:
    """A check of doctor's: does auth's secret fit its database?"""
    from restante.cli.doctor.finding import fail, ok, warn
    from services.auth.factors.sealed import look_at_sealed

    if "auth" not in settings:
        return
    what, found = "secret of auth", look_at_sealed(settings["auth"])
    advice = "restore RESTANTE_AUTH_SECRET, or DATA/auth/secret, from the time of the database"
    if found.fault:
        yield warn(what, f"cannot be compared with the database ({found.fault})", "see above")
    elif found.shut and not found.secret:
        yield fail(what, f"is not there; {found.shut} second factors were sealed with it", advice)
    elif found.shut:
        text = f"does not open {found.shut} of {found.shut + found.opened} second factors"
        yield fail(what, text, f"{advice}; else `restante security reset` for each account")
    elif found.opened:
        yield ok(what, f"opens the second factors of {found.opened} accounts")
    else:
        yield ok(what, "no second factors are sealed with it")


def _settings_class(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    sys.exit(main())
