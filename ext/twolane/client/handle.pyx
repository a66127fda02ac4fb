"""Owners of librdkafka's client and topic handles: creation, metadata, purge, close, and what fork() does to them.

A Handle is open from ``__init__`` to ``close()``. Every public method first asks ``ensure_open()``, so a closed or
forked handle is an exception, never a crash. After ``fork()`` the child's copy is dead: librdkafka's threads did not
follow, so nothing of it may be called, not even destroy (docs/hazards.md, F11); the memory is left to the child's end.
"""
import os
import time

cimport cython
from cpython.pythread cimport PyThread_acquire_lock, PyThread_allocate_lock, PyThread_release_lock, WAIT_LOCK
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from twolane.client.atomic cimport PY_LOCK_ACQUIRED, PyThread_acquire_lock_timed, add, count, fence, load, store
from twolane.produce.first_ack cimport free_first_acks, make_room
from twolane.client.library cimport rd
from twolane.client.wire cimport Wire, is_up, on_new
from twolane.librdkafka cimport *

from twolane.errors import ClosedProducerError, ConfigError, ForkedProducerError, Verdict, fatal_error

cdef extern from "pythread.h" nogil:
    void PyThread_free_lock(void*)
    unsigned long PyThread_start_new_thread(void (*)(void*) noexcept nogil, void*)
    const unsigned long PYTHREAD_INVALID_THREAD_ID

# Seconds for which the last thread to leave a closed client waits for its end.
cdef double LAST_OUT_SECONDS = 0.3
# Of a topic's name; librdkafka takes no more.
MAX_TOPIC_BYTES = 249

cdef int _forks = 0

# Native objects made and not yet freed: what the tests' search for leaks reads.
cdef int64_t _live_handles = 0
cdef int64_t _live_topics = 0


def live():
    """Return how many native handles and topics there are now, as ``(handles, topics)``."""
    return load(&_live_handles), load(&_live_topics)


cdef int forks() noexcept nogil:
    return _forks


def _after_fork_in_child():
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef void drop(Wire* wire) noexcept nogil:
    if add(&wire.owners, -1) == 0:
        if wire.ended != NULL:
            PyThread_free_lock(wire.ended)
        free(wire)


cdef void destroy(void* argument) noexcept nogil:
    """Run as the thread that ends a client, to its end. It runs no Python and may outlast the interpreter."""
    cdef Wire* wire = <Wire*>argument
    rd.destroy(wire.rk)
    add(&_live_handles, -1)
    PyThread_release_lock(wire.ended)
    drop(wire)


cdef bint end(rd_kafka_t* rk, Wire* wire, double patience) noexcept nogil:
    """Destroy a client; return within `patience` seconds whether it is gone.

    ``rd_kafka_destroy`` waits for the broker threads, and one of these may sit in a name look-up, which nothing ends.
    """
    wire.rk = rk
    add(&wire.owners, 1)
    PyThread_acquire_lock(wire.ended, WAIT_LOCK)
    if PyThread_start_new_thread(destroy, wire) == PYTHREAD_INVALID_THREAD_ID:
        destroy(wire)       # no more threads: here, however long it takes
    if PyThread_acquire_lock_timed(wire.ended, <long long>(max(0.0, patience) * 1_000_000), 0) != PY_LOCK_ACQUIRED:
        return False
    PyThread_release_lock(wire.ended)
    return True


