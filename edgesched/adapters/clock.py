"""The only reader of clocks.

`boot_ns` is CLOCK_BOOTTIME: it counts through suspend and never steps. Whether the wall clock may be trusted at start
is asked of the kernel: it knows whether a time service has disciplined it (the state that chrony and systemd-timesyncd
set, and that `timedatectl` shows).
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Final

from edgesched.core.model import Instant

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 512  # struct timex is 208 bytes on 64 bit and smaller elsewhere


class SystemClock:
    """The `Clock` of the machine. Callable from any thread."""

    def now(self) -> Instant:
        """Read both clocks."""
        return Instant(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))  # noqa: TID251


def kernel_synchronised() -> bool:
    """Tell whether the kernel counts its clock as synchronised; False when it cannot be asked.

    Inside a container the answer is that of the host's kernel, which is the clock that counts.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _TIME_ERROR


def clock_trusted(now_ns: int, *, newest_known_ns: int) -> bool:
    """Tell whether cron slots may open at once.

    `newest_known_ns`: the later of the newest committed time and the build date; a clock at or before it has not been
    set since the power came back. A synchronised kernel is trusted whatever it says.
    """
    return now_ns > newest_known_ns or kernel_synchronised()


def boot_id() -> str:
    """The kernel's id of this boot, empty where there is none."""
    try:
        return Path(_BOOT_ID).read_text(encoding="ascii").strip()
    except OSError:
        return ""
