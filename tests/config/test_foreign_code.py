"""No setting has librdkafka load a library or run a command: held over librdkafka's own list of settings."""

from __future__ import annotations

import re

import pytest

from tests.support.typed_settings import properties
from twolane import ConfigError, SafeProducer, ThroughputProducer
from twolane.config.policy import SAFE, THROUGHPUT, connection, settings_for

# What the description of such a setting says. Whoever updates librdkafka decides about a name that is new here.
SUSPICIOUS = re.compile(r"plugin|dlopen|shared object|engine|providers|command|\bcmd\b|kinit|\bload", re.IGNORECASE)
FOREIGN = {
    "plugin.library.paths": "plugin.so",
    "sasl.kerberos.kinit.cmd": "touch here",
    "ssl.engine.id": "dynamic",
    "ssl.engine.location": "engine.so",
    "ssl.providers": "default",
    "ssl_engine_callback_data": "1",
}
HARMLESS = {
    "sasl.kerberos.keytab",  # a file's path, for that command
    "ssl.ca.certificate.stores",  # certificates, on Windows
}


def test_whatever_loads_or_runs_something_is_known_here():
    found = {name for name, (_, _, text) in properties().items() if SUSPICIOUS.search(f"{name} {text}")}
    assert found == FOREIGN.keys() | HARMLESS


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_it_is_refused(lane, name):
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")) as caught:
        lane({"bootstrap.servers": "127.0.0.1:1", name: FOREIGN[name]}, allow_insecure=True)
    assert caught.value.key == name


@pytest.mark.parametrize("lane", [SAFE, THROUGHPUT], ids=["safe", "throughput"])
@pytest.mark.parametrize("mechanism", [{}, {"sasl.mechanism": "GSSAPI"}, {"sasl.mechanisms": " gssapi "}])
def test_no_shell_is_given_a_principal(lane, mechanism):
    """By default librdkafka hands ``kinit ... -k <principal>`` to a shell, where it was built with Kerberos."""
    settings = {"bootstrap.servers": "a:1", "security.protocol": "sasl_ssl", "sasl.kerberos.principal": "$(touch here)"}
    native = settings_for(lane, {**settings, **mechanism}, {}).native
    assert native["sasl.kerberos.kinit.cmd"] == connection(native)["sasl.kerberos.kinit.cmd"] == ""
    others = {**settings, "sasl.mechanism": "SCRAM-SHA-256"}
    assert "sasl.kerberos.kinit.cmd" not in settings_for(lane, others, {}).native
