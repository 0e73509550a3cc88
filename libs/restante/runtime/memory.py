"""What the C library does with large blocks, set for very many TLS connections.

Each TLS connection of uvloop has a read buffer of 256 KiB, of which an idle client has touched a
page or two. As a mapping of its own that costs these pages. But glibc raises the size from which
it maps blocks as soon as one is freed, and then cuts the buffers out of the heap, where the pages
between them were used before and stay: 48 KiB per idle connection where 26 KiB do (measured with
3,000). A fixed threshold keeps large blocks mapped.
"""

import contextlib
import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # of mallopt(3)
_BLOCK: Final = 256 * 1024  # bytes: uvloop's buffer, and nothing smaller


def map_large_blocks() -> bool:
    """Fix the threshold in this process and its children; False where the C library cannot."""
    with contextlib.suppress(AttributeError, OSError):
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BLOCK))
    return False
