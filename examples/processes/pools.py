"""One function in pools of both kinds, whatever starts their processes: ``python pools.py fork|spawn|forkserver``."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from one_per_process import send

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        print(len(set(pool.map(send, range(50)))))
    with context.Pool(2) as pool:
        print(len(set(pool.map(send, range(50, 100)))))
