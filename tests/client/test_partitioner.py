"""Partitioner: a partition for every record."""

from __future__ import annotations

import time
import zlib

import numpy as np
import pytest

from tests.support.murmur2 import java_partition
from twolane.batch import EncodedBatch
from twolane.client.handle import Handle
from twolane.client.partitioner import NAMES, Partitioner
from twolane.config.policy import PARTITIONERS

KEYS = [b"%d" % i for i in range(2_000)]


@pytest.fixture
def handle():
    handle = Handle({"bootstrap.servers": "127.0.0.1:9", "log.queue": "true"})
    yield handle
    handle.close()


@pytest.fixture
def place(handle):
    topic = handle.open_topic("t")
    topic.counted(5)

    def place(how, keys, values=None, sticky=10**9, count=5):
        topic.counted(count)
        values = EncodedBatch.borrowed(values or [b"v"] * len(keys))
        return Partitioner(how, sticky).assign(topic, values, EncodedBatch.borrowed(keys), len(keys))

    return place


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("how", ["murmur2", "murmur2_random"])
def test_murmur2_is_javas(place, how, count):
    assert place(how, KEYS, count=count).tolist() == [java_partition(key, count) for key in KEYS]


@pytest.mark.parametrize("how", ["consistent", "consistent_random"])
def test_consistent_is_crc32(place, how):
    assert place(how, KEYS).tolist() == [zlib.crc32(key) % 5 for key in KEYS]


@pytest.mark.parametrize("how", ["fnv1a", "fnv1a_random"])
def test_fnv1a_is_saramas(place, how):
    def fnv1a(key):
        h = 0x811C9DC5
        for byte in key:
            h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
        signed = h - 2**32 if h >= 2**31 else h
        return abs(signed) % 5

    assert place(how, KEYS).tolist() == [fnv1a(key) for key in KEYS]


def test_one_partition_needs_no_array(place):
    assert place("murmur2_random", KEYS, count=1) == 0


def test_records_without_a_key_stick(place):
    chosen = place("murmur2_random", [None] * 1_000, [b"x" * 99] * 1_000, sticky=10_000)
    runs = np.flatnonzero(np.diff(chosen)) + 1
    assert runs.tolist() == [100, 200, 300, 400, 500, 600, 700, 800, 900]
    again = place("murmur2_random", [None], [b"x"], sticky=10_000)
    assert 0 <= again[0] < 5


def test_the_sticky_partition_goes_on_over_calls(place):
    first = place("murmur2_random", [None] * 10)
    assert set(place("murmur2_random", [None] * 10).tolist()) == set(first.tolist())


def test_empty_keys(place):
    # Java's hash of an empty key is a hash like any other; librdkafka's consistent_random takes it for none.
    assert place("murmur2_random", [b""] * 3).tolist() == [java_partition(b"", 5)] * 3
    assert len(set(place("consistent_random", [b""] * 2_000, [b"x" * 100] * 2_000, sticky=1_000).tolist())) == 5


def test_random_does_not_look_at_keys(place):
    assert set(place("random", [b"same"] * 1_000, sticky=10).tolist()) == {0, 1, 2, 3, 4}


def test_a_constant_key_stands_for_all(handle):
    topic = handle.open_topic("t")
    topic.counted(7)
    values = EncodedBatch.borrowed([b"v"] * 4)
    chosen = Partitioner("murmur2_random", 100).assign(topic, values, EncodedBatch.constant(b"k"), 4)
    assert chosen.tolist() == [java_partition(b"k", 7)] * 4


def test_a_count_has_its_time(handle):
    topic, before = handle.open_topic("t"), time.monotonic()
    topic.counted(3)
    assert topic.partition_count == 3
    assert before <= topic.counted_at <= time.monotonic()


def test_fewer_partitions_than_the_sticky_one(handle):
    topic = handle.open_topic("t")
    topic.counted(2)
    topic.sticky_partition = 6
    assert set(Partitioner("murmur2", 100).assign(topic, EncodedBatch.borrowed([b"v"]), None, 1).tolist()) <= {0, 1}


def test_partitions_that_are_not_known_are_an_error(handle):
    with pytest.raises(ValueError, match="not known yet"):
        Partitioner("murmur2", 100).assign(handle.open_topic("t"), EncodedBatch.borrowed([b"v"]), None, 1)


def test_the_settings_know_every_partitioner():
    assert NAMES == PARTITIONERS
