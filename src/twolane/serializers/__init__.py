"""What turns values into record bytes: `Bytes`, `Struct`, `Json` and `Avro`, and the interface the lanes rely on.

A serializer is bound to all the values of one call before anything is sent. Binding validates everything, so that a bad
value in the last row stops the call, not a half-sent batch; what it gives, a Source, hands out slices of bytes.
"""

from twolane.serializers.avro_records import Avro
from twolane.serializers.byte_strings import Bytes
from twolane.serializers.fixed_layout import Struct
from twolane.serializers.interface import Serializer, Source
from twolane.serializers.json_objects import Json

__all__ = ["Avro", "Bytes", "Json", "Serializer", "Source", "Struct"]
