from collections import deque
from typing import final

# (kind, level, facility, text)
Note = tuple[int, int, str, str]

@final
class Notes:
    kept: deque[Note]
    def __init__(self) -> None: ...
    def take_all(self) -> list[Note]: ...
