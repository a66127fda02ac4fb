from typing import final

import numpy as np
from numpy.typing import NDArray

from twolane.batch import EncodedBatch

MOST_AROUND_A_RECORD: int
_Header = tuple[bytes, bytes | None]

@final
class RecordSlice:
    n: int
    def __init__(
        self,
        values: EncodedBatch,
        keys: EncodedBatch | None,
        timestamps: int | NDArray[np.int64],
        partitions: int | NDArray[np.int32],
        headers: tuple[_Header, ...] | list[tuple[_Header, ...]] | None = None,
        n: int | None = None,
        columns: list[tuple[bytes, EncodedBatch]] | None = None,
    ) -> None: ...
    def message_set_size(self, i: int) -> int: ...
    def sizes(self) -> NDArray[np.int64]: ...
    def __len__(self) -> int: ...

def headers_size(headers: tuple[_Header, ...]) -> int: ...
