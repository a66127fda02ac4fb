from typing import overload

import numpy as np
from numpy.typing import NDArray

from twolane.encoding.columns.table import Column, Table

@overload
def select(values: Table, rows: NDArray[np.int64]) -> Table: ...
@overload
def select(values: Column, rows: NDArray[np.int64]) -> Column: ...
def null_rows(column: Column) -> NDArray[np.bool_] | None: ...
