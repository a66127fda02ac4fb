from typing_extensions import disjoint_base

@disjoint_base
class Writer:
    @property
    def label(self) -> str: ...
