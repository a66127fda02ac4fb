"""Which error proves that a record is not in the log, and which leaves it open.

The table is data: ``ext/twolane/reports/classify.pyx`` loads it at import, and the tests go
through it code by code. librdkafka's own NOT_PERSISTED is not proof: a broker may answer NOT_LEADER_OR_FOLLOWER after
it appended (KAFKA-13574), and librdkafka calls that NOT_PERSISTED.
"""

from __future__ import annotations

from twolane.results import Verdict

# Refused by a check that the broker makes before it appends anything.
REFUSED_BEFORE_APPEND = frozenset(
    {
        2,  # CORRUPT_MESSAGE
        3,  # UNKNOWN_TOPIC_OR_PARTITION
        5,  # LEADER_NOT_AVAILABLE
        10,  # MESSAGE_TOO_LARGE
        17,  # INVALID_TOPIC_EXCEPTION
        18,  # RECORD_LIST_TOO_LARGE
        19,  # NOT_ENOUGH_REPLICAS
        21,  # INVALID_REQUIRED_ACKS
        29,  # TOPIC_AUTHORIZATION_FAILED
        31,  # CLUSTER_AUTHORIZATION_FAILED
        32,  # INVALID_TIMESTAMP
        35,  # UNSUPPORTED_VERSION
        42,  # INVALID_REQUEST
        43,  # UNSUPPORTED_FOR_MESSAGE_FORMAT
        44,  # POLICY_VIOLATION
        47,  # INVALID_PRODUCER_EPOCH
        53,  # TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        74,  # FENCED_LEADER_EPOCH
        75,  # UNKNOWN_LEADER_EPOCH
        76,  # UNSUPPORTED_COMPRESSION_TYPE
        82,  # FENCED_INSTANCE_ID
        87,  # INVALID_RECORD
        89,  # THROTTLING_QUOTA_EXCEEDED
        90,  # PRODUCER_FENCED
        -138,  # _INVALID_DIFFERENT_RECORD: another record of the request was refused so, and with it the request
    }
)

# Of these librdkafka retries these, and counts the retries; the others end a record at once.
RETRIED_BY_COUNT = frozenset({2, 19})

# Refusals of one record for what it is, which take the others of its MessageSet with them: those are sent again.
RECORD_AT_FAULT = frozenset(
    {
        2,  # CORRUPT_MESSAGE
        10,  # MESSAGE_TOO_LARGE
        18,  # RECORD_LIST_TOO_LARGE
        32,  # INVALID_TIMESTAMP
        87,  # INVALID_RECORD
        -138,  # _INVALID_DIFFERENT_RECORD
    }
)

# How the safe lane reports a purge at the end of a call's time: the user did not purge.
OUT_OF_TIME = {
    -152: -192,  # _PURGE_QUEUE: _MSG_TIMED_OUT
    -151: -192,  # _PURGE_INFLIGHT
}

# librdkafka gave the record up while it held it itself: proof only if no ProduceRequest ever left with it.
GIVEN_UP_LOCALLY = frozenset(
    {
        -192,  # _MSG_TIMED_OUT
        -190,  # _UNKNOWN_PARTITION
        -188,  # _UNKNOWN_TOPIC
        -187,  # _ALL_BROKERS_DOWN
        -184,  # _QUEUE_FULL
        -166,  # _TIMED_OUT_QUEUE
        -152,  # _PURGE_QUEUE
        -150,  # _FATAL
    }
)

