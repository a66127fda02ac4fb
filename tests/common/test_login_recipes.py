"""The recipes of docs/security.md, as they stand there, against a token service that is none.

The cloud's packages are not installed: modules of the same shape take their place, and fetch from the same service.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import types
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import NamedTuple

import pytest

from tests.packaging.sources import ROOT
from tests.support.tokens import unsecured
from twolane.common.tokens import Token

RECIPES = re.findall(r"^### (.+?)\n(?:.*\n)*?```py\n((?:.*\n)*?)```", (ROOT / "docs/security.md").read_text(), re.M)


@pytest.fixture
def service():
    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps({"access_token": unsecured("me", 600), "expires_in": 600}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            self.server.answered.append(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Service)
    server.answered = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def clouds(fetch):
    """The three packages' surface, as far as the recipes use it."""

    class AccessToken(NamedTuple):
        token: str
        expires_on: int

    class AzureCredential:
        def get_token(self, scope):
            assert scope.endswith(".servicebus.windows.net/.default")
            told = fetch()
            return AccessToken(told["access_token"], int(datetime.now(UTC).timestamp() + told["expires_in"]))

    class GoogleCredentials:
        service_account_email = "me@project.iam.gserviceaccount.com"
        token = expiry = None

        def refresh(self, request):
            told = fetch()
            self.token = told["access_token"]
            # Google's is naive and in UTC.
            self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=told["expires_in"])

    class Signer:
        @staticmethod
        def generate_auth_token(region):
            told = fetch()
            return told["access_token"], int((datetime.now(UTC).timestamp() + told["expires_in"]) * 1000)

    return {
        "aws_msk_iam_sasl_signer": {"MSKAuthTokenProvider": Signer},
        "azure": {},
        "azure.identity": {"DefaultAzureCredential": AzureCredential},
        "google": {},
        "google.auth": {"default": lambda scopes: (GoogleCredentials(), "project")},
        "google.auth.transport": {},
        "google.auth.transport.requests": {"Request": object},
    }


def test_there_is_one_for_each_cloud():
    assert len(RECIPES) == 4


@pytest.mark.parametrize(("title", "code"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_brings_a_token_that_librdkafka_takes(title, code, service, monkeypatch, caplog):
    url = f"http://127.0.0.1:{service.server_port}/token"

    def fetch():
        with urllib.request.urlopen(url, b"grant_type=client_credentials", timeout=5) as answer:
            return json.load(answer)

    for name, content in clouds(fetch).items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        above, _, last = name.rpartition(".")
        if above:
            setattr(sys.modules[above], last, module)
    names = {"TOKEN_URL": url}
    # No traffic but loopback's.
    exec(compile(re.sub(r'bootstrap_servers="[^"]*"', 'bootstrap_servers="127.0.0.1:1"', code), title, "exec"), names)
    with names["producer"] as producer:
        token = Token(names["oauth_cb"](""))
        assert 590 < token.expires - datetime.now(UTC).timestamp() <= 601
        refused = producer._handle.set_token(token.text.encode(), int(token.expires * 1000), b"", [])
        assert refused is None
    assert service.answered
    assert "Failed to acquire" not in caplog.text