@cython.final
cdef class Handle:
    """One librdkafka producer.

    Parameters
    ----------
    settings : dict of str to str
        librdkafka's dotted names, checked by ``twolane.config.policy``. Not kept, but for `shown`.
    shown : dict of str to str, optional
        The same with secrets masked: what `settings` says later.
    hide : callable, optional
        Gives librdkafka's reasons without the secrets they may quote.
    answers_token_requests : bool, default False
        A thread of the caller's answers librdkafka's requests for a token, see ``wait_for_token_request()``.

    Raises
    ------
    ConfigError
        If librdkafka refuses a setting or their combination. The reason is left out where a value is masked.
    """

    def __cinit__(self):
        self.rk = NULL
        self.queue = NULL
        self.sasl_queue = NULL
        self.wire = <Wire*>calloc(1, sizeof(Wire))
        if self.wire == NULL:
            raise MemoryError()
        self.wire.owners = 1
        self.wire.last_broker = -2
        self.wire.ended = PyThread_allocate_lock()
        if self.wire.ended == NULL:
            raise MemoryError()
        self._topics = {}
        self.recount_after = 300.0      # librdkafka's topic.metadata.refresh.interval.ms
        self._generation = forks()

    def __init__(self, dict settings, dict shown=None, hide=str, bint answers_token_requests=False):
        if self.rk != NULL:
            raise RuntimeError("this Handle is open already")
        cdef char errstr[512]
        cdef rd_kafka_conf_t* conf = rd.conf_new()
        cdef rd_kafka_t* rk
        cdef bytes key_bytes, value_bytes
        cdef int events = RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS
        # librdkafka's own unsecured tokens: made by its background thread, or an idle producer's would run out.
        cdef bint makes_tokens = settings.get("enable.sasl.oauthbearer.unsecure.jwt", "").strip().lower() in ("true", "t", "1")
        errstr[0] = 0
        try:
            for key, value in settings.items():
                key_bytes, value_bytes = key.encode(), value.encode()
                if rd.conf_set(conf, key_bytes, value_bytes, errstr, sizeof(errstr)) != RD_KAFKA_CONF_OK:
                    is_masked = shown is not None and shown.get(key, value) != value
                    reason = "refused by librdkafka" if is_masked else hide(errstr.decode("utf-8", "replace"))
                    raise ConfigError(f"{key}: {reason}", key=key)
            # Reports as events: one per request, read without a Python object per record.
            if answers_token_requests:
                events |= RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH
            rd.conf_set_events(conf, events)
            rd.conf_enable_sasl_queue(conf, answers_token_requests or makes_tokens)
            rd.conf_interceptor_add_on_new(conf, b"twolane", on_new, self.wire)
            with nogil:
                rk = rd.new_(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr))
            if rk == NULL:
                reason = hide(errstr.decode("utf-8", "replace"))
                key = reason.partition(" ")[0]      # "ssl.ca.location failed: ...", which names no file
                raise ConfigError(f"{reason} ({key}={(shown or settings)[key]})" if key in settings else reason,
                                  key=key if key in settings else None)
            conf = NULL     # rd_kafka_new() took it
        finally:
            if conf != NULL:
                rd.conf_destroy(conf)
        self.rk = rk
        add(&_live_handles, 1)
        self.queue = rd.queue_get_main(rk)
        if answers_token_requests:
            self.sasl_queue = rd.queue_get_sasl(rk)
        elif makes_tokens:
            rd.error_destroy(rd.sasl_background_callbacks_enable(rk))
        rd.set_log_queue(rk, NULL)      # logs go to the main queue too, never to stderr
        self.settings = dict(shown if shown is not None else settings)

    def __dealloc__(self):
        # Reached without close() only when the owner was lost; the lane has warned. Never in a forked child.
        cdef rd_kafka_t* rk = self.rk
        if rk != NULL and self._generation == forks():
            rd.queue_destroy(self.queue)
            if self.sasl_queue != NULL:
                rd.queue_destroy(self.sasl_queue)
            with nogil:
                end(rk, self.wire, LAST_OUT_SECONDS)
        if self.wire != NULL:
            drop(self.wire)

    cdef int ensure_open(self) except -1:
        if self._generation != forks():
            raise ForkedProducerError("this producer was made before fork(): make a new one in the child process")
        if self.rk == NULL or self._closing:
            raise ClosedProducerError("the producer is closed")
        return 0

    cdef int hold(self) except -1:
        """Keep the native client alive over a call that lets the GIL go; ``release()`` follows in any case."""
        if self._generation == forks():
            # In this order, and close() the other way round: without the GIL one of the two sees the other.
            count(&self._users, 1)
            if self.rk != NULL and not self._closing:
                return 0
            self.release()
        return self.ensure_open()       # raises

    cdef void release(self) noexcept:
        if count(&self._users, -1) == 0 and self._closing:
            self.last_call_ended()

    cdef void last_call_ended(self) noexcept:
        self._destroy(LAST_OUT_SECONDS)

    @property
    def users(self):
        """int: calls that are inside librdkafka now."""
        return load(&self._users)

    @property
    def is_closed(self):
        """bool: whether ``close()`` was called."""
        return self.rk == NULL or self._closing

    @property
    def is_forked(self):
        """bool: whether this is a child process's dead copy."""
        return self._generation != forks()

    @property
    def name(self):
        """str: librdkafka's name of this client, as in its logs."""
        self.hold()
        try:
            return rd.name(self.rk).decode()
        finally:
            self.release()

    @property
    def produce_requests(self):
        """int: ProduceRequests sent so far."""
        return load(&self.wire.produce_requests)

    cdef Topic topic(self, str name):
        """Return the owner of this topic's handle, made at its first use and kept until close()."""
        cdef Topic topic
        self.hold()     # close() takes the dict away
        try:
            with cython.critical_section(self):
                topic = self._made(name)
        finally:
            self.release()
        return topic

    cdef Topic _made(self, str name):
        """Do as ``topic()`` for a call that is inside: of threads that name a new topic at the same moment one makes it."""
        cdef Topic topic = self._topics.get(name)
        if topic is None:
            topic = Topic.__new__(Topic)
            topic.open(self, name)
            self._topics[name] = topic
        return topic

    cdef dict topic_names(self):
        """Return the names of the open topics by the addresses of their native handles."""
        with cython.critical_section(self):     # close() replaces the dict
            topics = list(self._topics.values())
        return {<uintptr_t>(<Topic>topic).rkt: topic.name for topic in topics}

    def open_topic(self, str name):
        """Return the Topic of this name, made at its first use."""
        return self.topic(name)

    def fetch_partitions(self, Topic topic, double timeout):
        """Ask the brokers once for the partitions of a topic; librdkafka learns them, too.

        Parameters
        ----------
        topic : Topic
        timeout : float
            Seconds. The GIL is released for as long; no signal is looked at. An answer that comes later is lost.

        Returns
        -------
        error : int
            0, or the error of the request or of the topic (``rd_kafka_resp_err_t``).
        partitions : list of (int, int, int, int)
            Number, leader (broker, -1 without one), error and number of replicas of each partition.
        """
        cdef const rd_kafka_metadata_t* answer = NULL
        cdef int error = 0, step_ms = <int>max(1.0, min(timeout * 1000, 2_000_000_000.0))
        self.hold()
        try:
            with nogil:
                error = rd.metadata(self.rk, 0, topic.rkt, &answer, step_ms)
        finally:
            self.release()
        if error:
            return error, []
        try:
            if answer.topic_cnt != 1:
                return RD_KAFKA_RESP_ERR__TIMED_OUT, []
            found = [
                (answer.topics[0].partitions[i].id, answer.topics[0].partitions[i].leader,
                 answer.topics[0].partitions[i].err, answer.topics[0].partitions[i].replica_cnt)
                for i in range(answer.topics[0].partition_cnt)
            ]
            return answer.topics[0].err, found
        finally:
            rd.metadata_destroy(answer)

    def raise_if_fatal(self, topic=None):
        """Raise FatalProducerError if a fatal error has ended this producer; `topic` is that of the call."""
        fatal = self.fatal_error()
        if fatal is not None:
            raise fatal_error(*fatal, Verdict.NOT_WRITTEN, topic)

    def mark_old_topics(self):
        """Have topics counted again whose count is older than ``recount_after``, at the next call that sends to them."""
        cdef double before = time.monotonic() - self.recount_after
        cdef Topic topic
        with cython.critical_section(self):
            for topic in self._topics.values():
                if topic.partition_count and topic.counted_at < before:
                    store(&topic.first_acks.recount, 1)

    def fatal_error(self):
        """Return ``(code, reason)`` of the fatal error that ended this producer, or None (``rd_kafka_fatal_error``)."""
        cdef char reason[512]
        cdef int code
        self.hold()
        try:
            code = rd.fatal_error(self.rk, reason, sizeof(reason))
        finally:
            self.release()
        # What librdkafka writes before the reason of an error that `ReportReader` has declared.
        return (code, reason.decode("utf-8", "replace").removeprefix("test_fatal_error: ")) if code else None

    def purge(self, bint in_flight=True, bint wait=True, bint in_queue=True):
        """Drop every record that is queued or in flight, as asked; each still gets its report (``rd_kafka_purge``).

        GIL: released while librdkafka's broker threads answer, if they are waited for: at once, unless one of them sits
        in a name look-up.
        """
        cdef int flags = RD_KAFKA_PURGE_F_QUEUE if in_queue else 0
        if in_flight:
            flags |= RD_KAFKA_PURGE_F_INFLIGHT
        if not wait:
            flags |= RD_KAFKA_PURGE_F_NON_BLOCKING
        self.hold()
        try:
            with nogil:
                rd.purge(self.rk, flags)
        finally:
            self.release()

    def is_up(self, str host, int port):
        """Return whether a connection to a broker, by the address in librdkafka's log lines, is up now."""
        return is_up(self.wire, <bytes>host.encode(), port)

    def wait_for_token_request(self, double timeout):
        """Wait for librdkafka to ask for a token of SASL/OAUTHBEARER; return whether it did. GIL: released."""
        cdef rd_kafka_event_t* event
        cdef int kind = 0, ms = <int>(max(0.0, timeout) * 1000)
        self.hold()
        try:
            with nogil:
                event = rd.queue_poll(self.sasl_queue, ms)
                if event != NULL:
                    kind = rd.event_type(event)
                    rd.event_destroy(event)
        finally:
            self.release()
        return kind == RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH

    def set_token(self, bytes token, int64_t expires_at_ms, bytes principal, list extensions):
        """Give librdkafka a token (``rd_kafka_oauthbearer_set_token``).

        Parameters
        ----------
        token, principal : bytes
        expires_at_ms : int
            Since the epoch.
        extensions : list of bytes
            Names and values, in turn.

        Returns
        -------
        str or None
            Why it was refused.
        """
        cdef char reason[512]
        cdef int error
        cdef size_t n = len(extensions)
        cdef const char* text = token
        cdef const char* name = principal
        cdef const char** pairs = <const char**>calloc(n + 1, sizeof(char*))
        if pairs == NULL:
            raise MemoryError()
        reason[0] = 0
        try:
            for i in range(n):
                pairs[i] = <bytes>extensions[i]
            self.hold()
            try:
                with nogil:
                    error = rd.oauthbearer_set_token(self.rk, text, expires_at_ms, name, pairs, n, reason, sizeof(reason))
            finally:
                self.release()
        finally:
            free(pairs)
        return (reason.decode("utf-8", "replace") or rd.err2str(error).decode()) if error else None

    def set_token_failure(self, bytes reason):
        """Tell librdkafka that there is no token (``rd_kafka_oauthbearer_set_token_failure``); it asks again in 10 s."""
        cdef const char* text = reason
        self.hold()
        try:
            with nogil:
                rd.oauthbearer_set_token_failure(self.rk, text)
        finally:
            self.release()

    def set_sasl_credentials(self, bytes username, bytes password):
        """Use these for connections from now on (``rd_kafka_sasl_set_credentials``)."""
        cdef rd_kafka_error_t* error
        cdef const char* name = username
        cdef const char* word = password
        self.hold()
        try:
            with nogil:
                error = rd.sasl_set_credentials(self.rk, name, word)
        finally:
            self.release()
        if error != NULL:
            reason = rd.error_string(error).decode("utf-8", "replace")
            rd.error_destroy(error)
            raise ConfigError(reason)

    def close(self, double patience=1.0):
        """Destroy the handle. Records still inside get no report: drain or purge first. Does nothing twice.

        Parameters
        ----------
        patience : float
            Seconds that calls of other threads get to come out of librdkafka, and then the client to end. A thread that
            is inside longer, or below a signal handler that closes, ends it on the way out.

        Returns
        -------
        bool
            False if librdkafka's threads still run: a thread that is inside, or one made for it, waits for their end.

        Notes
        -----
        GIL: released. Raises nothing.
        """
        cdef double until = time.monotonic() + patience
        self._closing = True
        fence()     # before the count is read: a call counts itself in before it reads the flag
        if self.sasl_queue != NULL and self._generation == forks():
            rd.queue_yield(self.sasl_queue)     # the thread that waits for token requests leaves at once
        while load(&self._users) and time.monotonic() < until:
            time.sleep(0.002)
        if load(&self._users):
            return False
        return self._destroy(max(0.05, until - time.monotonic()))

    cdef bint _destroy(self, double patience) noexcept:
        cdef bint is_gone
        cdef rd_kafka_t* rk
        cdef rd_kafka_queue_t* queue
        cdef rd_kafka_queue_t* sasl_queue
        with cython.critical_section(self):
            rk, queue, sasl_queue = self.rk, self.queue, self.sasl_queue
            self.rk, self.queue, self.sasl_queue = NULL, NULL, NULL
            topics, self._topics = self._topics, {}
        if rk == NULL or self._generation != forks():
            return True
        for topic in topics.values():
            (<Topic>topic).close()
        rd.queue_destroy(queue)
        if sasl_queue != NULL:
            rd.queue_destroy(sasl_queue)
        with nogil:
            is_gone = end(rk, self.wire, patience)
        return is_gone

    def __reduce__(self):
        raise TypeError("a Handle cannot be pickled")


