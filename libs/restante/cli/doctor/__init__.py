"""`restante doctor`: looks at settings, files, volume and backends, and says what to do.

Each check yields findings; none changes anything but for a file that it writes to the mail volume
and removes again. Exit code 1 where something FAILs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

import typer

from restante.cli import output
from restante.cli.doctor import backends, certificates, files, machine, volume
from restante.cli.doctor.finding import FAIL, OK, WARN, Finding, fail
from restante.cli.doctor.settings import SettingsClass, check_settings, check_variables
from restante.runtime.settings import ServiceSettings

Check = Callable[[Mapping[str, ServiceSettings]], Iterator[Finding]]

# Each takes the settings of the services that could be read.
_CHECKS: Final = (
    files.check,
    volume.check,
    certificates.check,
    machine.check,
    backends.check,
)


def examine(classes: Mapping[str, SettingsClass], more: Sequence[Check] = ()) -> Iterator[Finding]:
    """Yield all findings. `classes` are the settings of each service; `more`: further checks."""
    settings: dict[str, ServiceSettings] = {}
    for name, settings_class in classes.items():
        found, finding = check_settings(name, settings_class)
        yield finding
        if found is not None:
            settings[name] = found
    yield from check_variables(classes)
    if not settings:
        return
    for check in (*_CHECKS, *more):
        try:
            yield from check(settings)
        except Exception as error:  # noqa: BLE001 - one check that breaks must not hide the others
            name = check.__module__.rpartition(".")[2]
            yield fail(name, f"this check broke: {error!r}", "report it")


def doctor(
    classes: Mapping[str, SettingsClass],
    more: Sequence[Check] = (),
    *,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Print all findings, with `quiet` only what is not OK, and end with the exit code."""
    findings = []
    for finding in examine(classes, more):
        findings.append(finding)
        if not json and not (quiet and finding.status == OK):
            typer.echo(output.plain(f"{finding.status:<4}  {finding.what}: {finding.text}"))
            if finding.advice:
                typer.echo(output.plain(f"      -> {finding.advice}"))
    counts = dict.fromkeys((OK, WARN, FAIL), 0)
    for finding in findings:
        counts[finding.status] += 1
    if json:
        output.print_json({**counts, "findings": [asdict(finding) for finding in findings]})
    else:
        typer.echo(", ".join(f"{number} {status}" for status, number in counts.items()))
    if counts[FAIL]:
        raise typer.Exit(output.FAILED)
