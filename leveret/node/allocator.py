"""Tune the allocator of the C library: how much freed memory it keeps, and when it returns it to the system."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # mallopt(3): free memory at the end of the heap above which it is returned
M_TOP_PAD: Final = -2  # free memory to keep when the rest is returned
M_MMAP_THRESHOLD: Final = -3  # block size above which a block is mapped on its own and returned when freed
KEPT_BYTES: Final = 64 << 20
LEFT_BYTES: Final = 48 << 20  # so that after a message of 16 MiB at most that much is returned: a few milliseconds


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB of freed memory, and blocks of up to 64 MiB.

    By default, glibc returns large blocks at once and maps them again, zeroed page by page, for the next message. That
    is half the cost of a message of 16 MiB, and a tenth of a durable one of 1 KiB. No effect with other C libraries.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_TOP_PAD, LEFT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)


def give_back_memory() -> None:
    """Return freed memory to the system, if the C library supports it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
