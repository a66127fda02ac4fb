"""Answers of a Schema Registry with faults, as confluent-kafka's client reads them: ids and schemas, or our error."""

from __future__ import annotations

import base64
import json
from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient

from tests.fuzz.draw import Draw
from tests.fuzz.targets.avro_schemas import spoil
from tests.support.proto_files import proto_file
from twolane import Avro, Json, Protobuf, SerializationError
from twolane.serializers.schema_registry import Registry

FILE = proto_file("p.proto", {"P": {"x": "int64"}})
SCHEMAS = {
    "AVRO": '{"type":"record","name":"P","fields":[{"name":"x","type":"long"}]}',
    "JSON": '{"type":"object"}',
    "PROTOBUF": base64.b64encode(FILE.SerializeToString()).decode(),
}
KINDS = {"AVRO": Avro, "JSON": Json, "PROTOBUF": Protobuf}
WRONG: list[Any] = [
    None, True, -1, 0, 2**31 - 1, 2**31, 2**63, 1.5, "", "7", [], {}, [[]], "other-value", ":.ctx:t-value", "AVRO",
    "\ud800",
    "AVR", "{", "x" * 10_000, [None], [{"name": "a"}], {"x": 1}, "00000000-0000-0000-0000-000000000007", "not-a-guid",
]  # fmt: skip


class Answers:
    """In place of the client's HTTP: each question has the next answer."""

    def __init__(self) -> None:
        self.draw, self.base = Draw(b""), {}

    def __call__(self, url: str, method: str, body: Any = None, query: Any = None) -> Any:
        draw = self.draw
        made: Any = json.loads(json.dumps(self.base))
        for _ in range(draw.below(4)):
            if isinstance(made, dict) and draw.below(2):
                made[draw.choice(["id", "subject", "version", "schema", "schemaType", "references", "guid"])] = (
                    draw.choice(WRONG)
                )
            else:
                made = spoil(draw, made)
        return made


ANSWERS = Answers()
CLIENT = SchemaRegistryClient({"url": "http://registry.invalid"})
CLIENT._rest_client.send_request = ANSWERS  # what follows its HTTP is the client's own


def run(data: bytes) -> None:
    draw = Draw(data)
    kind = draw.choice(list(SCHEMAS))
    references = [{"name": "R", "subject": "r", "version": draw.below(3)}] if draw.one_in(4) else []
    ANSWERS.draw = draw
    ANSWERS.base = {
        "id": 7, "subject": "t-value", "version": 1, "schema": SCHEMAS[kind], "schemaType": kind,
        "references": references, "guid": "00000000-0000-0000-0000-000000000007",
    }  # fmt: skip
    CLIENT.clear_caches()
    latest = bool(draw.below(2))
    registry = Registry(
        CLIENT, auto_register=not latest, use_latest=latest, schema_id_in=draw.choice(["prefix", "header"])
    )
    given = None if latest or draw.below(2) else SCHEMAS[kind]
    try:
        serializer = KINDS[kind](given, registry).warm_up("t")
        record = serializer.encode({"x": 1})
    except SerializationError:
        return
    assert 0 <= serializer.schema_id < 2**31
    if registry.schema_id_in == "prefix":
        assert record[:5] == b"\0" + serializer.schema_id.to_bytes(4, "big")
    else:
        assert [name for name, _ in serializer.schema_headers] == ["__value_schema_id"]
        assert len(serializer.schema_headers[0][1]) >= 17
