"""The one table of resolved librdkafka functions. Filled once at import; a call through it costs one indirection."""
from twolane.librdkafka cimport *


cdef struct Library:
    rd_kafka_version_t version
    rd_kafka_version_str_t version_str
    rd_kafka_err2str_t err2str
    rd_kafka_err2name_t err2name
    rd_kafka_fatal_error_t fatal_error
    rd_kafka_test_fatal_error_t test_fatal_error
    rd_kafka_conf_new_t conf_new
    rd_kafka_conf_destroy_t conf_destroy
    rd_kafka_conf_set_t conf_set
    rd_kafka_conf_set_events_t conf_set_events
    rd_kafka_conf_interceptor_add_on_new_t conf_interceptor_add_on_new
    rd_kafka_interceptor_add_on_request_sent_t interceptor_add_on_request_sent
    rd_kafka_new_t new_
    rd_kafka_destroy_t destroy
    rd_kafka_name_t name
    rd_kafka_set_log_queue_t set_log_queue
    rd_kafka_topic_new_t topic_new
    rd_kafka_topic_destroy_t topic_destroy
    rd_kafka_topic_opaque_t topic_opaque
    rd_kafka_default_topic_conf_dup_t default_topic_conf_dup
    rd_kafka_topic_conf_set_opaque_t topic_conf_set_opaque
    rd_kafka_metadata_f metadata
    rd_kafka_metadata_destroy_t metadata_destroy
    rd_kafka_msg_partitioner_t partitioner_murmur2
    rd_kafka_msg_partitioner_t partitioner_consistent
    rd_kafka_msg_partitioner_t partitioner_fnv1a
    rd_kafka_produceva_t produceva
    rd_kafka_error_code_t error_code
    rd_kafka_error_string_t error_string
    rd_kafka_error_is_t error_is_fatal
    rd_kafka_error_is_t error_is_retriable
    rd_kafka_error_is_t error_txn_requires_abort
    rd_kafka_error_destroy_t error_destroy
    rd_kafka_transactions_t init_transactions
    rd_kafka_begin_transaction_t begin_transaction
    rd_kafka_transactions_t commit_transaction
    rd_kafka_transactions_t abort_transaction
    rd_kafka_send_offsets_to_transaction_t send_offsets_to_transaction
    rd_kafka_consumer_group_metadata_read_t consumer_group_metadata_read
    rd_kafka_consumer_group_metadata_destroy_t consumer_group_metadata_destroy
    rd_kafka_headers_new_t headers_new
    rd_kafka_headers_destroy_t headers_destroy
    rd_kafka_header_add_t header_add
    rd_kafka_flush_t flush
    rd_kafka_purge_t purge
    rd_kafka_topic_partition_list_new_t topic_partition_list_new
    rd_kafka_topic_partition_list_destroy_t topic_partition_list_destroy
    rd_kafka_topic_partition_list_add_t topic_partition_list_add
    rd_kafka_pause_partitions_t pause_partitions
    rd_kafka_pause_partitions_t resume_partitions
    rd_kafka_consume_batch_t consume_batch
    rd_kafka_queue_get_main_t queue_get_main
    rd_kafka_queue_destroy_t queue_destroy
    rd_kafka_queue_length_t queue_length
    rd_kafka_queue_poll_t queue_poll
    rd_kafka_queue_yield_t queue_yield
    rd_kafka_event_type_t event_type
    rd_kafka_event_destroy_t event_destroy
    rd_kafka_event_error_t event_error
    rd_kafka_event_error_string_t event_error_string
    rd_kafka_event_stats_t event_stats
    rd_kafka_event_log_t event_log
    rd_kafka_event_message_array_t event_message_array
    rd_kafka_message_status_t message_status
    rd_kafka_message_timestamp_t message_timestamp
    rd_kafka_message_latency_t message_latency
    rd_kafka_message_broker_id_t message_broker_id
    rd_kafka_conf_enable_sasl_queue_t conf_enable_sasl_queue
    rd_kafka_queue_get_sasl_t queue_get_sasl
    rd_kafka_sasl_background_callbacks_enable_t sasl_background_callbacks_enable
    rd_kafka_sasl_set_credentials_t sasl_set_credentials
    rd_kafka_oauthbearer_set_token_t oauthbearer_set_token
    rd_kafka_oauthbearer_set_token_failure_t oauthbearer_set_token_failure
    rd_kafka_interceptor_add_on_broker_state_change_t interceptor_add_on_broker_state_change


cdef Library rd
