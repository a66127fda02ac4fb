from typing import final

import numpy as np
from numpy.typing import NDArray

from twolane.batch import EncodedBatch
from twolane.client.handle import Topic

NAMES: tuple[str, ...]

@final
class Partitioner:
    def __init__(self, name: str, sticky_bytes: int) -> None: ...
    def assign(
        self, topic: Topic, values: EncodedBatch, keys: EncodedBatch | None, n: int
    ) -> int | NDArray[np.int32]: ...
