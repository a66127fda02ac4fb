from typing import final

@final
class FlushGenerations:
    serial: int
    def advance(self) -> bool: ...
    def left(self, serial: int) -> int: ...

@final
class TrackerTable:
    rounds: FlushGenerations
    def __init__(self) -> None: ...
