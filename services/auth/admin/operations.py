"""All operations by the names of their methods. A family of methods is one module here."""

from collections.abc import Mapping

from services.auth.admin import (
    accounts,
    auditlog,
    domains,
    imports,
    masters,
    security,
    sessions,
    testlogin,
    tokens,
)
from services.auth.admin.tools import Operation, Tools

# Each has operations(tools) -> {method: operation}.
_FAMILIES = (
    domains,
    accounts,
    imports,
    sessions,
    testlogin,
    tokens,
    masters,
    security,
    auditlog,
)


def operations(tools: Tools) -> Mapping[str, Operation]:
    """Return the operation of each method."""
    found: dict[str, Operation] = {}
    for family in _FAMILIES:
        found.update(family.operations(tools))
    return found
