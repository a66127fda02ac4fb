from twolane.delivery import BatchDelivery as BatchDelivery
from twolane.encoding.timestamps import pack_timestamps as pack_timestamps
from twolane.errors import BatchError as BatchError
from twolane.errors import ClosedProducerError as ClosedProducerError
from twolane.errors import ConfigError as ConfigError
from twolane.errors import DeliveryError as DeliveryError
from twolane.errors import FatalProducerError as FatalProducerError
from twolane.errors import ForkedProducerError as ForkedProducerError
from twolane.errors import LibraryError as LibraryError
from twolane.errors import QueueFullError as QueueFullError
from twolane.errors import SerializationError as SerializationError
from twolane.errors import TimestampError as TimestampError
from twolane.errors import TransactionError as TransactionError
from twolane.errors import TwolaneError as TwolaneError
from twolane.errors import Verdict as Verdict
from twolane.installation import about as about
from twolane.records import BatchMetadata as BatchMetadata
from twolane.records import RecordMetadata as RecordMetadata
from twolane.records import TimestampType as TimestampType
from twolane.safe import SafeProducer as SafeProducer
from twolane.serializers import Avro as Avro
from twolane.serializers import Bytes as Bytes
from twolane.serializers import Json as Json
from twolane.serializers import Struct as Struct
from twolane.stats import Stats as Stats
from twolane.throughput import ThroughputProducer as ThroughputProducer

__all__: list[str]
__version__: str
