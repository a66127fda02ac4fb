"""Fill the table of librdkafka functions from the addresses that ``twolane.client.locate`` found.

Importing this module is the one place where a missing or unfit librdkafka shows: it raises ``LibraryError``.
"""
from libc.stdint cimport uintptr_t

from twolane.client.locate import locate

# In the order of the struct's fields: every field is one pointer, so the table is an array of them.
_NAMES = (
    "rd_kafka_version",
    "rd_kafka_version_str",
    "rd_kafka_err2str",
    "rd_kafka_err2name",
    "rd_kafka_fatal_error",
    "rd_kafka_test_fatal_error",
    "rd_kafka_conf_new",
    "rd_kafka_conf_destroy",
    "rd_kafka_conf_set",
    "rd_kafka_conf_set_events",
    "rd_kafka_conf_interceptor_add_on_new",
    "rd_kafka_interceptor_add_on_request_sent",
    "rd_kafka_new",
    "rd_kafka_destroy",
    "rd_kafka_name",
    "rd_kafka_set_log_queue",
    "rd_kafka_topic_new",
    "rd_kafka_topic_destroy",
    "rd_kafka_topic_opaque",
    "rd_kafka_default_topic_conf_dup",
    "rd_kafka_topic_conf_set_opaque",
    "rd_kafka_metadata",
    "rd_kafka_metadata_destroy",
    "rd_kafka_msg_partitioner_murmur2",
    "rd_kafka_msg_partitioner_consistent",
    "rd_kafka_msg_partitioner_fnv1a",
    "rd_kafka_produceva",
    "rd_kafka_error_code",
    "rd_kafka_error_string",
    "rd_kafka_error_is_fatal",
    "rd_kafka_error_is_retriable",
    "rd_kafka_error_txn_requires_abort",
    "rd_kafka_error_destroy",
    "rd_kafka_init_transactions",
    "rd_kafka_begin_transaction",
    "rd_kafka_commit_transaction",
    "rd_kafka_abort_transaction",
    "rd_kafka_send_offsets_to_transaction",
    "rd_kafka_consumer_group_metadata_read",
    "rd_kafka_consumer_group_metadata_destroy",
    "rd_kafka_headers_new",
    "rd_kafka_headers_destroy",
    "rd_kafka_header_add",
    "rd_kafka_flush",
    "rd_kafka_purge",
    "rd_kafka_topic_partition_list_new",
    "rd_kafka_topic_partition_list_destroy",
    "rd_kafka_topic_partition_list_add",
    "rd_kafka_pause_partitions",
    "rd_kafka_resume_partitions",
    "rd_kafka_consume_batch",
    "rd_kafka_queue_get_main",
    "rd_kafka_queue_destroy",
    "rd_kafka_queue_length",
    "rd_kafka_queue_poll",
    "rd_kafka_queue_yield",
    "rd_kafka_event_type",
    "rd_kafka_event_destroy",
    "rd_kafka_event_error",
    "rd_kafka_event_error_string",
    "rd_kafka_event_stats",
    "rd_kafka_event_log",
    "rd_kafka_event_message_array",
    "rd_kafka_message_status",
    "rd_kafka_message_timestamp",
    "rd_kafka_message_latency",
    "rd_kafka_message_broker_id",
    "rd_kafka_conf_enable_sasl_queue",
    "rd_kafka_queue_get_sasl",
    "rd_kafka_sasl_background_callbacks_enable",
    "rd_kafka_sasl_set_credentials",
    "rd_kafka_oauthbearer_set_token",
    "rd_kafka_oauthbearer_set_token_failure",
    "rd_kafka_interceptor_add_on_broker_state_change",
)
if sizeof(Library) != len(_NAMES) * sizeof(void*):
    raise ImportError("twolane.client.library: its table and its list of names have different lengths")

_found = locate(_NAMES)

cdef void** _table = <void**>&rd
for _i, _name in enumerate(_NAMES):
    _table[_i] = <void*><uintptr_t>_found.addresses[_name]

PATH = _found.path
VERSION = _found.version
VERSION_TEXT = _found.version_text


def resolved():
    """Return every function of the table with the address it is called at.

    Returns
    -------
    dict of str to int
        For tests and for reports of a mixed-up installation.
    """
    return {name: <uintptr_t>_table[i] for i, name in enumerate(_NAMES)}


def error_name(int code):
    """Return librdkafka's name of an error code, such as ``"REQUEST_TIMED_OUT"`` (``rd_kafka_err2name``)."""
    return rd.err2name(code).decode()


def error_text(int code):
    """Return librdkafka's sentence for an error code (``rd_kafka_err2str``)."""
    return rd.err2str(code).decode()
