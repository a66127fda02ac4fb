import numpy as np
from numpy.typing import NDArray

from twolane.batch import EncodedBatch
from twolane.client.handle import Topic

def assign(
    topic: Topic, partitioner: str, values: EncodedBatch, keys: EncodedBatch | None, n: int, sticky_bytes: int
) -> int | NDArray[np.int32]: ...
