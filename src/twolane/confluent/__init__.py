"""``confluent_kafka.Producer``'s interface on twolane's core: change one import and keep the rest of a program.

``from twolane.confluent import Producer`` in place of ``from confluent_kafka import Producer``. Records, partitions,
callbacks, error codes and settings mean what they mean there; what differs is listed in docs/moving.md.
"""

from twolane.confluent.producer import Producer

__all__ = ["Producer"]
