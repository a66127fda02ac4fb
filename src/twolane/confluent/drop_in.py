"""Import this first, and ``confluent_kafka.Producer`` is twolane's: for programs whose imports are not yours to change.

It works for whatever asks confluent_kafka for its Producer afterwards. Where processes are started by a framework, each
of them has to import it, see docs/moving.md.
"""

from __future__ import annotations

import confluent_kafka

from twolane.confluent.producer import Producer


def replace() -> None:
    """Put twolane's Producer in place of confluent-kafka's, in this process."""
    confluent_kafka.Producer = Producer  # type: ignore[assignment,misc]


replace()
