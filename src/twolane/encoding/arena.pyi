from collections.abc import Iterable
from typing import final

from twolane.batch import EncodedBatch

@final
class Arena: ...

def joined(batches: Iterable[EncodedBatch], n: int) -> EncodedBatch: ...
