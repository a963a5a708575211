"""How the server's process gives memory back that a transfer has used."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""As <malloc.h> of glibc has them."""

LARGE: Final = 512 * 1024
"""Bytes of an allocation that is given back to the system when it is freed, and of what is kept free."""


def give_back() -> bool:
    """Let this process have one arena and give large blocks back; return whether its allocator can.

    glibc gives each thread an arena of its own, up to eight a core, and each keeps what was once freed in it:
    with a thread per stream, several payloads. To be called before threads are started.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, LARGE), (M_TRIM_THRESHOLD, LARGE))
    return all(mallopt(name, value) == 1 for name, value in settings)
