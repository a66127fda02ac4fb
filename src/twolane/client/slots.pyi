from typing import final

@final
class Rounds:
    serial: int
    def advance(self) -> bool: ...
    def left(self, serial: int) -> int: ...

@final
class Slots:
    rounds: Rounds
    def __init__(self) -> None: ...
