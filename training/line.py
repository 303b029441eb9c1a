"""A line from the first process of a run to each of the others, by which all learn at once how one of them ended.

A process that is killed says nothing, and those that wait for it in a collective call may wait for long: but the kernel
closes its end of the line. Whoever fails sends its sentence, and the first process says it, once. Messages are JSON,
after a handshake with a key that only the run's processes know.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import threading
import time
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from typing import Any, Protocol

from training.events import Events

log = logging.getLogger(__name__)
HOLD_S = 10.0
CONNECT_S = 120.0


class Store(Protocol):
    """What is used of torch's key-value store."""

    def set(self, key: str, value: str) -> None: ...

    def get(self, key: str) -> bytes: ...


class Line:
    """The first process has a peer for each of the others, they have it alone."""

    def __init__(self, rank: int, count: int, store: Store, *, host: str, is_one_machine: bool) -> None:
        self.rank, self.count = rank, count
        self.events = Events([sys.stdout])
        self.out: Path | None = None
        self._word = threading.Lock()
        self._peers: dict[Connection, int] = {}
        self._gone: dict[Connection, int] = {}  # kept, or their ends would be closed and taken for a loss
        self._has_left = False
        if rank == 0:
            self._take_calls(store, host, is_one_machine)
        else:
            self._call(store)
        threading.Thread(target=self._watch, name="line", daemon=True).start()

    def _take_calls(self, store: Store, host: str, is_one_machine: bool) -> None:
        key = secrets.token_hex(32)
        with Listener(("127.0.0.1" if is_one_machine else "", 0), backlog=self.count, authkey=key.encode()) as listener:
            address = {"host": "127.0.0.1" if is_one_machine else host, "port": listener.address[1], "key": key}
            store.set("line", json.dumps(address))
            calls = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            calls.start()
            calls.join(CONNECT_S)
        if missing := sorted(set(range(1, self.count)) - set(self._peers.values())):
            raise TimeoutError(
                f"Of the run's {self.count} processes {words(missing)} did not call in {CONNECT_S:.0f} s."
            )

    def _accept(self, listener: Listener) -> None:
        while len(self._peers) < self.count - 1:
            peer = listener.accept()
            self._peers[peer] = int(json.loads(peer.recv_bytes())["rank"])

    def _call(self, store: Store) -> None:
        told = json.loads(store.get("line"))
        peer = Client((told["host"], told["port"]), authkey=told["key"].encode())
        self._peers[peer] = 0
        self._send({"rank": self.rank})

    def report(self, fields: dict[str, Any]) -> None:
        """The run ends with this sentence; it is said once, by the first process while there is one."""
        if self.rank and fields["code"] == "stopped":
            return  # all stop together, and the first says so
        if self.rank:
            self._send({"error": fields})
            time.sleep(HOLD_S)  # the first process says it and ends this one
        if self._word.acquire(blocking=False):
            self._say(fields)
        else:
            time.sleep(HOLD_S)  # the line's thread is saying another, and ends this process

    def hold(self) -> None:
        """After a collective call that broke: whoever knows why is about to end this process."""
        time.sleep(HOLD_S)

    def leave(self, status: int) -> None:
        self._has_left = True
        self._send({"ended": status})

    def _send(self, message: dict[str, Any]) -> None:
        for peer in [*self._peers, *self._gone]:  # also to one that told of its failure and waits to be ended
            try:
                peer.send_bytes(json.dumps(message).encode())
            except OSError:
                log.info("process %s of the run is gone already", self._peers.get(peer))

    def _watch(self) -> None:
        while self._peers:
            for peer in wait(list(self._peers)):
                assert isinstance(peer, Connection)
                self._heard(peer)

    def _heard(self, peer: Connection) -> None:
        try:
            said = json.loads(peer.recv_bytes())
        except (EOFError, OSError):
            said = {"ended": 0} if self._has_left else {"error": _lost(self._peers[peer], self.count)}
        if "error" in said:
            self._end(said["error"])
        elif self.rank and said["ended"]:
            os._exit(said["ended"])
        self._gone[peer] = self._peers.pop(peer)

    def _end(self, fields: dict[str, Any]) -> None:
        """Of this process, wherever its main thread waits, and of the others through it."""
        if self.rank > 1:  # the first is lost; the second one says so
            os._exit(1)
        if self._word.acquire(blocking=False):
            self._say(fields)
            self.leave(1)
            os._exit(1)

    def _say(self, fields: dict[str, Any]) -> None:
        """Where the first process is lost, another writes into its list of events."""
        if self.rank and self.out is not None and self.out.is_dir():
            with (self.out / "events.jsonl").open("a", encoding="utf-8") as file:
                Events([file, sys.stdout])("error", **fields)
        else:
            self.events("error", **fields)


def _lost(rank: int, count: int) -> dict[str, Any]:
    return {
        "code": "lost_process",
        "message": f"Process {rank} of the run's {count} (from 0) is gone, killed or with its machine, and the others "
        "ended with it: run the same command again to go on from the last checkpoint.",
    }


def words(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks)) + " (from 0)"


class RankEvents(Events):
    """What one of several processes says: the first its events, the others nothing but how they failed."""

    def __init__(self, line: Line, own: Events) -> None:
        super().__init__([])
        self._line, self._own = line, own
        if line.rank == 0:
            line.events = own

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "error":
            self._line.report(fields)
        elif self._line.rank == 0:
            self._own(event, **fields)
