from collections.abc import Mapping
from typing import Any

def entries_of(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]: ...

# For Python tests only; the rest of this module is called from C.
class ColumnBytes(bytes): ...
