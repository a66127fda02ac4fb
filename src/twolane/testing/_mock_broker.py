"""The child process of :class:`twolane.testing.EmbeddedCluster`: owns one mock cluster, obeys JSON lines.

Run as a file, not as a module, and free of twolane imports: it starts in the time confluent-kafka needs and does not
load the compiled lanes. One line in, ``{"do": name, "with": [...]}``; one line out, ``{"ok": value}`` or
``{"error": code, "text": ...}``. End of input, however the parent ended, is the order to stop.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int16, c_int32, c_int64, c_size_t, c_void_p

import confluent_kafka.cimpl

PRODUCER = 0
ALL_BROKERS = -1
WATCH_SECONDS = 1.0

# name -> (result, arguments); the extension module's dependency resolves them, so it is the wheel's own librdkafka.
FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_conf_set_log_cb": (None, [c_void_p, c_void_p]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_err2name": (c_char_p, [c_int]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_topic_delete": (c_int, [c_void_p, c_char_p]),
    "rd_kafka_mock_topic_set_error": (None, [c_void_p, c_char_p, c_int]),
    "rd_kafka_mock_partition_set_leader": (c_int, [c_void_p, c_char_p, c_int32, c_int32]),
    "rd_kafka_mock_broker_set_down": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_up": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_rtt": (c_int, [c_void_p, c_int32, c_int]),
    "rd_kafka_mock_push_request_errors_array": (None, [c_void_p, c_int16, c_size_t, POINTER(c_int)]),
    "rd_kafka_mock_clear_request_errors": (None, [c_void_p, c_int16]),
    "rd_kafka_mock_broker_error_stack_cnt": (c_int, [c_void_p, c_int32, c_int16, POINTER(c_size_t)]),
    "rd_kafka_mock_start_request_tracking": (None, [c_void_p]),
    "rd_kafka_mock_stop_request_tracking": (None, [c_void_p]),
    "rd_kafka_mock_clear_requests": (None, [c_void_p]),
    "rd_kafka_mock_get_requests": (POINTER(c_void_p), [c_void_p, POINTER(c_size_t)]),
    "rd_kafka_mock_request_destroy_array": (None, [POINTER(c_void_p), c_size_t]),
    "rd_kafka_mock_request_id": (c_int32, [c_void_p]),
    "rd_kafka_mock_request_api_key": (c_int16, [c_void_p]),
    "rd_kafka_mock_request_timestamp": (c_int64, [c_void_p]),
}


class Refused(Exception):
    """librdkafka answered a call with an error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class MockCluster:
    """Owner of one ``rd_kafka_mock_cluster_t`` and of the client instance it lives in."""

    def __init__(self, brokers: int) -> None:
        self._lib = ctypes.CDLL(confluent_kafka.cimpl.__file__)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self._lib, name, None)
            if function is None:  # an older librdkafka: what needs it says so when it is asked for
                continue
            function.restype, function.argtypes = result, arguments
        # Variadic, so without argtypes: every argument is converted by hand at the call.
        self._lib.rd_kafka_mock_broker_push_request_error_rtts.restype = c_int
        self._brokers = brokers
        self._tracking = False
        self._instance: int | None = None
        self._cluster: int | None = None
        self._open()

    def _open(self) -> None:
        text = ctypes.create_string_buffer(512)
        conf = self._lib.rd_kafka_conf_new()
        self._lib.rd_kafka_conf_set_log_cb(conf, None)
        # The brokers' sockets take their options from here; Nagle would add 40 ms steps to small answers.
        self._lib.rd_kafka_conf_set(conf, b"socket.nagle.disable", b"true", text, len(text))
        self._instance = self._lib.rd_kafka_new(PRODUCER, conf, text, len(text))
        if not self._instance:
            raise RuntimeError(text.value.decode())
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._instance, self._brokers)
        if not self._cluster:
            raise RuntimeError(f"no mock cluster of {self._brokers} brokers")

    def _check(self, code: int) -> None:
        if code:
            raise Refused(code, self._lib.rd_kafka_err2name(code).decode())

    def bootstrap_servers(self) -> str:
        return str(self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def create_topic(self, name: str, partitions: int) -> None:
        replicas = min(3, self._brokers)
        self._check(self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, replicas))

    def remake_topic(self, name: str, partitions: int) -> None:
        self._check(self._lib.rd_kafka_mock_topic_delete(self._cluster, name.encode()))
        self.create_topic(name, partitions)

    def set_topic_error(self, topic: str, code: int) -> None:
        self._lib.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), code)

    def set_leader(self, topic: str, partition: int, broker: int | None) -> None:
        leader = -1 if broker is None else broker
        self._check(self._lib.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, leader))

    def stop_broker(self, broker: int) -> None:
        self._check(self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def start_broker(self, broker: int) -> None:
        self._check(self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def set_rtt(self, ms: int, broker: int | None) -> None:
        which = ALL_BROKERS if broker is None else broker
        self._check(self._lib.rd_kafka_mock_broker_set_rtt(self._cluster, which, ms))

    def push_errors(self, api_key: int, codes: list[int]) -> None:
        array = (c_int * len(codes))(*codes)
        self._lib.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(codes), array)

    def push_broker_errors(self, broker: int, api_key: int, errors: list[tuple[int, int]]) -> None:
        for code, rtt_ms in errors:
            self._check(
                self._lib.rd_kafka_mock_broker_push_request_error_rtts(
                    c_void_p(self._cluster), c_int32(broker), c_int16(api_key), c_size_t(1), c_int(code), c_int(rtt_ms)
                )
            )

    def pending_broker_errors(self, broker: int, api_key: int) -> int:
        count = c_size_t()
        self._check(self._lib.rd_kafka_mock_broker_error_stack_cnt(self._cluster, broker, api_key, byref(count)))
        return count.value

    def clear_errors(self, api_key: int) -> None:
        self._lib.rd_kafka_mock_clear_request_errors(self._cluster, api_key)

    def start_tracking(self) -> None:
        self._lib.rd_kafka_mock_start_request_tracking(self._cluster)

    def stop_tracking(self) -> None:
        self._lib.rd_kafka_mock_stop_request_tracking(self._cluster)

    def clear_requests(self) -> None:
        self._lib.rd_kafka_mock_clear_requests(self._cluster)

    def requests(self) -> list[tuple[int, int, int]]:
        count = c_size_t()
        array = self._lib.rd_kafka_mock_get_requests(self._cluster, byref(count))
        if not array:
            return []
        try:
            return [
                (
                    self._lib.rd_kafka_mock_request_api_key(array[i]),
                    self._lib.rd_kafka_mock_request_id(array[i]),
                    self._lib.rd_kafka_mock_request_timestamp(array[i]),
                )
                for i in range(count.value)
            ]
        finally:
            self._lib.rd_kafka_mock_request_destroy_array(array, count)

    def renew(self) -> str:
        """Replace the cluster by an empty one on new ports."""
        self.close()
        self._open()
        return self.bootstrap_servers()

    def close(self) -> None:
        # In this order: librdkafka asserts that no mock cluster outlives its client instance.
        if self._cluster:
            self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
            self._cluster = None
        if self._instance:
            self._lib.rd_kafka_destroy(self._instance)
            self._instance = None


COMMANDS = frozenset(name for name in vars(MockCluster) if not name.startswith("_")) - {"close"}


def say(message: dict[str, object]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(cluster: MockCluster, line: bytes) -> dict[str, object]:
    """Obey one line."""
    try:
        order = json.loads(line)
        if order["do"] not in COMMANDS:
            raise ValueError(f"unknown command {order['do']!r}")
        return {"ok": getattr(cluster, order["do"])(*order["with"])}
    except Refused as error:
        return {"error": error.code, "text": str(error)}
    except Exception as error:
        return {"error": None, "text": f"{type(error).__name__}: {error}"}


def serve(cluster: MockCluster, parent: int) -> None:
    """Obey lines until the input ends or the parent is gone.

    The second test is for a parent that forked: a copy of the pipe's other end in some grandchild would keep it open.
    """
    pending = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], WATCH_SECONDS)[0]:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            say(answer(cluster, line))


def main() -> None:
    """Start the cluster, say where it listens, serve."""
    parent, brokers = int(sys.argv[1]), int(sys.argv[2])
    cluster = MockCluster(brokers)
    try:
        say({"ok": cluster.bootstrap_servers()})
        serve(cluster, parent)
    except BrokenPipeError:
        pass
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
