"""The children that decode images from strangers (image_probe.py), several at once, and the leash they are held on."""

import atexit
import json
import os
import queue
import selectors
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings

PROBE_SECONDS = 20.0
# What a decoding child needs of the environment; no secret is among it.
CHILD_VARIABLES = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH")


class Decoder:
    """One decoding child, started when first needed and anew after it had to be killed. For one thread at a time."""

    def __init__(self) -> None:
        self.child: subprocess.Popen | None = None

    def probe(self, path: Path) -> dict[str, Any]:
        """The child's answer; a refusal when it died over the file or took too long."""
        was_running = self.child is not None
        line = self._ask(path)
        if not line and was_running:  # it may have died before; a fresh child's death is the file's doing
            line = self._ask(path)
        if not line:
            return {"refused": "It could not be decoded within the time and memory allowed."}
        return json.loads(line)

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None

    def _ask(self, path: Path) -> bytes:
        """The child's line; empty when it died or took too long, and then it is gone."""
        child = self._started()
        assert child.stdin is not None
        request = {"path": str(path), "max_pixels": settings.MAX_IMAGE_PIXELS}
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            line = self._answer(child)
        except BrokenPipeError:
            line = b""
        if not line:
            self.stop()
        return line

    def _started(self) -> subprocess.Popen:
        if self.child is None or self.child.poll() is not None:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "annotator.data.image_probe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=settings.BASE_DIR,
                env={name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ},
                start_new_session=True,
            )
        return self.child

    @staticmethod
    def _answer(child: subprocess.Popen) -> bytes:
        assert child.stdout is not None
        with selectors.PollSelector() as selector:  # of the few, the one that needs no handle of its own
            selector.register(child.stdout, selectors.EVENT_READ)
            return child.stdout.readline() if selector.select(PROBE_SECONDS) else b""


class Decoders:
    """This process's decoders, IMAGE_DECODERS at most, each with a thread that writes to its child and waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0
        # The one used last first: where images come one by one, one child serves them all.
        self._free: queue.LifoQueue[Decoder] = queue.LifoQueue()
        self.all: list[Decoder] = []

    def probe(self, path: Path) -> dict[str, Any]:
        return self.probe_started(path).result()

    def probe_started(self, path: Path) -> "Future[dict[str, Any]]":
        return self._started().submit(self._probe, path)

    def stop(self) -> None:
        """The children go; the next image starts new ones."""
        for decoder in self.all:
            decoder.stop()

    def _probe(self, path: Path) -> dict[str, Any]:
        decoder = self._free.get()
        try:
            return decoder.probe(path)
        finally:
            self._free.put(decoder)

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._owner != os.getpid():  # threads and pipes are not inherited by a fork
                self._owner, self._free = os.getpid(), queue.LifoQueue()
                self.all = [Decoder() for _ in range(settings.IMAGE_DECODERS)]
                for decoder in self.all:
                    self._free.put(decoder)
                self._pool = ThreadPoolExecutor(settings.IMAGE_DECODERS, "decoder")
            return self._pool


decoders = Decoders()
atexit.register(decoders.stop)
