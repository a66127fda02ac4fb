from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class GroupMember:
    deadline: float
    job: Any
    outcome: Any
    sent: bool
    def begin(self) -> bool: ...
    def end_unsent(self, outcome: Any) -> bool: ...
