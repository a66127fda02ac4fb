"""The settings as keyword arguments, with their types: what editors complete and type checkers check.

Made from the table of librdkafka 2.16.0 by ``python -m tests.support.typed_settings``; a test compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence

    from confluent_kafka import KafkaError

    from twolane.config.callbacks import TokenCallback


class ProducerSettings(TypedDict, total=False):
    """librdkafka's names with underscores for dots; what the producers take beside them comes first."""

    oauth_cb: TokenCallback | None
    error_cb: Callable[[KafkaError], Any] | None
    stats_cb: Callable[[str], Any] | None
    logger: logging.Logger | logging.LoggerAdapter[Any] | None
    allow_insecure: bool

    acks: Literal["all"] | int | None
    allow_auto_create_topics: bool | None
    api_version_fallback_ms: int | None
    api_version_request: bool | None
    api_version_request_timeout_ms: int | None
    batch_num_messages: int | None
    batch_size: int | None
    bootstrap_servers: str | Sequence[str] | None
    broker_address_family: Literal["any", "v4", "v6"] | None
    broker_address_ttl: int | None
    broker_version_fallback: str | None
    client_dns_lookup: Literal["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"] | None
    client_id: str | None
    client_rack: str | None
    compression_codec: Literal["none", "gzip", "snappy", "lz4", "zstd"] | None
    compression_level: int | None
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] | None
    connections_max_idle_ms: int | None
    debug: str | None
    delivery_timeout_ms: int | None
    enable_idempotence: bool | None
    enable_metrics_push: bool | None
    enable_random_seed: bool | None
    enable_sasl_oauthbearer_unsecure_jwt: bool | None
    enable_ssl_certificate_verification: bool | None
    https_ca_location: str | None
    https_ca_pem: str | None
    linger_ms: float | None
    log_connection_close: bool | None
    log_thread_name: bool | None
    log_level: int | None
    max_in_flight: int | None
    max_in_flight_requests_per_connection: int | None
    message_copy_max_bytes: int | None
    message_max_bytes: int | None
    message_send_max_retries: int | None
    message_timeout_ms: int | None
    metadata_broker_list: str | Sequence[str] | None
    metadata_max_age_ms: int | None
    metadata_recovery_rebootstrap_trigger_ms: int | None
    metadata_recovery_strategy: Literal["none", "rebootstrap"] | None
    partitioner: (
        Literal["murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a_random", "fnv1a", "random"]
        | None
    )
    queue_buffering_backpressure_threshold: int | None
    queue_buffering_max_kbytes: int | None
    queue_buffering_max_messages: int | None
    queue_buffering_max_ms: float | None
    receive_message_max_bytes: int | None
    reconnect_backoff_max_ms: int | None
    reconnect_backoff_ms: int | None
    request_required_acks: Literal["all"] | int | None
    request_timeout_ms: int | None
    retries: int | None
    retry_backoff_max_ms: int | None
    retry_backoff_ms: int | None
    sasl_kerberos_keytab: str | None
    sasl_kerberos_min_time_before_relogin: int | None
    sasl_kerberos_principal: str | None
    sasl_kerberos_service_name: str | None
    sasl_mechanism: str | None
    sasl_mechanisms: str | None
    sasl_oauthbearer_assertion_algorithm: Literal["RS256", "ES256"] | None
    sasl_oauthbearer_assertion_claim_aud: str | None
    sasl_oauthbearer_assertion_claim_exp_seconds: int | None
    sasl_oauthbearer_assertion_claim_iss: str | None
    sasl_oauthbearer_assertion_claim_jti_include: bool | None
    sasl_oauthbearer_assertion_claim_nbf_seconds: int | None
    sasl_oauthbearer_assertion_claim_sub: str | None
    sasl_oauthbearer_assertion_file: str | None
    sasl_oauthbearer_assertion_jwt_template_file: str | None
    sasl_oauthbearer_assertion_private_key_file: str | None
    sasl_oauthbearer_assertion_private_key_passphrase: str | None
    sasl_oauthbearer_assertion_private_key_pem: str | None
    sasl_oauthbearer_client_credentials_client_id: str | None
    sasl_oauthbearer_client_credentials_client_secret: str | None
    sasl_oauthbearer_client_id: str | None
    sasl_oauthbearer_client_secret: str | None
    sasl_oauthbearer_config: str | None
    sasl_oauthbearer_extensions: str | None
    sasl_oauthbearer_grant_type: Literal["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"] | None
    sasl_oauthbearer_metadata_authentication_type: Literal["none", "azure_imds", "aws_iam"] | None
    sasl_oauthbearer_method: Literal["default", "oidc"] | None
    sasl_oauthbearer_scope: str | None
    sasl_oauthbearer_sub_claim_name: str | None
    sasl_oauthbearer_token_endpoint_url: str | None
    sasl_password: str | None
    sasl_username: str | None
    security_protocol: (
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
        | None
    )
    socket_connection_setup_timeout_ms: int | None
    socket_keepalive_enable: bool | None
    socket_nagle_disable: bool | None
    socket_receive_buffer_bytes: int | None
    socket_send_buffer_bytes: int | None
    socket_timeout_ms: int | None
    ssl_ca_location: str | None
    ssl_ca_pem: str | None
    ssl_certificate_location: str | None
    ssl_certificate_pem: str | None
    ssl_cipher_suites: str | None
    ssl_crl_location: str | None
    ssl_curves_list: str | None
    ssl_endpoint_identification_algorithm: Literal["none", "https"] | None
    ssl_key_location: str | None
    ssl_key_password: str | None
    ssl_key_pem: str | None
    ssl_keystore_location: str | None
    ssl_keystore_password: str | None
    ssl_sigalgs_list: str | None
    statistics_interval_ms: int | None
    sticky_partitioning_linger_ms: int | None
    topic_blacklist: str | None
    topic_metadata_propagation_max_ms: int | None
    topic_metadata_refresh_fast_interval_ms: int | None
    topic_metadata_refresh_interval_ms: int | None
    topic_metadata_refresh_sparse: bool | None
    transaction_timeout_ms: int | None
    transactional_id: str | None
