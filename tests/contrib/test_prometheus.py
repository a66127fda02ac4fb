"""The collector's figures are those of stats(), in Prometheus's own text format, read by its own parser."""

from __future__ import annotations

import gc
import json
import re

import pytest

from tests.packaging.sources import ROOT
from tests.support.waiting import wait_until
from twolane import DeliveryError, SafeProducer, ThroughputProducer, Verdict
from twolane.testing import FakeProducer

client = pytest.importorskip("prometheus_client")
parser = pytest.importorskip("prometheus_client.parser")
from twolane.contrib.prometheus import ProducerCollector  # noqa: E402 - needs the package


def scrape(registry):
    text = client.generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples[f"twolane_producer_{name}", frozenset(labels.items())]


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
def test_the_figures_are_those_of_stats(embedded_cluster, lane):
    embedded_cluster.create_topic("t")
    registry = client.CollectorRegistry()
    with lane(
        bootstrap_servers=embedded_cluster.bootstrap_servers, client_id="orders", statistics_interval_ms=50
    ) as producer:
        ProducerCollector(producer, registry=registry)
        batch = producer.send_batch("t", [b"12345"] * 100, keys=b"k")
        assert (batch if lane is SafeProducer else batch.result(20)).written == 100
        wait_until(lambda: (now := producer.stats().client) and sum(one.records for one in now.topics) >= 100)
        stats = producer.stats()
        samples = scrape(registry)
        name = producer.stats().client_id
    assert name.startswith("orders#producer-")
    assert value(samples, "accepted_records_total", client_id=name) == 100
    assert value(samples, "accepted_bytes_total", client_id=name) == 600
    assert value(samples, "records_total", client_id=name, verdict="written") == 100
    assert value(samples, "records_total", client_id=name, verdict="unknown") == 0
    assert value(samples, "queue_records", client_id=name) == 0
    assert value(samples, "requests_total", client_id=name) == stats.requests >= 1
    assert value(samples, "latency_seconds_count", client_id=name) == 100
    assert value(samples, "latency_seconds_bucket", client_id=name, le="+Inf") == 100
    assert value(samples, "latency_seconds_sum", client_id=name) == pytest.approx(stats.latency.total)
    assert value(samples, "topic_records_total", client_id=name, topic="t") == 100
    brokers = {dict(labels)["broker"] for metric, labels in samples if metric == "twolane_producer_broker_up"}
    assert brokers == {"1", "2", "3"}


def test_several_producers_and_one_that_is_gone():
    registry = client.CollectorRegistry()
    first, second = FakeProducer(client_id="a"), FakeProducer(client_id="b")
    collector = ProducerCollector(first, registry=registry)
    collector.add(second)
    first.send("t", b"v")
    second.fail_next(Verdict.UNKNOWN)
    with pytest.raises(DeliveryError):
        second.send("t", b"v")
    names = first.stats().client_id, second.stats().client_id
    samples = scrape(registry)
    assert [value(samples, "records_total", client_id=name, verdict="written") for name in names] == [1, 0]
    assert [value(samples, "records_total", client_id=name, verdict="unknown") for name in names] == [0, 1]
    second.close()
    assert value(scrape(registry), "records_total", client_id=names[1], verdict="unknown") == 1
    del second
    gc.collect()
    assert not [labels for _, labels in scrape(registry) if ("client_id", names[1]) in labels]
    first.close()


def test_scraping_costs_no_call_in_between():
    """Buckets only grow, so that rates can be computed of them."""
    registry = client.CollectorRegistry()
    with FakeProducer() as producer:
        ProducerCollector(producer, registry=registry)
        before = scrape(registry)
        producer.send("t", b"v")
        after = scrape(registry)
    assert before.keys() <= after.keys()


def test_the_dashboard_asks_for_metrics_that_there_are(embedded_cluster):
    text = (ROOT / "docs/grafana.json").read_text()
    asked = set(re.findall(r"twolane_producer_\w+", text))
    registry = client.CollectorRegistry()
    embedded_cluster.create_topic("t")
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, statistics_interval_ms=50) as producer:
        ProducerCollector(producer, registry=registry)
        producer.send("t", b"v")
        wait_until(lambda: (now := producer.stats().client) and now.topics)
        samples = scrape(registry)
    assert asked <= {name for name, _ in samples}
    assert len(json.loads(text)["panels"]) == 10
