from typing import final

from twolane.client.delivery import Delivery
from twolane.client.feed import Feed
from twolane.client.handle import Handle, Topic
from twolane.client.outcome import Outcome

@final
class ChunkSender:
    chunk_records: int
    chunk_bytes: int
    started: int
    def __init__(
        self,
        handle: Handle,
        delivery: Delivery,
        chunk_records: int,
        chunk_bytes: int,
        patience: float = ...,
        retry_seconds: float | None = None,
    ) -> None: ...
    def end_by(self, deadline: float) -> None: ...
    def take_interruption(self) -> BaseException | None: ...
    def send(self, topic: Topic, feed: Feed, outcome: Outcome, first_index: int, deadline: float) -> None: ...
