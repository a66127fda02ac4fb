"""examples/fastapi under load: every answer says the truth, while a broker goes and comes back."""

from __future__ import annotations

import asyncio
import importlib.util
from collections import Counter

import httpx
import pytest

from tests.packaging.sources import ROOT
from tests.support.checkers import Sent, assert_kept_its_word
from tests.support.readers import read_all
from twolane import Verdict

REQUESTS, AT_ONCE = 1_000, 50


@pytest.fixture(scope="module")
def service():
    spec = importlib.util.spec_from_file_location("fastapi_service", ROOT / "examples" / "fastapi" / "service.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def load(app, bounce=None):
    """Post all orders, some at once; `bounce` is done in the middle. Returns the answers by order."""
    answers = {}
    orders = iter(range(REQUESTS))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client,
    ):

        async def customer() -> None:
            for number in orders:
                if bounce is not None and number == REQUESTS // 3:
                    await asyncio.to_thread(bounce)
                answers[number] = await client.post(f"/orders/{number}", content=b"order %d" % number)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(customer())
        stats = (await client.get("/stats")).json()
    return answers, stats


def check(answers, stats, log):
    sent = []
    for number, answer in answers.items():
        told = answer.json()
        verdict = next(one for one in Verdict if str(one) == told["verdict"])
        assert answer.status_code == {Verdict.WRITTEN: 200, Verdict.NOT_WRITTEN: 503}.get(verdict, 500)
        # Where it told no partition, the log has it, or it is nowhere.
        value = b"order %d" % number
        place = next((record.partition for record in log if record.value == value), -1)
        sent.append(Sent(told.get("partition", place), value, verdict, told.get("offset")))
    assert len(sent) == REQUESTS
    # Orders are posted side by side: each customer's are in order, but no partition's as a whole.
    counts = Counter(record.value for record in log)
    assert all(n == 1 for n in counts.values()), "an order is there twice"
    for one in sent:
        assert_kept_its_word([one], [record for record in log if record.value == one.value])
    assert stats["written"] == sum(one.verdict is Verdict.WRITTEN for one in sent)


def test_a_thousand_orders(service, embedded_cluster, topic):
    name = topic(embedded_cluster, 3)
    app = service.make_app(name, **{"bootstrap.servers": embedded_cluster.bootstrap_servers})
    answers, stats = asyncio.run(load(app))
    assert stats == {"written": REQUESTS, "not_written": 0, "unknown": 0}
    check(answers, stats, read_all(embedded_cluster.bootstrap_servers, name))


@pytest.mark.slow
def test_a_broker_is_bounced_under_load(service, kafka_cluster, topic):
    name = topic(kafka_cluster, 6)
    app = service.make_app(name, **{"bootstrap.servers": kafka_cluster.bootstrap_servers})

    def bounce() -> None:
        kafka_cluster.kill_broker(2)
        kafka_cluster.start_broker(2)

    answers, stats = asyncio.run(load(app, bounce))
    check(answers, stats, read_all(kafka_cluster.bootstrap_servers, name))
    assert stats["written"] > REQUESTS // 2
