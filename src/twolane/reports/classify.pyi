from twolane.errors import Verdict

def verdict_number(
    code: int,
    possibly_persisted: bool,
    attempts: int,
    retries: int,
    one_broker: bool,
    offset: int,
    acks_none: bool,
) -> Verdict: ...
