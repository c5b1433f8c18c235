"""Tells glibc to keep the memory that training frees.

Every step frees activations of a few megabytes and allocates them again. By default glibc returns
them to the kernel, which hands them out again page by page, zeroed: thousands of page faults per
step, a third of the time. The numbers of a run do not change.
"""

import ctypes
import sys

#: Parameter number from glibc's malloc.h, and value.
_SETTINGS = {
    # No block gets a mapping of its own. M_MMAP_THRESHOLD would not do: its documented limit of
    # 32 MiB is less than an activation of 1,024 images (measured: 8,700 page faults per step).
    "M_MMAP_MAX": (-4, 0),
    # The top of the heap is never returned to the kernel.
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    # The heap grows in steps of 256 MiB of addresses; memory is taken only when it is touched.
    "M_TOP_PAD": (-2, 2**28),
}


def keep_freed_memory() -> bool:
    """Set up this process's allocator; entry points call this before the first step.

    Returns:
        Whether the settings took effect; they do not where the C library is not glibc.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    accepted = [libc.mallopt(parameter, value) == 1 for parameter, value in _SETTINGS.values()]
    return all(accepted)
