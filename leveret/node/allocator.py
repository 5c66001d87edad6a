"""The C library's allocator: which freed memory it keeps, and when it gives it back."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # of mallopt(3): free memory at the end of the heap beyond which it goes back
M_TOP_PAD: Final = -2  # how much of it is left when the rest goes back
M_MMAP_THRESHOLD: Final = -3  # size from which a block is mapped for itself, and goes back when it is freed
KEPT_BYTES: Final = 64 << 20
LEFT_BYTES: Final = 48 << 20  # so that a message of 16 MiB makes no more than that go back: a few milliseconds


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB of freed memory, and blocks of up to 64 MiB.

    Its defaults give large blocks back at once and take them again, zeroed page by page, for the next message: half of
    what a message of 16 MiB costs, and a tenth of a durable one of 1 KiB. Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_TOP_PAD, LEFT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)


def give_back_memory() -> None:
    """Give memory that was freed back to the system, where the C library knows how."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
