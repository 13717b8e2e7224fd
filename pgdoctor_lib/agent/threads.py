"""Threads beside the hub, for what would hold it: fsync and friends, and a pipe that nobody reads."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gevent.threadpool import ThreadPool

from pgdoctor_lib.errors import DaemonError

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads:
    """So many, all started at once: gevent would start one when a job is there for it, and where that fails the job
    stays in its queue, to be done behind the back of whoever was told that it cannot be. DaemonError where none can be.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPool(count)
        try:
            self._pool.size = count
        except (RuntimeError, MemoryError) as error:
            raise DaemonError(f"no thread can be started: {error}", hint="see ulimit -u, or TasksMax") from None

    def __call__(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `function` returned in one of them; the other greenlets go on meanwhile."""
        result: _T = self._pool.apply(function, args, kwargs)
        return result
