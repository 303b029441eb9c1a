"""What a scrape of the ML backend reads, by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from mlbackend.serving.metrics import Metrics


def scraped(metrics: Metrics) -> dict[str, float]:
    """Value by the sample's name and its labels' values."""
    families = text_string_to_metric_families(metrics.render())
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([one.name, *(value for _, value in sorted(one.labels.items()))]): one.value for one in samples}


def test_scrape_holds_what_was_counted_and_nothing_beside_it() -> None:
    metrics = Metrics()
    assert scraped(metrics) == {}
    metrics.count("roost_errors_total", code='a "b"\\\n')
    metrics.count("roost_errors_total", 2, code='a "b"\\\n')
    metrics.count("roost_embedding_writes_dropped_total")
    metrics.gauge("roost_ready", lambda: 1.0)
    assert scraped(metrics) == {
        'roost_errors_total a "b"\\\n': 3,
        "roost_embedding_writes_dropped_total": 1,
        "roost_ready": 1,
    }


def test_histogram_counts_up_to_and_with_each_bound() -> None:
    metrics = Metrics()
    for value_ms in (1, 2, 50, 200_000):
        metrics.observe_ms("roost_request_ms", value_ms, call="click")
    found = scraped(metrics)
    bounds = ("1.0", "2.5", "30.0", "50.0", "100000.0", "+Inf")
    assert [found[f"roost_request_ms_bucket click {bound}"] for bound in bounds] == [1, 2, 2, 3, 3, 4]
    assert (found["roost_request_ms_sum click"], found["roost_request_ms_count click"]) == (200_053, 4)


def test_two_apps_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.count("roost_errors_total", code="bad_request")
    other.gauge("roost_ready", lambda: 0.0)
    assert scraped(one) == {"roost_errors_total bad_request": 1}
    assert scraped(other) == {"roost_ready": 0}
