"""Restante beside Dovecot and Courier of Debian's packages, measured in turns on one machine."""
