from typing import final

@final
class FlushGenerations:
    number: int
    def advance(self) -> bool: ...
    def incomplete(self, number: int) -> int: ...
