"""A service that takes orders and answers with what became of each in Kafka.

    KAFKA_BOOTSTRAP_SERVERS=localhost:9092 uvicorn --app-dir examples/fastapi service:app --workers 2

200: the order is in the log, at this offset. 503: it is not, and never will be: send it again. 500: it may be.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from twolane import AsyncSafeProducer, DeliveryError, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def make_app(topic: str = "orders", **settings: Any) -> FastAPI:
    """Make the application; `settings` are the producer's."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncSafeProducer(settings) as producer:
            app.state.producer = producer
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders/{number}")
    async def order(number: int, request: Request) -> JSONResponse:
        try:
            written = await app.state.producer.send(topic, await request.body(), key=str(number), timeout=20)
        except DeliveryError as error:
            status = 503 if error.verdict is Verdict.NOT_WRITTEN else 500
            return JSONResponse({"verdict": str(error.verdict), "why": str(error)}, status)
        return JSONResponse({"verdict": str(Verdict.WRITTEN), "partition": written.partition, "offset": written.offset})

    @app.get("/stats")
    async def stats() -> dict[str, int]:
        figures = app.state.producer.stats()
        return {"written": figures.written, "not_written": figures.not_written, "unknown": figures.unknown}

    return app


app = make_app()
