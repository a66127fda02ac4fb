"""Ends of a process and of threads other than that of a plain script: what was accepted is drained at each of them.

Hazard F14 of docs/hazards.md.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.readers import read_values

ROOT = Path(__file__).parents[2]
RECORDS = 1_000
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


def run(tmp_path, code, *arguments, **more):
    """Run code as a script, whose children can import it."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


MULTIPROCESSING = """
    import multiprocessing, sys, threading

    what, method, servers, name = sys.argv[1:]
    producer = None

    def make():
        global producer
        from twolane import ThroughputProducer
        producer = ThroughputProducer(bootstrap_servers=servers, linger_ms=300)

    def send(start, stop):
        if producer is None:
            make()
        for i in range(start, stop):
            producer.send(name, b"%d" % i)

    def leave(start, stop, how):
        if how == "thread":         # still at work when the target has returned
            threading.Thread(target=lambda: (threading.main_thread().join(), send(start, stop))).start()
        else:
            send(start, stop)
        if how == "exit":
            sys.exit(0)
        if how == "raise":
            raise LookupError("on purpose")

    if what == "module" and __name__ != "__main__":
        make()                      # where forkserver and spawn import the script

    if __name__ == "__main__":
        import twolane              # also what a forked child inherits
        if what == "dead":
            make()                  # a producer of the parent's: dead in the child, which makes its own
            parents, producer = producer, None
        context = multiprocessing.get_context(method)
        if what == "pool":
            pool = context.Pool(2, initializer=make)
            pool.starmap(send, [(i, i + 100) for i in range(0, 1000, 100)])
            pool.close()
            pool.join()
        elif what == "executor":
            from concurrent.futures import ProcessPoolExecutor
            with ProcessPoolExecutor(2, mp_context=context, initializer=make) as pool:
                list(pool.map(send, range(0, 1000, 100), range(100, 1100, 100)))
        else:
            children = [context.Process(target=leave, args=(i, i + 500, what)) for i in (0, 500)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            print(*(child.exitcode for child in children))
        if what == "dead":
            parents.close()
"""

# Every way of ending with the quickest start, and each start with the ways that differ there.
CASES = [(what, "fork") for what in ("return", "exit", "raise", "thread", "dead", "pool", "executor")]
CASES += [("return", "forkserver"), ("module", "forkserver"), ("pool", "forkserver"), ("module", "spawn")]


@pytest.mark.parametrize(("what", "method"), CASES)
def test_a_child_of_multiprocessing_drains_what_it_leaves_open(embedded_cluster, topic, tmp_path, what, method):
    name = topic(embedded_cluster)
    done = run(tmp_path, MULTIPROCESSING, what, method, embedded_cluster.bootstrap_servers, name)
    assert done.returncode == 0, done
    sent = read_values(embedded_cluster.bootstrap_servers, name)
    assert sorted(map(int, sent)) == list(range(RECORDS)), done.stderr
    if what not in ("pool", "executor"):
        assert set(done.stdout.split()) == {"1" if what == "raise" else "0"}


def test_multiprocessing_is_not_imported_for_it():
    code = """
        import sys
        from twolane import ThroughputProducer
        with ThroughputProducer(bootstrap_servers="127.0.0.1:9"):
            print("multiprocessing.util" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["False"], done


OTHER_ENDS = """
    import sys, threading

    what, servers, name = sys.argv[1:]
    from twolane import ThroughputProducer
    producer = ThroughputProducer(bootstrap_servers=servers, linger_ms=300)

    def send():
        for i in range(1000):
            producer.send(name, b"%d" % i)
        if what == "thread exits":
            sys.exit(3)

    if what == "thread exits" or what == "thread outlives main":
        threading.Thread(target=send).start()
    else:
        send()
    if what == "exit":
        sys.exit(0)
    if what == "raise":
        raise LookupError
"""


@pytest.mark.parametrize("what", ["exit", "raise", "thread exits", "thread outlives main"])
def test_a_script_drains_however_it_ends(embedded_cluster, topic, tmp_path, what):
    name = topic(embedded_cluster)
    done = run(tmp_path, OTHER_ENDS, what, embedded_cluster.bootstrap_servers, name)
    assert done.returncode == (1 if what == "raise" else 0), done
    assert len(read_values(embedded_cluster.bootstrap_servers, name)) == RECORDS


# ---- SIGTERM, with the handler that the docs show ------------------------------------------------------------------

TERMINATED = """
    import multiprocessing, os, signal, sys, time

    what, servers, name, handler = sys.argv[1:]
    producer = None

    def prepare():
        global producer
        from twolane import ThroughputProducer
        producer = ThroughputProducer(bootstrap_servers=servers, linger_ms=300)
        exec(handler, globals())

    def send(start, stop):
        for i in range(start, stop):
            producer.send(name, b"%d" % i)

    def child(sent):
        prepare()
        send(0, 1000)
        sent.send(1)
        time.sleep(60)

    if __name__ == "__main__":
        if what == "script":
            prepare()
            send(0, 1000)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        elif what == "process":
            heard, sent = multiprocessing.Pipe(False)
            process = multiprocessing.Process(target=child, args=(sent,))
            process.start()
            heard.recv()
            process.terminate()
            process.join()
            sys.exit(process.exitcode)
        elif what == "pool":
            with multiprocessing.Pool(2, initializer=prepare) as pool:
                pool.starmap(send, [(i, i + 100) for i in range(0, 1000, 100)])
            pool.join()
            sys.exit(143)
"""


@pytest.mark.parametrize("what", ["script", "process", "pool"])
def test_the_handler_of_the_docs_drains_what_sigterm_ends(embedded_cluster, topic, tmp_path, what):
    [handler] = re.findall(r"```python notest\n(.*?)```", (ROOT / "docs/throughput-lane.md").read_text(), re.S)
    assert "SIGTERM" in handler
    name = topic(embedded_cluster)
    done = run(tmp_path, TERMINATED, what, embedded_cluster.bootstrap_servers, name, handler)
    assert done.returncode == 128 + signal.SIGTERM, done
    assert sorted(map(int, read_values(embedded_cluster.bootstrap_servers, name))) == list(range(RECORDS))
