from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from twolane.encoding.avro.rows import RowEncoder
from twolane.encoding.avro.schema import AvroType
from twolane.encoding.columns.table import Column, Table

def suspects(
    schema: AvroType, rows: RowEncoder, values: Table
) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None: ...
def integers(column: Column, rows: Iterable[int]) -> list[int]: ...
