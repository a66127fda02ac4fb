from typing import final

@final
class OpBlock: ...
