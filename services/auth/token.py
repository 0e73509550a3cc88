"""The admin token: given by a setting, or made once and kept in a file only we can read."""

from pathlib import Path

from services.auth.secret import kept_text


def admin_token(given: str, path: Path) -> str:
    """Return the token; `given` wins, else the file's, which is made (0600) where it is absent.

    Raises MailError(CANNOT) where the file cannot be used.
    """
    return given or kept_text("admin token", path)
