"""Import this first, and ``confluent_kafka.Producer`` is twolane's: for programs whose imports are not yours to change.

It works for whatever asks confluent_kafka for its Producer afterwards, until `undo`. Where processes are started by a
framework, each of them has to import it, see docs/moving.md.
"""

from __future__ import annotations

from typing import Any

import confluent_kafka

from twolane.confluent.producer import Producer

_package: Any = confluent_kafka
# What was there before replace(): confluent-kafka's own, or what another package had put there.
_replaced: Any = None


def replace() -> None:
    """Put twolane's Producer in place of confluent-kafka's, in this process."""
    global _replaced
    if _package.Producer is not Producer:
        _replaced = _package.Producer
        _package.Producer = Producer


def undo() -> None:
    """Put back what `replace` replaced. Producers that were made meanwhile, and names that were bound, stay twolane's.

    Does nothing where ``confluent_kafka.Producer`` is not twolane's: another package has wrapped or replaced it since.
    """
    if _package.Producer is Producer:
        _package.Producer = _replaced


replace()