# The collector of garbage must leave the handle to __dealloc__; it breaks the circle at the Handle's own topics.
@cython.no_gc_clear
@cython.final
cdef class Topic:
    """One topic of one Handle. Made by ``Handle.open_topic()`` only."""

    def __cinit__(self):
        self.rkt = NULL
        memset(&self.first_acks, 0, sizeof(FirstAcks))
        self.partition_count = 0
        self.max_message_bytes = NO_LIMIT
        self.sticky_partition = -1

    def __init__(self):
        raise TypeError("Topics are made by Handle.open_topic()")

    def __dealloc__(self):
        self.close()
        free_first_acks(&self.first_acks)

    def open(self, Handle handle not None, str name not None):
        """Create the native handle; librdkafka then asks for the topic's leaders in the background."""
        if self.rkt != NULL:
            raise RuntimeError("this Topic is open already")
        try:
            encoded = name.encode()
        except UnicodeEncodeError:
            encoded = b""       # a lone surrogate: no bytes stand for it
        if b"\0" in encoded or not 0 < len(encoded) <= MAX_TOPIC_BYTES:
            raise ConfigError(f"not a topic name (1 to {MAX_TOPIC_BYTES} bytes of UTF-8, no NUL): {name[:60]!r}")
        cdef rd_kafka_topic_conf_t* conf = rd.default_topic_conf_dup(handle.rk)
        rd.topic_conf_set_opaque(conf, &self.first_acks)
        self.rkt = rd.topic_new(handle.rk, <const char*>encoded, conf)
        if self.rkt == NULL:
            raise ConfigError(f"librdkafka cannot make a handle for topic {name!r}")
        add(&_live_topics, 1)
        self._handle = handle
        self.name = name
        self.encoded_name = encoded

    def close(self):
        """Release the native handle. Does nothing twice, nothing after fork()."""
        if self.rkt != NULL and self._handle._generation == forks():
            rd.topic_destroy(self.rkt)
            add(&_live_topics, -1)
        self.rkt = NULL

    def counted(self, int partitions):
        """Take a count of the partitions, made now."""
        with cython.critical_section(self):
            make_room(&self.first_acks, partitions)
            self.partition_count = partitions
        self.counted_at = time.monotonic()

    @property
    def recount(self):
        """bool: whether the partitions are to be counted again before more records go."""
        return load(&self.first_acks.recount) != 0

    @recount.setter
    def recount(self, bint asked):
        store(&self.first_acks.recount, asked)

    def __repr__(self):
        return f"Topic({self.name!r}, partitions={self.partition_count or None})"

    def __reduce__(self):
        raise TypeError("a Topic cannot be pickled")
