"""Celery's broker without a service: kombu's filesystem transport with atomic writes, `fsatomic://`.

kombu's own transport writes a message in place while a consumer already moves it, and truncates an exchange's table
before it locks it; with three busy workers that loses messages and kills workers. Here every file appears by rename.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import bytes_to_str, str_to_bytes
from kombu.utils.json import dumps, loads

from toolbox.files import write_bytes

POLLING_SECONDS = 0.05
# A message unacknowledged for longer than the visibility timeout is delivered again; job rows make that harmless, but
# noisy. A Redis that accepts connections but does not answer must not block a page or the sweeper.
REDIS_OPTIONS = {
    "visibility_timeout": 12 * 3600,
    "socket_connect_timeout": 2,
    "socket_timeout": 2,
    "socket_keepalive": True,
    "retry_on_timeout": False,
}


def broker_options(folder: Path) -> dict:
    """Make the broker's folders, all on one disk, and name them as transport options."""
    folders = {"queue": folder / "queue", "taken": folder / "taken", "control": folder / "control"}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folders["queue"]),
        "data_folder_out": str(folders["queue"]),
        "processed_folder": str(folders["taken"]),
        "control_folder": str(folders["control"]),
        "store_processed": True,
        "polling_interval": POLLING_SECONDS,
    }


class Channel(filesystem.Channel):
    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        # Nanoseconds of the wall clock keep the order across reboots; readers look for .msg alone.
        name = f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        _write_whole(Path(self.data_folder_out) / name, str_to_bytes(dumps(message)))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """The oldest message of the queue; whoever renames it first has it. The file is gone once it is read."""
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = Path(self.processed_folder) / name
            try:
                os.rename(os.path.join(self.data_folder_in, name), taken)
            except FileNotFoundError:
                continue
            payload = taken.read_bytes()
            taken.unlink()
            return loads(bytes_to_str(payload))
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self._change_table(exchange, lambda rows: rows if row in rows else [row, *rows])

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        super(filesystem.Channel, self)._delete(queue, exchange, routing_key, pattern, *args, **kwargs)
        self._change_table(exchange, lambda rows: [other for other in rows if other != row])

    def _change_table(self, exchange: str, change: Callable[[list], list]) -> None:
        file = self._exchange_file(exchange)
        with _locked(self.control_folder / "lock"):
            before = self.get_table(exchange)
            after = change(before)
            if after != before or not file.exists():
                _write_whole(file, str_to_bytes(dumps(after)))


class Transport(filesystem.Transport):
    Channel = Channel


def _write_whole(path: Path, content: bytes) -> None:
    try:
        path.parent.stat()  # a folder that is gone is a fault to tell, not one to make anew
        write_bytes(path, content)
    except OSError as error:
        raise ChannelError(f"cannot write {path}: {error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


TRANSPORT_ALIASES["fsatomic"] = "annotator.jobs.broker:Transport"
