"""A listener for TLS on brokers that are started for a run, with a certificate of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from twolane.testing.broker import HOST


def write_key_store(path: Path, issued: trustme.LeafCert) -> None:
    """Write a certificate and its key as one PEM file, as Java reads it: keys as PKCS#8 only."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(text + b"".join(one.bytes() for one in issued.cert_chain_pems))


@dataclass(frozen=True)
class TlsListener:
    """What a `KafkaCluster` needs for it.

    Attributes
    ----------
    ca : str
        Path of the authority's certificate, for clients.
    arguments : dict
        Of `KafkaCluster`.
    """

    ca: str
    arguments: dict[str, Any]

    NAME: ClassVar[str] = "ENCRYPTED"

    @classmethod
    def made_in(cls, folder: Path) -> TlsListener:
        """Make a key and a certificate for this machine's own address."""
        authority, ca, store = trustme.CA(), folder / "ca.pem", folder / "store.pem"
        authority.cert_pem.write_to_path(str(ca))
        write_key_store(store, authority.issue_cert(HOST))
        own = f"listener.name.{cls.NAME.lower()}.ssl.keystore"
        clear = ",".join(f"{name}:PLAINTEXT" for name in ("CLIENT", "PROXIED", "CONTROLLER"))
        config = {
            "listener.security.protocol.map": f"{clear},{cls.NAME}:SSL",
            f"{own}.type": "PEM",
            f"{own}.location": str(store),
        }
        return cls(str(ca), {"config": config, "listeners": [cls.NAME]})
