"""Makes the modules that RESTANTE_AUTH_MODULES names.

Each is a Python module with `make(settings, context) -> Backend`, loaded only where it is used:
what a directory needs (an LDAP library, a database driver) is an extra of the distribution.
"""

import importlib
from collections.abc import Callable

from restante.model import ErrorKind, MailError
from services.auth.backends.base import Backend, ModuleContext
from services.auth.module_names import MODULES
from services.auth.settings import AuthSettings

_Make = Callable[[AuthSettings, ModuleContext], Backend]


def make_module(name: str, settings: AuthSettings, context: ModuleContext) -> Backend:
    """Return a module. Raises MailError(CANNOT) where its library is not installed."""
    try:
        make: _Make = importlib.import_module(MODULES[name]).make
    except ModuleNotFoundError as error:
        text = f"the module {name} needs {error.name}, which is not installed"
        raise MailError(ErrorKind.CANNOT, text) from error
    return make(settings, context)
