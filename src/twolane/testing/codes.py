"""Kafka's numbers by name: which request, which error."""

from __future__ import annotations

import enum

from confluent_kafka import KafkaError


class ApiKey(enum.IntEnum):
    """Requests whose errors are worth injecting (Kafka protocol guide, "Api Keys")."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


def error_code(code: int | str) -> int:
    """Return the number of an error.

    Parameters
    ----------
    code : int or str
        A number, or a name of `confluent_kafka.KafkaError`: ``"NOT_ENOUGH_REPLICAS"``, ``"_TRANSPORT"``.

    Raises
    ------
    ValueError
        No error has that name.
    """
    if not isinstance(code, str):
        return int(code)
    number = getattr(KafkaError, code.upper(), None)
    if not isinstance(number, int):
        raise ValueError(f"unknown Kafka error name {code!r}: see the constants of confluent_kafka.KafkaError")
    return number
