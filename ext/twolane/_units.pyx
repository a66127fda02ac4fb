"""The units of time, in one table, and the constants of ``_units.pxd`` for Python."""
# numpy's name, nanoseconds, the letter in Arrow's formats, the ending of Avro's logical types. Whole nanoseconds, the coarsest first.
UNITS = (
    ("W", 7 * DAY_NS, None, None),
    ("D", DAY_NS, None, None),
    ("h", 3600 * S_NS, None, None),
    ("m", 60 * S_NS, None, None),
    ("s", S_NS, "s", None),
    ("ms", MS_NS, "m", "millis"),
    ("us", US_NS, "u", "micros"),
    ("ns", 1, "n", "nanos"),
)
UNIT_NS = {name: ns for name, ns, _, _ in UNITS}
ARROW_NS = {letter.encode(): ns for _, ns, letter, _ in UNITS if letter is not None}
AVRO_NS = {ending: ns for _, ns, _, ending in UNITS if ending is not None}
# numpy's units of less than a nanosecond: how many make one.
FINER = {"ps": 10**3, "fs": 10**6, "as": 10**9}
# C's constants have no Python names of their own.
globals().update(S_NS=S_NS, MS_NS=MS_NS, DAY_NS=DAY_NS)
