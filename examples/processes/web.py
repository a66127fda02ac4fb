"""A WSGI application: ``gunicorn --workers 2 --preload web:application``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from one_per_process import safe, throughput

from twolane import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """POST /orders: answered when the record is in the log. POST /clicks: counted, and written soon."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ["PATH_INFO"] == "/clicks":
        throughput().send("clicks", body)  # drained when the worker exits
        start_response("202 Accepted", [])
        return []
    try:
        metadata = safe().send("orders", body, timeout=10)
    except DeliveryError as error:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [error.verdict.name.encode()]
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [f"{metadata.partition}/{metadata.offset}".encode()]
