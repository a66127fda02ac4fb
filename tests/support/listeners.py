"""One real broker with a listener for each login, certificates of its own, and users with some of the rights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from bench.tls import write_key_store
from twolane.testing import KafkaCluster
from twolane.testing.broker import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOPIC, OTHER = "t", "other"
USER, PASSWORD = "alice", "first-word"
# Listener -> the names its certificate is for. Clients come to HOST.
NAMES = {"TLS": HOST, "MUTUAL": HOST, "EXPIRED": HOST, "ELSEWHERE": "elsewhere.example.org", "LOGIN": HOST}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_MODULE = "org.apache.kafka.common.security"
_TOPIC, _TRANSACTION = ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID
_WRITE, _DESCRIBE, _CONFIGS = AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
# What each user may do; nobody may do anything else. WRITE is DESCRIBE too and, on any topic, to write idempotently.
RIGHTS: dict[str, list[tuple[ResourceType, str, AclOperation]]] = {
    USER: [(_TOPIC, TOPIC, _WRITE), (_TOPIC, TOPIC, _CONFIGS), (_TRANSACTION, "mine", _WRITE)],
    "client": [(_TOPIC, TOPIC, _WRITE)],  # by its certificate
    "may-not-write": [(_TOPIC, TOPIC, _DESCRIBE), (_TOPIC, OTHER, _WRITE)],
    "may-not-describe": [(_TOPIC, OTHER, _WRITE)],
    "may-not-write-at-all": [(_TOPIC, TOPIC, _DESCRIBE), (_TOPIC, OTHER, _DESCRIBE)],
    "may-not-see-settings": [(_TOPIC, TOPIC, _WRITE)],
    "may-not-write-in-transactions": [(_TOPIC, TOPIC, _DESCRIBE), (_TRANSACTION, "mine", _WRITE)],
    "may-not-use-the-id": [(_TOPIC, TOPIC, _WRITE)],
}


@dataclass(frozen=True)
class SecuredBroker:
    """A broker, and what its clients need.

    Attributes
    ----------
    kafka : KafkaCluster
        Its own address takes everybody: for readers.
    folder : Path
        ``ca.pem``, the authority that signed the certificates; ``client.pem`` and ``client.key``, of a client; and the
        same of another authority, ``another-ca.pem`` and so on.
    """

    kafka: KafkaCluster
    folder: Path

    def client(self, of: str = "") -> dict[str, str]:
        """Return the settings of a client's certificate, by the broker's authority or by `of`."""
        certificate, key = self.folder / f"{of}client.pem", self.folder / f"{of}client.key"
        return {"ssl_certificate_location": str(certificate), "ssl_key_location": str(key)}

    def trust(self, of: str = "") -> dict[str, str]:
        """Return the setting that trusts the broker's authority, or `of`."""
        return {"ssl_ca_location": str(self.folder / f"{of}ca.pem")}

    def tls(self, listener: str = "TLS", **more: Any) -> dict[str, Any]:
        """Return the settings for a listener that takes everybody's TLS."""
        servers = self.kafka.address_of(listener)
        return {"bootstrap_servers": servers, "security_protocol": "SSL", **self.trust()} | more

    def login(self, mechanism: str, **more: Any) -> dict[str, Any]:
        """Return the settings for a login as `USER`, tokens without a signature for OAUTHBEARER."""
        settings = self.tls("LOGIN", security_protocol="SASL_SSL", sasl_mechanism=mechanism)
        if mechanism == "OAUTHBEARER":
            of = {"enable_sasl_oauthbearer_unsecure_jwt": True, "sasl_oauthbearer_config": f"principal={USER}"}
        else:
            of = {"sasl_username": USER, "sasl_password": PASSWORD}
        return {**settings, **of, **more}


def logins(broker: SecuredBroker) -> dict[str, dict[str, Any]]:
    """Return the settings of every way to log in."""
    return {"TLS": broker.tls(), "mutual TLS": broker.tls("MUTUAL", **broker.client())} | {
        one: broker.login(one) for one in MECHANISMS
    }


def start(folder: Path) -> Iterator[SecuredBroker]:
    """Start the broker, make its topics and users, and end it when the generator does."""
    authorities = {"": trustme.CA(), "another-": trustme.CA()}
    for name, authority in authorities.items():
        authority.cert_pem.write_to_path(str(folder / f"{name}ca.pem"))
        client = authority.issue_cert("client.example.org")
        client.cert_chain_pems[0].write_to_path(str(folder / f"{name}client.pem"))
        client.private_key_pem.write_to_path(str(folder / f"{name}client.key"))
    with KafkaCluster(1, config=_config(folder, authorities[""]), listeners=tuple(NAMES)) as kafka:
        for topic in (TOPIC, OTHER):
            kafka.create_topic(topic, replication=1)
        _make_users(kafka)
        yield SecuredBroker(kafka, folder)


def _config(folder: Path, authority: trustme.CA) -> dict[str, object]:
    protocols = {"CLIENT": "PLAINTEXT", "PROXIED": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    protocols |= dict.fromkeys(NAMES, "SSL") | {"LOGIN": "SASL_SSL"}
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in RIGHTS)
    settings: dict[str, object] = {
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Who comes by TLS alone, and the broker to itself; what users may do is in RIGHTS.
        "super.users": "User:ANONYMOUS",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*$/client/",
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.login.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "listener.name.login.plain.sasl.jaas.config": f"{_MODULE}.plain.PlainLoginModule required {users};",
        "listener.name.login.oauthbearer.sasl.jaas.config": (f"{_MODULE}.oauthbearer.OAuthBearerLoginModule required;"),
    }
    for mechanism in MECHANISMS[1:3]:
        module = f"{_MODULE}.scram.ScramLoginModule required;"
        settings[f"listener.name.login.{mechanism.lower()}.sasl.jaas.config"] = module
    for listener, name in NAMES.items():
        ended = datetime.now(UTC) - timedelta(days=1) if listener == "EXPIRED" else None
        issued = authority.issue_cert(name, not_after=ended)
        store = folder / f"{listener}.pem"
        write_key_store(store, issued)
        prefix = f"listener.name.{listener.lower()}.ssl"
        settings |= {f"{prefix}.keystore.type": "PEM", f"{prefix}.keystore.location": store}
        settings |= {f"{prefix}.truststore.type": "PEM", f"{prefix}.truststore.location": folder / "ca.pem"}
    return settings


def _make_users(kafka: KafkaCluster) -> None:
    admin = kafka.admin
    # Kafka takes one credential of a user in a request.
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        credential = UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
        admin.alter_user_scram_credentials([credential])[USER].result(30)
    rights = [
        AclBinding(resource, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        for user, allowed in RIGHTS.items()
        for resource, name, operation in allowed
    ]
    for made in admin.create_acls(rights).values():
        made.result(30)
