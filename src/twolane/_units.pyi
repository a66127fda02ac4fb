UNITS: tuple[tuple[str, int, str | None, str | None], ...]
UNIT_NS: dict[str, int]
ARROW_NS: dict[bytes, int]
AVRO_NS: dict[str, int]
FINER: dict[str, int]
S_NS: int
MS_NS: int
DAY_NS: int
