"""Restante: a mail store of five services around one auth service and a shared Maildir volume."""

__version__ = "0.2.0"
