"""The kinds of faults; `KINDS` is all of them by name."""

from __future__ import annotations

from faults.injections import administration, calm, client, host, network, processes, proxied
from faults.injections.fault import Fault

MODULES = (calm, processes, network, administration, host, proxied, client)
KINDS: dict[str, type[Fault]] = {
    kind.name: kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Fault) and "name" in vars(kind)
}
