COMPILER: str
CYTHON: str
FLAGS: tuple[str, ...]
