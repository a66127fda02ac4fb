import asyncio
from typing import Any, TypeVar

from typing_extensions import disjoint_base

from twolane.common.group_member import GroupMember

_C = TypeVar("_C", bound=LineCall)

@disjoint_base
class LineCall(GroupMember):
    what: str
    future: asyncio.Future[None] | None
    def __init__(
        self, what: str, deadline: float, job: Any, loop: asyncio.AbstractEventLoop, is_record: bool = False
    ) -> None: ...
    @property
    def is_record(self) -> bool: ...

def take_group(waiting: list[_C], most: int, within: float, now: float) -> tuple[list[_C], list[_C]]: ...
def tell(group: list[_C]) -> list[_C]: ...
