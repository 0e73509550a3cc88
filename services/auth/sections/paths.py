"""Paths of settings whose default lies below another setting."""

from pathlib import Path
from typing import Any


def below(done: dict[str, Any], *names: str) -> Path:
    """Return a path below RESTANTE_DATA; `done` are the settings read so far."""
    return Path(done["data"], *names)
