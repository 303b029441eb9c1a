"""The order of work in front of the model, and its limits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
import torch

from mlbackend.errors import ApiError
from mlbackend.serving.desks import Desks
from mlbackend.serving.lanes import ClickLane, HeavyLane, Urgency
from mlbackend.serving.stages import spare_memory, timed_shares
from tests.processes import PATIENCE_S, wait_until


class Gate:
    """Work that blocks until opened, so that a queue can form behind it."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)


def alone(work: Callable[[], Any]) -> Callable[[list[Any]], list[Any]]:
    """Work on a batch of one."""
    return lambda items: [work()]


@pytest.fixture
def heavy() -> Iterator[HeavyLane]:
    lane = HeavyLane({Urgency.CLICK: 8, Urgency.PREDICT: 8, Urgency.WARM: 2})
    yield lane
    lane.stop()


def run_in_order(heavy: HeavyLane, *wanted: Urgency, then: Callable[[list], None] = lambda jobs: None) -> list[int]:
    """Queue jobs behind a gate; the numbers in the order in which they ran."""
    gate, order = Gate(), []
    heavy.submit(alone(gate), None, Urgency.CLICK)
    assert gate.entered.wait(PATIENCE_S)
    jobs = [heavy.submit(alone(lambda i=i: order.append(i)), None, urgency) for i, urgency in enumerate(wanted)]
    then(jobs)
    gate.opened.set()
    for job in jobs:
        job.future.result(PATIENCE_S)
    return order


def test_a_click_goes_before_mining_and_mining_before_warming(heavy: HeavyLane) -> None:
    assert run_in_order(heavy, Urgency.WARM, Urgency.PREDICT, Urgency.PREDICT, Urgency.CLICK) == [3, 1, 2, 0]


def test_a_click_pulls_forward_what_was_warming(heavy: HeavyLane) -> None:
    order = run_in_order(heavy, Urgency.PREDICT, Urgency.WARM, then=lambda jobs: heavy.raise_to(jobs[1], Urgency.CLICK))
    assert order == [1, 0]


def test_full_queue_is_refused_at_once_with_a_time_to_come_back(heavy: HeavyLane) -> None:
    def overfill(jobs: list) -> None:
        heavy.submit(list, None, Urgency.WARM)
        with pytest.raises(ApiError) as refusal:
            heavy.submit(list, None, Urgency.WARM)
        assert refusal.value.status == 429
        assert refusal.value.retry_after_s is not None

    run_in_order(heavy, Urgency.WARM, then=overfill)


