"""Handlers, one file per family, mirroring restante.wire.imap.commands."""
