"""Do the settings of every service parse, and does every RESTANTE_ variable mean something?"""

import contextlib
import difflib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from restante.cli.doctor.finding import Finding, fail, ok, warn
from restante.runtime.settings import CommonSettings, ServiceSettings, load, variables

SettingsClass = Callable[[], type[ServiceSettings]]

# Read by the command line and by `restante all`, not by settings classes.
_OTHERS: Final = (
    "RESTANTE_ADMIN_TOKEN",
    "RESTANTE_DEMO_PASSWORD",
)


def check_settings(
    name: str, settings_class: SettingsClass
) -> tuple[ServiceSettings | None, Finding]:
    """Return the settings of a service, None where they are wrong, and what there is to say."""
    what = f"settings of {name}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            settings = load(settings_class())
    except SystemExit:
        text = said.getvalue().strip().removeprefix("restante: wrong settings: ")
        return None, fail(what, text, "correct the variable; docs/settings.md has all of them")
    except ImportError as error:
        return None, fail(what, f"cannot be read: {error}", "install Restante anew")
    return settings, ok(what, "can be read")


def check_variables(classes: Mapping[str, SettingsClass]) -> Iterator[Finding]:
    """Find RESTANTE_ variables that nothing reads: most are misspelled."""
    known = set(_OTHERS)
    found: list[type[CommonSettings]] = [CommonSettings]
    for settings_class in classes.values():
        with contextlib.suppress(ImportError):
            found.append(settings_class())
    for one in found:
        known |= {name for field in one.model_fields for name in variables(one, field)}
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith("RESTANTE_") and name.removesuffix("_FILE") not in known
    )
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]}?" if near else "remove it; docs/settings.md has all"
        yield warn("environment", f"nothing reads {name}", advice)
    if not unknown:
        yield ok("environment", "every RESTANTE_ variable is known")
