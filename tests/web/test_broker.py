import json
import multiprocessing
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection, Exchange, Queue

from annotator.jobs.broker import broker_options
from tests.processes import PATIENCE_S

# kombu remembers a queue's bindings by its name for the whole process, so every test's queue has a name of its own.


def _connection(folder: Path) -> Connection:
    return Connection("fsatomic://", transport_options=broker_options(folder))


def _produce(folder: Path, count: int) -> None:
    with _connection(folder) as connection, connection.SimpleQueue(folder.name) as queue:
        for number in range(count):
            queue.put({"number": number, "filling": "x" * 100_000})


def _bind(folder: Path, name: str) -> None:
    with _connection(folder) as connection:
        Queue(name, Exchange("rooms"), routing_key=name).bind(connection.channel()).declare()


def test_messages_come_out_in_the_order_they_went_in(tmp_path):
    with _connection(tmp_path) as connection, connection.SimpleQueue(tmp_path.name) as queue:
        for number in range(20):
            queue.put({"number": number})
        received = []
        for _ in range(20):
            message = queue.get(timeout=PATIENCE_S)
            message.ack()
            received.append(message.payload["number"])
    assert received == list(range(20))


def test_nothing_is_left_of_a_message_that_was_read(tmp_path):
    _produce(tmp_path, 3)
    with _connection(tmp_path) as connection, connection.SimpleQueue(tmp_path.name) as queue:
        for _ in range(3):
            queue.get(timeout=PATIENCE_S).ack()
        with pytest.raises(Empty):
            queue.get(timeout=0.2)
    assert list((tmp_path / "queue").iterdir()) == list((tmp_path / "taken").iterdir()) == []


def test_large_messages_are_never_read_half_written(tmp_path):
    producers = [multiprocessing.get_context("spawn").Process(target=_produce, args=(tmp_path, 40)) for _ in range(2)]
    for producer in producers:
        producer.start()
    received = []
    with _connection(tmp_path) as connection, connection.SimpleQueue(tmp_path.name) as queue:
        for _ in range(80):
            message = queue.get(timeout=PATIENCE_S)
            message.ack()
            received.append(message.payload["number"])
    for producer in producers:
        producer.join()
    assert sorted(received) == sorted([*range(40), *range(40)])


def test_queues_bound_at_the_same_moment_all_stay_in_the_table(tmp_path):
    names = [f"room{number}" for number in range(6)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_bind, args=(tmp_path, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    table = json.loads((tmp_path / "control" / "rooms.exchange").read_text())
    assert sorted(row[2] for row in table) == names
