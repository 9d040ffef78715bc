"""What somebody's template may take while it is compiled or rendered: time and memory.

Jinja's sandbox keeps a template from files, modules and whatever else it was not given. It keeps
none from a loop of days or a string of terabytes, and Jinja works out constants when it compiles.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fcbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30.0
BYTES = 2 * 2**30


class _TooLong(BaseException):
    """No Exception, so that nothing on the way takes it for a fault of the template's own."""


@contextmanager
def bounded(shown: str) -> Iterator[None]:
    """Raise UsageError when what is done within takes more than SECONDS, or BYTES of new memory.

    Neither is bounded but in the main thread, time not on Windows, memory on Linux alone: signals
    and limits are the process's own. Nor is time where an alarm of somebody else's is set.
    """
    try:
        with _memory(), _time(SECONDS):
            yield
    except _TooLong:
        raise UsageError(f"{shown} takes longer than {SECONDS:g} s for one prompt") from None
    except MemoryError:
        what = f"{shown} takes more than {BYTES // 2**20} MB for one prompt"
        raise UsageError(what) from None


@contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Raise TimeoutError when what is done within takes longer, where `bounded` bounds time."""
    try:
        with _time(seconds):
            yield
    except _TooLong:
        raise TimeoutError from None


@contextmanager
def _time(seconds: float) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    if sys.platform == "win32" or not is_main or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    is_over = False

    def stop(*_: object) -> None:
        if not is_over:
            _give_up()

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _give_up() -> NoReturn:
    raise _TooLong


@contextmanager
def _memory() -> Iterator[None]:
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    n_pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    most = n_pages * resource.getpagesize() + BYTES
    allowed = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([most, *allowed]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