def test_failing_work_fails_its_own_future_alone(heavy: HeavyLane) -> None:
    broken = heavy.submit(alone(lambda: 1 // 0), None, Urgency.PREDICT)
    whole = heavy.submit(alone(lambda: 7), None, Urgency.PREDICT)
    assert isinstance(broken.future.exception(PATIENCE_S), ZeroDivisionError)
    assert whole.future.result(PATIENCE_S) == 7


class Encode:
    """Records the items of each call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, items: list[str]) -> list[str]:
        self.calls.append(items)
        return [item.upper() for item in items]


@pytest.fixture
def batching() -> Iterator[HeavyLane]:
    lane = HeavyLane(dict.fromkeys(Urgency, 20), batch=3)
    yield lane
    lane.stop()


def run_behind_a_gate(
    lane: HeavyLane, encode: Encode, *jobs: tuple[str, Urgency, str | None], cancel: str | None = None
) -> dict[str, Any]:
    """Queue (item, urgency, kind) behind a gate; the answers by item, cancelled ones left out."""
    gate = Gate()
    lane.submit(alone(gate), None, Urgency.CLICK)
    assert gate.entered.wait(PATIENCE_S)
    queued = {item: lane.submit(encode, item, urgency, kind=kind) for item, urgency, kind in jobs}
    if cancel:
        assert queued.pop(cancel).future.cancel()
    gate.opened.set()
    return {item: job.future.result(PATIENCE_S) for item, job in queued.items()}


def test_mining_that_waits_together_shares_calls_within_the_limit(batching: HeavyLane) -> None:
    encode = Encode()
    answers = run_behind_a_gate(batching, encode, *((name, Urgency.PREDICT, "vit") for name in "abcd"))
    assert encode.calls == [["a", "b", "c"], ["d"]]
    assert answers == {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_only_work_of_one_kind_and_urgency_shares_a_call(batching: HeavyLane) -> None:
    encode = Encode()
    run_behind_a_gate(
        batching,
        encode,
        ("a", Urgency.PREDICT, "vit"),
        ("b", Urgency.PREDICT, "other vit"),
        ("c", Urgency.WARM, "vit"),
        ("d", Urgency.PREDICT, None),
        ("e", Urgency.PREDICT, None),
        ("f", Urgency.PREDICT, "vit"),
    )
    assert encode.calls == [["a", "f"], ["b"], ["d"], ["e"], ["c"]]


def test_a_click_is_done_alone_and_next(batching: HeavyLane) -> None:
    encode = Encode()
    run_behind_a_gate(
        batching,
        encode,
        ("a", Urgency.PREDICT, "vit"),
        ("b", Urgency.PREDICT, "vit"),
        ("click", Urgency.CLICK, "vit"),
        ("another", Urgency.CLICK, "vit"),
    )
    assert encode.calls == [["click"], ["another"], ["a", "b"]]


def test_cancelled_work_is_not_done_and_leaves_its_place(batching: HeavyLane) -> None:
    encode = Encode()
    run_behind_a_gate(batching, encode, *((name, Urgency.PREDICT, "vit") for name in "abc"), cancel="b")
    assert encode.calls == [["a", "c"]]
    assert batching.depth() == 0


class Decoder:
    """Records its batches; the first call blocks."""

    def __init__(self) -> None:
        self.gate, self.batches = Gate(), []

    def __call__(self, items: Sequence[str]) -> Sequence[str]:
        if not self.batches:
            self.batches.append(list(items))
            self.gate()
            return items
        self.batches.append(list(items))
        return [item.upper() for item in items]


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture
def lane(decoder: Decoder) -> Iterator[ClickLane]:
    lane: ClickLane = ClickLane(decoder, most_waiting=6, batch=3)
    lane.submit("first", "a")
    assert decoder.gate.entered.wait(PATIENCE_S)
    yield lane
    decoder.gate.opened.set()
    lane.stop()


def finish(decoder: Decoder, futures: Sequence[Future]) -> list[list[str]]:
    decoder.gate.opened.set()
    for future in futures:
        if not future.cancelled():
            future.result(PATIENCE_S)
    return decoder.batches[1:]


def test_clicks_that_wait_together_share_a_call_within_the_limit(lane: ClickLane, decoder: Decoder) -> None:
    futures = [lane.submit(f"c{i}", "a") for i in range(4)]
    assert finish(decoder, futures) == [["c0", "c1", "c2"], ["c3"]]


def test_each_click_gets_its_own_answer(lane: ClickLane, decoder: Decoder) -> None:
    futures = [lane.submit(name, "a") for name in ("x", "y", "z")]
    finish(decoder, futures)
    assert [future.result() for future in futures] == ["X", "Y", "Z"]


def test_clicks_of_another_kind_do_not_share_a_call(lane: ClickLane, decoder: Decoder) -> None:
    futures = [lane.submit("a1", "a"), lane.submit("b1", "b"), lane.submit("a2", "a")]
    assert finish(decoder, futures) == [["a1", "a2"], ["b1"]]


def test_previews_yield_to_clicks(lane: ClickLane, decoder: Decoder) -> None:
    futures = [lane.submit("hover", "a", preview=True), lane.submit("click", "a")]
    assert finish(decoder, futures) == [["click"], ["hover"]]


def test_previews_are_refused_while_there_is_still_room_for_clicks(lane: ClickLane, decoder: Decoder) -> None:
    futures = [lane.submit(f"c{i}", "a") for i in range(3)]
    with pytest.raises(ApiError):
        lane.submit("hover", "a", preview=True)
    futures += [lane.submit(f"d{i}", "a") for i in range(3)]
    with pytest.raises(ApiError, match="Too many clicks"):
        lane.submit("too many", "a")
    finish(decoder, futures)


def test_cancelled_click_is_not_decoded(lane: ClickLane, decoder: Decoder) -> None:
    futures = [lane.submit("dropped", "a"), lane.submit("kept", "a")]
    futures[0].cancel()
    assert finish(decoder, futures) == [["kept"]]


def test_newer_click_of_a_desk_cancels_the_older_one_that_waits() -> None:
    desks, waiting = Desks(), Future()
    desks.arrive("desk", 1)
    desks.decoding("desk", waiting)
    desks.arrive("desk", 2)
    assert waiting.cancelled()


def test_desks_do_not_touch_each_other() -> None:
    desks, waiting = Desks(), Future()
    desks.arrive("one", 1)
    desks.decoding("one", waiting)
    desks.arrive("two", 2)
    desks.arrive(None, 3)
    assert not waiting.cancelled()


def test_older_click_that_arrives_late_is_overtaken() -> None:
    desks = Desks()
    desks.arrive("desk", 5)
    with pytest.raises(ApiError) as refusal:
        desks.arrive("desk", 4)
    assert (refusal.value.status, refusal.value.code) == (409, "overtaken")


def test_click_overtaken_while_its_image_was_encoded_is_dropped() -> None:
    desks = Desks()
    desks.arrive("desk", 1)
    desks.arrive("desk", 2)
    with pytest.raises(ApiError):
        desks.check("desk", 1)
    desks.check("desk", 2)


def test_preview_drops_older_previews_and_no_click() -> None:
    desks, click, hover = Desks(), Future(), Future()
    desks.arrive("desk", 1)
    desks.decoding("desk", click)
    desks.arrive("desk", 2, preview=True)
    desks.decoding("desk", hover, preview=True)
    desks.arrive("desk", 3, preview=True)
    assert not click.cancelled()
    assert hover.cancelled()


def test_click_drops_previews_and_later_comers_among_them() -> None:
    desks, hover = Desks(), Future()
    desks.arrive("desk", 1, preview=True)
    desks.decoding("desk", hover, preview=True)
    desks.arrive("desk", 5)
    assert hover.cancelled()
    with pytest.raises(ApiError):
        desks.arrive("desk", 4, preview=True)


def test_reloaded_page_may_count_from_one_again() -> None:
    now = [0.0]
    desks = Desks(clock=lambda: now[0])
    desks.arrive("desk", 50)
    now[0] = 11.0
    desks.arrive("desk", 1)


def test_lane_stops_its_thread(decoder: Decoder) -> None:
    decoder.gate.opened.set()
    lane: ClickLane = ClickLane(decoder, most_waiting=2, batch=2)
    lane.submit("x", "a").result(PATIENCE_S)
    lane.stop()
    wait_until(lambda: not lane.alive())


def test_device_out_of_memory_is_overload_and_not_the_end() -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ApiError) as refusal:
        spare_memory(fail)
    assert (refusal.value.status, refusal.value.retry_after_s) == (429, 5.0)


def test_batch_that_does_not_fit_the_device_is_done_one_by_one() -> None:
    def work(items: list[str]) -> list[str]:
        if len(items) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [item.upper() for item in items]

    assert [value for value, _ in timed_shares(work, ["a", "b", "c"])] == ["A", "B", "C"]


def test_image_that_alone_does_not_fit_the_device_is_overload() -> None:
    def work(items: list[str]) -> list[str]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ApiError) as refusal:
        timed_shares(work, ["a", "b"])
    assert refusal.value.status == 429
