"""Tells glibc to keep the memory that training frees.

Activations of a few megabytes are freed and asked for again at every step. By default glibc gives
them back to the kernel, which hands them out again page by page, zeroed: thousands of page faults
a step, a third of the time. The numbers of a run do not change.
"""

import ctypes
import sys

#: From glibc's malloc.h: parameter, value.
_SETTINGS = {
    # No block gets a mapping of its own. Not M_MMAP_THRESHOLD: its documented limit of 32 MiB is
    # less than an activation of 1,024 images (measured: 8,700 page faults a step).
    "M_MMAP_MAX": (-4, 0),
    # The top of the heap is never given back.
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    # The heap grows in steps of 256 MiB of addresses; memory is only taken when touched.
    "M_TOP_PAD": (-2, 2**28),
}


def keep_freed_memory() -> bool:
    """Sets up this process's allocator; for entry points, before the first step.

    Returns:
        Whether it took effect; it does not where the C library is not glibc.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    accepted = [libc.mallopt(parameter, value) == 1 for parameter, value in _SETTINGS.values()]
    return all(accepted)
