"""Bytes of a message in, facts about them out: part tree by offsets, envelope, decoded text.

Sans-IO, and total: no input raises, recurses deeply or costs more than linear time. What goes
beyond a bound of `limits` is left opaque instead of being refused, since the message has been
accepted long ago and its owner wants to read it.
"""

from restante.mime.limits import DEFAULT, Limits
from restante.mime.message import parse

__all__ = ["DEFAULT", "Limits", "parse"]
