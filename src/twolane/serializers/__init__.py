"""What turns values into record bytes (`Bytes`, `Struct`, `Json`, `Avro`, `Protobuf`), and what the lanes rely on.

A serializer is bound to all the values of one call before anything is sent. Binding validates everything, so that a bad
value in the last row stops the call, not a half-sent batch; what it gives, a Source, hands out slices of bytes.
"""

from twolane.serializers.avro import Avro
from twolane.serializers.json import Json
from twolane.serializers.protobuf import Protobuf
from twolane.serializers.protocol import Serializer, Source
from twolane.serializers.raw import Bytes
from twolane.serializers.struct import Struct

__all__ = ["Avro", "Bytes", "Json", "Protobuf", "Serializer", "Source", "Struct"]
