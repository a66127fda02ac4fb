from collections.abc import Callable, Iterable
from typing import Any

from twolane.batch import EncodedBatch

def dump_rows(rows: Iterable[Any], dump: Callable[[Any], bytes], limit: int | None = None) -> EncodedBatch: ...
