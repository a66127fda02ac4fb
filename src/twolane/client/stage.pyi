from typing import final

from twolane.client.delivery import Delivery
from twolane.client.handle import Handle

@final
class Stage:
    def __init__(self, handle: Handle, delivery: Delivery) -> None: ...
    def __len__(self) -> int: ...
    def push(self) -> int: ...
