"""librdkafka as this project uses it: types and function types, names as in rdkafka.h. Declarations only.

No header of librdkafka is shipped or needed: the handles are opaque, the four structs below have had one layout
since v1.5.0 (the client's tests prove it by a round trip through the embedded cluster), and every function is
reached through the table in ``client/library.pxd``.
"""
from libc.stdint cimport int16_t, int32_t, int64_t


cdef extern from * nogil:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/types.h>
    #ifdef _MSC_VER
    #include <basetsd.h>
    typedef SSIZE_T ssize_t;
    #endif
    #ifndef TWOLANE_LIBRDKAFKA_TYPES
    #define TWOLANE_LIBRDKAFKA_TYPES
    typedef struct rd_kafka_s rd_kafka_t;
    typedef struct rd_kafka_conf_s rd_kafka_conf_t;
    typedef struct rd_kafka_topic_s rd_kafka_topic_t;
    typedef struct rd_kafka_topic_conf_s rd_kafka_topic_conf_t;
    typedef struct rd_kafka_queue_s rd_kafka_queue_t;
    typedef struct rd_kafka_op_s rd_kafka_event_t;
    typedef struct rd_kafka_error_s rd_kafka_error_t;
    typedef struct rd_kafka_headers_s rd_kafka_headers_t;
    typedef struct rd_kafka_consumer_group_metadata_s rd_kafka_consumer_group_metadata_t;
    typedef struct {
        int err;
        rd_kafka_topic_t *rkt;
        int32_t partition;
        void *payload;
        size_t len;
        void *key;
        size_t key_len;
        int64_t offset;
        void *_private;
    } rd_kafka_message_t;
    typedef struct {
        int vtype;
        union {
            const char *cstr;
            void *ptr;
            int i;
            int32_t i32;
            int64_t i64;
            struct { void *ptr; size_t size; } mem;
            struct { const char *name; const void *val; ssize_t size; } header;
            char _pad[64];
        } u;
    } rd_kafka_vu_t;
    typedef struct { int32_t id; char *host; int port; } rd_kafka_metadata_broker_t;
    typedef struct {
        int32_t id;
        int err;
        int32_t leader;
        int replica_cnt;
        int32_t *replicas;
        int isr_cnt;
        int32_t *isrs;
    } rd_kafka_metadata_partition_t;
    typedef struct {
        char *topic;
        int partition_cnt;
        rd_kafka_metadata_partition_t *partitions;
        int err;
    } rd_kafka_metadata_topic_t;
    typedef struct {
        int broker_cnt;
        rd_kafka_metadata_broker_t *brokers;
        int topic_cnt;
        rd_kafka_metadata_topic_t *topics;
        int32_t orig_broker_id;
        char *orig_broker_name;
    } rd_kafka_metadata_t;
    typedef struct {
        char *topic;
        int32_t partition;
        int64_t offset;
        void *metadata;
        size_t metadata_size;
        void *opaque;
        int err;
        void *_private;
    } rd_kafka_topic_partition_t;
    typedef struct {
        int cnt;
        int size;
        rd_kafka_topic_partition_t *elems;
    } rd_kafka_topic_partition_list_t;
    #endif
    """
    ctypedef struct rd_kafka_t:
        pass
    ctypedef struct rd_kafka_conf_t:
        pass
    ctypedef struct rd_kafka_topic_t:
        pass
    ctypedef struct rd_kafka_topic_conf_t:
        pass
    ctypedef struct rd_kafka_queue_t:
        pass
    ctypedef struct rd_kafka_event_t:
        pass
    ctypedef struct rd_kafka_error_t:
        pass
    ctypedef struct rd_kafka_headers_t:
        pass
    ctypedef struct rd_kafka_consumer_group_metadata_t:
        pass

    ctypedef struct rd_kafka_message_t:
        int err
        rd_kafka_topic_t* rkt
        int32_t partition
        void* payload
        size_t len
        void* key
        size_t key_len
        int64_t offset
        void* _private

    ctypedef struct rd_kafka_vu_mem_t "struct { void *ptr; size_t size; }":
        void* ptr
        size_t size
    ctypedef struct rd_kafka_vu_header_t "struct { const char *name; const void *val; ssize_t size; }":
        const char* name
        const void* val
        ssize_t size
    ctypedef union rd_kafka_vu_union_t "union { int i; }":
        const char* cstr
        void* ptr
        int i
        int32_t i32
        int64_t i64
        rd_kafka_vu_mem_t mem
        rd_kafka_vu_header_t header
    ctypedef struct rd_kafka_vu_t:
        int vtype
        rd_kafka_vu_union_t u

    ctypedef struct rd_kafka_metadata_broker_t:
        int32_t id
        char* host
        int port
    ctypedef struct rd_kafka_metadata_partition_t:
        int32_t id
        int err
        int32_t leader
        int replica_cnt
        int32_t* replicas
        int isr_cnt
        int32_t* isrs
    ctypedef struct rd_kafka_metadata_topic_t:
        char* topic
        int partition_cnt
        rd_kafka_metadata_partition_t* partitions
        int err
    ctypedef struct rd_kafka_metadata_t:
        int broker_cnt
        rd_kafka_metadata_broker_t* brokers
        int topic_cnt
        rd_kafka_metadata_topic_t* topics
        int32_t orig_broker_id
        char* orig_broker_name
    ctypedef struct rd_kafka_topic_partition_t:
        char* topic
        int32_t partition
        int64_t offset
        int err
    ctypedef struct rd_kafka_topic_partition_list_t:
        int cnt
        int size
        rd_kafka_topic_partition_t* elems


cdef enum:
    RD_KAFKA_PRODUCER = 0
    RD_KAFKA_CONF_OK = 0
    RD_KAFKA_PARTITION_UA = -1

    # rd_kafka_vtype_t
    RD_KAFKA_VTYPE_RKT = 2
    RD_KAFKA_VTYPE_PARTITION = 3
    RD_KAFKA_VTYPE_VALUE = 4
    RD_KAFKA_VTYPE_KEY = 5
    RD_KAFKA_VTYPE_OPAQUE = 6
    RD_KAFKA_VTYPE_MSGFLAGS = 7
    RD_KAFKA_VTYPE_TIMESTAMP = 8
    RD_KAFKA_VTYPE_HEADER = 9
    RD_KAFKA_VTYPE_HEADERS = 10

    RD_KAFKA_MSG_F_COPY = 2

    # rd_kafka_purge()
    RD_KAFKA_PURGE_F_QUEUE = 1
    RD_KAFKA_PURGE_F_INFLIGHT = 2
    RD_KAFKA_PURGE_F_NON_BLOCKING = 4

    # rd_kafka_event_type(), also the bits of rd_kafka_conf_set_events()
    RD_KAFKA_EVENT_DR = 0x1
    RD_KAFKA_EVENT_LOG = 0x4
    RD_KAFKA_EVENT_ERROR = 0x8
    RD_KAFKA_EVENT_STATS = 0x40
    RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH = 0x100

    # rd_kafka_timestamp_type_t
    RD_KAFKA_TIMESTAMP_NOT_AVAILABLE = 0
    RD_KAFKA_TIMESTAMP_CREATE_TIME = 1
    RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME = 2

    # rd_kafka_msg_status_t
    RD_KAFKA_MSG_STATUS_NOT_PERSISTED = 0
    RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED = 1
    RD_KAFKA_MSG_STATUS_PERSISTED = 2

    # rd_kafka_resp_err_t, those that the code itself looks at
    RD_KAFKA_RESP_ERR_NO_ERROR = 0
    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART = 3
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED = 29
    RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH = 47
    RD_KAFKA_RESP_ERR__DESTROY = -197
    RD_KAFKA_RESP_ERR__MSG_TIMED_OUT = -192
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION = -190
    RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC = -188
    RD_KAFKA_RESP_ERR__TIMED_OUT = -185
    RD_KAFKA_RESP_ERR__QUEUE_FULL = -184
    RD_KAFKA_RESP_ERR__PURGE_QUEUE = -152
    RD_KAFKA_RESP_ERR__PURGE_INFLIGHT = -151
    RD_KAFKA_RESP_ERR__FATAL = -150
    RD_KAFKA_RESP_ERR__INCONSISTENT = -149


ctypedef int (*rd_kafka_version_t)() noexcept nogil
ctypedef const char* (*rd_kafka_version_str_t)() noexcept nogil
ctypedef const char* (*rd_kafka_err2str_t)(int) noexcept nogil
ctypedef const char* (*rd_kafka_err2name_t)(int) noexcept nogil
ctypedef int (*rd_kafka_fatal_error_t)(rd_kafka_t*, char*, size_t) noexcept nogil
ctypedef int (*rd_kafka_test_fatal_error_t)(rd_kafka_t*, int, const char*) noexcept nogil

ctypedef rd_kafka_conf_t* (*rd_kafka_conf_new_t)() noexcept nogil
ctypedef void (*rd_kafka_conf_destroy_t)(rd_kafka_conf_t*) noexcept nogil
ctypedef int (*rd_kafka_conf_set_t)(rd_kafka_conf_t*, const char*, const char*, char*, size_t) noexcept nogil
ctypedef void (*rd_kafka_conf_set_events_t)(rd_kafka_conf_t*, int) noexcept nogil
ctypedef int (*rd_kafka_interceptor_f_on_new_t)(rd_kafka_t*, const rd_kafka_conf_t*, void*, char*, size_t) noexcept nogil
ctypedef int (*rd_kafka_interceptor_f_on_request_sent_t)(rd_kafka_t*, int, const char*, int32_t, int16_t, int16_t, int32_t, size_t, void*) noexcept nogil
ctypedef int (*rd_kafka_interceptor_f_on_broker_state_change_t)(rd_kafka_t*, int32_t, const char*, const char*, int, const char*, void*) noexcept nogil
ctypedef int (*rd_kafka_interceptor_add_on_broker_state_change_t)(rd_kafka_t*, const char*, rd_kafka_interceptor_f_on_broker_state_change_t, void*) noexcept nogil
ctypedef int (*rd_kafka_conf_interceptor_add_on_new_t)(rd_kafka_conf_t*, const char*, rd_kafka_interceptor_f_on_new_t, void*) noexcept nogil
ctypedef int (*rd_kafka_interceptor_add_on_request_sent_t)(rd_kafka_t*, const char*, rd_kafka_interceptor_f_on_request_sent_t, void*) noexcept nogil
ctypedef rd_kafka_t* (*rd_kafka_new_t)(int, rd_kafka_conf_t*, char*, size_t) noexcept nogil
ctypedef void (*rd_kafka_destroy_t)(rd_kafka_t*) noexcept nogil
ctypedef const char* (*rd_kafka_name_t)(const rd_kafka_t*) noexcept nogil
ctypedef int (*rd_kafka_set_log_queue_t)(rd_kafka_t*, rd_kafka_queue_t*) noexcept nogil

ctypedef rd_kafka_topic_t* (*rd_kafka_topic_new_t)(rd_kafka_t*, const char*, rd_kafka_topic_conf_t*) noexcept nogil
ctypedef void (*rd_kafka_topic_destroy_t)(rd_kafka_topic_t*) noexcept nogil
ctypedef void* (*rd_kafka_topic_opaque_t)(const rd_kafka_topic_t*) noexcept nogil
ctypedef rd_kafka_topic_conf_t* (*rd_kafka_default_topic_conf_dup_t)(rd_kafka_t*) noexcept nogil
ctypedef void (*rd_kafka_topic_conf_set_opaque_t)(rd_kafka_topic_conf_t*, void*) noexcept nogil
ctypedef int (*rd_kafka_metadata_f)(rd_kafka_t*, int, rd_kafka_topic_t*, const rd_kafka_metadata_t**, int) noexcept nogil
ctypedef void (*rd_kafka_metadata_destroy_t)(const rd_kafka_metadata_t*) noexcept nogil
ctypedef int32_t (*rd_kafka_msg_partitioner_t)(const rd_kafka_topic_t*, const void*, size_t, int32_t, void*, void*) noexcept nogil

ctypedef rd_kafka_error_t* (*rd_kafka_produceva_t)(rd_kafka_t*, const rd_kafka_vu_t*, size_t) noexcept nogil
ctypedef int (*rd_kafka_error_code_t)(const rd_kafka_error_t*) noexcept nogil
ctypedef const char* (*rd_kafka_error_string_t)(const rd_kafka_error_t*) noexcept nogil
ctypedef int (*rd_kafka_error_is_t)(const rd_kafka_error_t*) noexcept nogil
ctypedef void (*rd_kafka_error_destroy_t)(rd_kafka_error_t*) noexcept nogil
ctypedef rd_kafka_headers_t* (*rd_kafka_headers_new_t)(size_t) noexcept nogil
ctypedef void (*rd_kafka_headers_destroy_t)(rd_kafka_headers_t*) noexcept nogil
ctypedef int (*rd_kafka_header_add_t)(rd_kafka_headers_t*, const char*, ssize_t, const void*, ssize_t) noexcept nogil
ctypedef rd_kafka_error_t* (*rd_kafka_transactions_t)(rd_kafka_t*, int) noexcept nogil
ctypedef rd_kafka_error_t* (*rd_kafka_begin_transaction_t)(rd_kafka_t*) noexcept nogil
ctypedef rd_kafka_error_t* (*rd_kafka_send_offsets_to_transaction_t)(rd_kafka_t*, const rd_kafka_topic_partition_list_t*, const rd_kafka_consumer_group_metadata_t*, int) noexcept nogil
ctypedef rd_kafka_error_t* (*rd_kafka_consumer_group_metadata_read_t)(rd_kafka_consumer_group_metadata_t**, const void*, size_t) noexcept nogil
ctypedef void (*rd_kafka_consumer_group_metadata_destroy_t)(rd_kafka_consumer_group_metadata_t*) noexcept nogil
ctypedef int (*rd_kafka_flush_t)(rd_kafka_t*, int) noexcept nogil
ctypedef int (*rd_kafka_purge_t)(rd_kafka_t*, int) noexcept nogil

ctypedef rd_kafka_topic_partition_list_t* (*rd_kafka_topic_partition_list_new_t)(int) noexcept nogil
ctypedef void (*rd_kafka_topic_partition_list_destroy_t)(rd_kafka_topic_partition_list_t*) noexcept nogil
ctypedef rd_kafka_topic_partition_t* (*rd_kafka_topic_partition_list_add_t)(rd_kafka_topic_partition_list_t*, const char*, int32_t) noexcept nogil
ctypedef int (*rd_kafka_pause_partitions_t)(rd_kafka_t*, rd_kafka_topic_partition_list_t*) noexcept nogil
ctypedef ssize_t (*rd_kafka_consume_batch_t)(rd_kafka_topic_t*, int32_t, int, rd_kafka_message_t**, size_t) noexcept nogil

ctypedef rd_kafka_queue_t* (*rd_kafka_queue_get_main_t)(rd_kafka_t*) noexcept nogil
ctypedef void (*rd_kafka_queue_destroy_t)(rd_kafka_queue_t*) noexcept nogil
ctypedef rd_kafka_event_t* (*rd_kafka_queue_poll_t)(rd_kafka_queue_t*, int) noexcept nogil
ctypedef size_t (*rd_kafka_queue_length_t)(rd_kafka_queue_t*) noexcept nogil
ctypedef void (*rd_kafka_queue_yield_t)(rd_kafka_queue_t*) noexcept nogil
ctypedef int (*rd_kafka_event_type_t)(const rd_kafka_event_t*) noexcept nogil
ctypedef void (*rd_kafka_event_destroy_t)(rd_kafka_event_t*) noexcept nogil
ctypedef int (*rd_kafka_event_error_t)(rd_kafka_event_t*) noexcept nogil
ctypedef const char* (*rd_kafka_event_error_string_t)(rd_kafka_event_t*) noexcept nogil
ctypedef const char* (*rd_kafka_event_stats_t)(rd_kafka_event_t*) noexcept nogil
ctypedef int (*rd_kafka_event_log_t)(rd_kafka_event_t*, const char**, const char**, int*) noexcept nogil
ctypedef size_t (*rd_kafka_event_message_array_t)(rd_kafka_event_t*, const rd_kafka_message_t**, size_t) noexcept nogil
ctypedef int (*rd_kafka_message_status_t)(const rd_kafka_message_t*) noexcept nogil
ctypedef int64_t (*rd_kafka_message_timestamp_t)(const rd_kafka_message_t*, int*) noexcept nogil
ctypedef int64_t (*rd_kafka_message_latency_t)(const rd_kafka_message_t*) noexcept nogil
ctypedef int32_t (*rd_kafka_message_broker_id_t)(const rd_kafka_message_t*) noexcept nogil

ctypedef void (*rd_kafka_conf_enable_sasl_queue_t)(rd_kafka_conf_t*, int) noexcept nogil
ctypedef rd_kafka_queue_t* (*rd_kafka_queue_get_sasl_t)(rd_kafka_t*) noexcept nogil
ctypedef rd_kafka_error_t* (*rd_kafka_sasl_background_callbacks_enable_t)(rd_kafka_t*) noexcept nogil
ctypedef rd_kafka_error_t* (*rd_kafka_sasl_set_credentials_t)(rd_kafka_t*, const char*, const char*) noexcept nogil
ctypedef int (*rd_kafka_oauthbearer_set_token_t)(rd_kafka_t*, const char*, int64_t, const char*, const char**, size_t, char*, size_t) noexcept nogil
ctypedef int (*rd_kafka_oauthbearer_set_token_failure_t)(rd_kafka_t*, const char*) noexcept nogil
