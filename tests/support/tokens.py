"""JSON Web Tokens without a signature, as Kafka takes them on a listener for development (RFC 7519, section 6)."""

from __future__ import annotations

import base64
import json
import time


def _part(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def unsecured(subject: str, seconds: float) -> str:
    now = time.time()
    return f"{_part({'alg': 'none'})}.{_part({'sub': subject, 'iat': now, 'exp': now + seconds})}."