# What a record may end with and what proves nothing: an error after the append, a lost answer, a purge in flight.
IN_DOUBT = frozenset(
    {
        -1,  # UNKNOWN_SERVER_ERROR
        6,  # NOT_LEADER_OR_FOLLOWER
        7,  # REQUEST_TIMED_OUT
        8,  # BROKER_NOT_AVAILABLE
        9,  # REPLICA_NOT_AVAILABLE
        13,  # NETWORK_EXCEPTION
        20,  # NOT_ENOUGH_REPLICAS_AFTER_APPEND
        45,  # OUT_OF_ORDER_SEQUENCE_NUMBER
        46,  # DUPLICATE_SEQUENCE_NUMBER
        48,  # INVALID_TXN_STATE
        49,  # INVALID_PRODUCER_ID_MAPPING
        51,  # CONCURRENT_TRANSACTIONS
        56,  # KAFKA_STORAGE_ERROR
        59,  # UNKNOWN_PRODUCER_ID
        100,  # UNKNOWN_TOPIC_ID
        103,  # INCONSISTENT_TOPIC_ID
        120,  # TRANSACTION_ABORTABLE
        -199,  # _BAD_MSG: an answer that could not be read
        -197,  # _DESTROY
        -196,  # _FAIL
        -195,  # _TRANSPORT
        -185,  # _TIMED_OUT
        -172,  # _STATE
        -153,  # _RETRY
        -151,  # _PURGE_INFLIGHT
        -149,  # _INCONSISTENT
        -148,  # _GAPLESS_GUARANTEE
        -144,  # _FENCED
        -137,  # _DESTROY_BROKER
    }
)


def _numbers(*parts: int | range) -> frozenset[int]:
    return frozenset(number for part in parts for number in (part if isinstance(part, range) else (part,)))


# Answers to other requests than Produce, and what librdkafka says of other things than records. A record that ended
# with one all the same would be in doubt.
OF_NO_RECORD = _numbers(
    *(1, 4, 11, 12, range(14, 17), range(22, 29), 30, 33, 34, range(36, 42), 50, 52, 54, 55, 57, 58, range(60, 74)),
    *(range(77, 82), range(83, 87), 88, range(91, 100), 101, 102, range(104, 120), range(121, 134)),
    *(
        -198,
        -194,
        -193,
        -191,
        -189,
        -186,
        -183,
        -182,
        -181,
        range(-180, -172),
        -171,
        -170,
        -169,
        -168,
        -167,
        -165,
        -164,
    ),
    *(range(-163, -153), -147, -146, -145, range(-143, -138)),
)


def verdict(
    code: int, *, possibly_persisted: bool, attempts: int, retries: int, one_broker: bool, offset: int, acks_none: bool
) -> Verdict:
    """Return what a delivery report proves.

    Parameters
    ----------
    code : int
        ``rd_kafka_resp_err_t`` of the report, 0 for success.
    possibly_persisted : bool
        librdkafka's status is POSSIBLY_PERSISTED (sticky over its retries).
    attempts : int
        An upper bound of the ProduceRequests that carried the record.
    retries : int
        The setting: counted retries end after ``1 + retries`` attempts.
    one_broker : bool
        All of those attempts went to one broker.
    offset : int
        Of the report.
    acks_none : bool
        ``acks=0``: no offset is ever given.

    Notes
    -----
    A refusal after several attempts proves something only if no earlier attempt may have appended. librdkafka retries
    NOT_LEADER_OR_FOLLOWER and its like without counting, so a record given up after counted retries had such an answer
    if there were more than ``1 + retries`` attempts; a refusal that is not retried proves nothing about those before
    it. KAFKA_STORAGE_ERROR takes the broker's log directory off line, so a later refusal comes from another broker.
    """
    if code == 0:
        # A success without an offset may be librdkafka's implicit acknowledgement of a record never written
        # (confluent-kafka-go #921).
        return Verdict.WRITTEN if offset >= 0 or acks_none else Verdict.UNKNOWN
    if possibly_persisted:
        return Verdict.UNKNOWN
    if code in GIVEN_UP_LOCALLY:
        return Verdict.NOT_WRITTEN if attempts == 0 else Verdict.UNKNOWN
    if code in RETRIED_BY_COUNT and attempts <= 1 + retries and one_broker:
        return Verdict.NOT_WRITTEN
    if code in REFUSED_BEFORE_APPEND and attempts <= 1:
        return Verdict.NOT_WRITTEN
    return Verdict.UNKNOWN
