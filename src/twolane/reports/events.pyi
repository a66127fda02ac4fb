from collections import deque
from typing import final

# (kind, level, facility, text)
ClientEvent = tuple[int, int, str, str]

@final
class ClientEvents:
    pending: deque[ClientEvent]
    def __init__(self) -> None: ...
    def take_all(self) -> list[ClientEvent]: ...
