"""Memory that a server on this host reads pictures from, where it lets its clients do that.

A region has a name in `/dev/shm` only until the server has mapped it: then the name is removed, and
however this process ends, nothing stays there. What the server has mapped, it keeps until it is
told to forget it: at `close`, at the interpreter's exit, and before the next picture after a call
that failed, whose picture the server may still be reading.

Source: Triton's "Shared-Memory Extension" of the KServe protocol, system shared memory.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._errors import (
    AccessDeniedError,
    InferenceFailedError,
    ProtocolError,
    SegmentationError,
    ServerError,
)
from .deadline import Deadline
from .endpoint import ServerEndpoint
from .flow import Flow, Pause

_logger = logging.getLogger("tritonseg")

_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - where Linux has POSIX shared memory
_UNIT_BYTES: Final = 2**20
"""Regions are multiples of it, so that pictures of nearly one size share them."""
_ASK_AGAIN_AFTER_S: Final = 60.0
_FORGOTTEN_BY_A_CALL: Final = 2
"""So that a call does not pay for all that went before it."""
_CLOSING_S: Final = 2.0
_IN_USE_PAUSE_S: Final = 0.1
_HOW: Final = "`tritonseg serve --allow shared-memory` does"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedRegion:
    """Memory that this process and the server see; this process until nobody has the object.

    Attributes:
        name: What the server calls it.
        memory: What this process sees.
    """

    name: str
    memory: mmap.mmap

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.memory)


class SharedMemory:
    """The regions of one client; safe to share between threads.

    Args:
        server: Who shall read them.
    """

    def __init__(self, server: ServerEndpoint) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._free: list[SharedRegion] = []
        self._lent: list[SharedRegion] = []
        self._unwanted: list[SharedRegion] = []
        self._refused_until_s = 0.0
        self._is_closed = False

    def lend(self, content: bytes, deadline: Deadline) -> Flow[SharedRegion | None]:
        """Return a region that begins with a picture; None where none can be had.

        It is to be given to `take_back`.

        Raises:
            SegmentationError: The server did not answer, or has no time for that now.
        """
        # First, since a region that is lent is lost where this raises.
        yield from self._forget_unwanted(deadline, most=_FORGOTTEN_BY_A_CALL)
        region = self._reused(len(content))
        if region is None:
            yield from self._forget_unwanted(deadline, most=_FORGOTTEN_BY_A_CALL)
            region = yield from self._shared(len(content), deadline)
        if region is not None:
            region.memory[: len(content)] = content
        return region

    def take_back(self, region: SharedRegion, *, is_answered: bool) -> None:
        """Keep a region for the next picture, if the server has answered.

        If not, nobody knows whether it still reads the region, which is never written to again.
        """
        self._return(region, self._free if is_answered else self._unwanted)

    @property
    def is_used(self) -> bool:
        """Whether the server knows any region."""
        return bool(self._free or self._lent or self._unwanted)

    def forget_all(self) -> Flow[None]:
        """Have the server forget all regions, in two seconds or not at all."""
        self._is_closed = True
        with self._lock:
            for kept in (self._free, self._lent):
                self._unwanted += kept
                kept.clear()
        deadline = Deadline(_CLOSING_S)
        with suppress(SegmentationError):
            while True:
                yield from self._forget_unwanted(deadline, most=len(self._unwanted))
                if not self._unwanted:
                    return
                yield Pause(delay_s=min(_IN_USE_PAUSE_S, deadline.require_s()))

    def _return(self, region: SharedRegion, kept: list[SharedRegion] | None) -> None:
        """End the lending of a region; None for one that the server does not know."""
        with self._lock:
            if region not in self._lent:
                return  # the client was closed meanwhile
            self._lent.remove(region)
            if kept is not None:
                kept.append(region)

    def _reused(self, byte_count: int) -> SharedRegion | None:
        """Lend the smallest free region that is large enough; drop one if all are too small."""
        with self._lock:
            self._free.sort(key=lambda region: region.size)
            for region in self._free:
                if region.size >= byte_count:
                    self._free.remove(region)
                    self._lent.append(region)
                    return region
            self._unwanted += self._free[:1]
            del self._free[:1]
            return None

    def _forget_unwanted(self, deadline: Deadline, *, most: int) -> Flow[None]:
        """Have the server forget what is not wanted any more and not in use there."""
        with self._lock:
            regions = self._unwanted[:most]
            self._unwanted = self._unwanted[most:] + regions  # the others first, the next time
        for region in regions:
            try:
                yield self._server.forget_memory(region.name, deadline.require_s())
            except InferenceFailedError:
                continue  # what the server says while it reads it
            except ServerError:
                pass  # not the one any more that knew it
            with self._lock:
                self._unwanted = [one for one in self._unwanted if one is not region]

    def _shared(self, byte_count: int, deadline: Deadline) -> Flow[SharedRegion | None]:
        """Lend a new region."""
        if self._is_closed or time.monotonic() < self._refused_until_s:
            return None
        try:
            region = _create(-(-byte_count // _UNIT_BYTES) * _UNIT_BYTES)
        except OSError as error:
            self._refuse(f"no memory can be shared: {error.strerror}")
            return None
        with self._lock:
            self._lent.append(region)
        try:
            yield self._server.share_memory(region.name, region.size, deadline.require_s())
        except (ServerError, ProtocolError) as error:
            self._return(region, None)
            if error.retryable:
                raise
            reason = str(error)
            if isinstance(error, AccessDeniedError):
                reason = f"{self._server.subject} does not allow shared memory ({_HOW})"
            self._refuse(reason)
            return None
        except BaseException:
            self.take_back(region, is_answered=False)  # it may have got there
            raise
        finally:
            (_FOLDER / region.name).unlink(missing_ok=True)
        return region

    def _refuse(self, reason: str) -> None:
        self._refused_until_s = time.monotonic() + _ASK_AGAIN_AFTER_S
        _logger.warning("%s; the pixels are sent instead", reason)


def _create(size: int) -> SharedRegion:
    """Return new memory, which exists: not only from the first write on, which would kill."""
    name = f"tritonseg-{os.getpid()}-{uuid.uuid4().hex}"
    path = _FOLDER / name
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return SharedRegion(name=name, memory=mmap.mmap(descriptor, size))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
