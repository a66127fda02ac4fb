"""Spark in local mode: a cached DataFrame into twolane's data source, or into Spark's own Kafka sink."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
from pyspark.sql import SparkSession
from pyspark.sql import functions as sql
from pyspark.sql.avro.functions import to_avro

import twolane.spark
from bench.sinks import data
from twolane.testing.java import SCALA_VERSION, cache_folder, fetched_jars

if TYPE_CHECKING:
    from bench.sinks.cases import Case

# The newest at Maven Central; Spark 4.3 has none of its own there.
CONNECTOR_VERSION = "4.2.0"
_ARTIFACTS = (f"spark-sql-kafka-0-10_{SCALA_VERSION}", f"spark-avro_{SCALA_VERSION}")
_DEPENDENCY = """\
    <dependency>
      <groupId>org.apache.spark</groupId>
      <artifactId>{artifact}</artifactId>
      <version>{version}</version>
    </dependency>
"""
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>twolane.bench</groupId>
  <artifactId>spark-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}  </dependencies>
</project>
"""


def connector() -> Path:
    """Return the folder of Spark's own Kafka sink and what it needs; fetched once."""
    parts = "".join(_DEPENDENCY.format(artifact=name, version=CONNECTOR_VERSION) for name in _ARTIFACTS)
    pom = POM.format(dependencies=parts)
    digest = hashlib.sha256(pom.encode()).hexdigest()[:8]
    return fetched_jars(cache_folder() / f"spark-kafka-{digest}", pom, "Spark's own sink")


def _class_path() -> str:
    """Return the jars that Spark does not have in one version or another."""
    jars = Path(pyspark.__file__).parent / "jars"
    there = {_artifact(path) for path in jars.glob("*.jar")}
    return ":".join(str(path) for path in sorted(connector().glob("*.jar")) if _artifact(path) not in there)


def _artifact(path: Path) -> str:
    """Return a jar's name without its version."""
    return re.sub(r"-\d[\w.-]*$", "", path.stem)


class Spark:
    """See `bench.sinks.session.Engine`."""

    def __init__(self, workers: int, folder: Path) -> None:
        self.versions = {"spark": pyspark.__version__, "spark-sql-kafka": CONNECTOR_VERSION}
        # Its workers are to find this interpreter.
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        self._session = (
            SparkSession.builder.master(f"local[{workers}]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.extraClassPath", _class_path())
            .config("spark.log.level", "ERROR")
            .getOrCreate()
        )
        twolane.spark.register(self._session)
        files = sorted(map(str, folder.glob("*.parquet")))
        self._rows = self._session.read.parquet(*files).repartition(len(files)).cache()
        self._rows.count()

    def write(self, case: Case, bootstrap: str, topic: str) -> float | None:
        """See `bench.sinks.session.Engine`."""
        if case.lane:
            writer = self._rows.write.format("twolane").option("key", data.KEY)
            writer = writer.option("lane", case.lane).option("serializer", case.serializer)
        elif case.serializer:
            value = sql.struct("*")
            value = sql.to_json(value) if case.serializer == "json" else to_avro(value)
            writer = self._rows.select(sql.col(data.KEY).alias("key"), value.alias("value")).write.format("kafka")
        else:
            self._rows.write.format("noop").mode("append").save()
            return None
        writer.mode("append").option("kafka.bootstrap.servers", bootstrap).option("topic", topic).save()
        return None

    def close(self) -> None:
        """See `bench.sinks.session.Engine`."""
        self._session.stop()


def start(workers: int, folder: Path) -> Spark:
    """Start Spark."""
    return Spark(workers, folder)
