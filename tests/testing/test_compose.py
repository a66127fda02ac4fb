"""docker-compose.yml: three brokers where README says they are, and settings that Kafka accepts.

No test machine runs Docker, so the last test gives the file's own settings to plain Java processes.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from twolane.testing import ExternalCluster
from twolane.testing.broker import Ports, random_id
from twolane.testing.java import KAFKA_VERSION, java_command, kafka_jars
from twolane.testing.wire import ask_metadata

yaml = pytest.importorskip("yaml", reason="reading docker-compose.yml needs pyyaml")

FILE = Path(__file__).parents[2] / "docker-compose.yml"
PORTS = {"kafka-1": 9092, "kafka-2": 9093, "kafka-3": 9094}


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(FILE.read_text())["services"]


def listeners(text):
    return dict(re.findall(r"(\w+)://([^,]*)", text))


def test_three_brokers_of_the_tested_version(services):
    assert sorted(services) == sorted(PORTS)
    assert {service["image"] for service in services.values()} == {f"apache/kafka:{KAFKA_VERSION}"}
    assert sorted(service["environment"]["KAFKA_NODE_ID"] for service in services.values()) == [1, 2, 3]
    assert len({service["environment"]["CLUSTER_ID"] for service in services.values()}) == 1


def test_each_is_published_where_it_says_it_is(services):
    for name, port in PORTS.items():
        service, environment = services[name], services[name]["environment"]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert listeners(environment["KAFKA_LISTENERS"])["HOST"] == f":{port}"
        advertised = listeners(environment["KAFKA_ADVERTISED_LISTENERS"])
        assert advertised == {"HOST": f"127.0.0.1:{port}", "INTERNAL": f"{name}:19092"}
        # Inside the network a broker goes by its service's name: the quorum has to use the same.
        assert service["hostname"] == name
        voter = f"{environment['KAFKA_NODE_ID']}@{name}:29092"
        assert voter in environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")
        assert listeners(environment["KAFKA_LISTENERS"])["CONTROLLER"] == ":29092"


def test_acknowledged_means_replicated(services):
    for service in services.values():
        environment = service["environment"]
        assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == 2
        assert environment["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"
        assert environment["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == 2
        # Else the demo's flights of 2013 would be deleted within minutes.
        assert environment["KAFKA_LOG_RETENTION_MS"] == -1


def test_data_is_kept_in_the_volume(services):
    for name, service in services.items():
        assert service["volumes"] == [f"{name}:{service['environment']['KAFKA_LOG_DIRS']}"]


def test_health_check_looks_at_the_port_of_the_clients(services):
    for name, port in PORTS.items():
        assert services[name]["environment"]["HEALTH_PORT"] == port
        shell, command = services[name]["healthcheck"]["test"]
        assert shell == "CMD-SHELL"
        # Compose turns $$ into $; the command itself is run here, on an open port and on a closed one.
        command = command.replace("$$", "$")

        def healthy(number, command=command):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            environment = {"HEALTH_PORT": str(number), "PATH": os.environ["PATH"]}
            return subprocess.run(command, shell=True, env=environment, check=False, **quiet).returncode == 0

        with socket.create_server(("127.0.0.1", 0)) as server:
            opened = server.getsockname()[1]
            assert healthy(opened)
        assert not healthy(opened)


def properties_of(service, ports, folder):
    """Do what the image does (KAFKA_A_B=c becomes a.b=c), on loopback addresses instead of containers."""
    environment = service["environment"]
    address = f"127.0.0.{environment['KAFKA_NODE_ID']}"
    lines = []
    for key, value in environment.items():
        if not key.startswith("KAFKA_") or key == "KAFKA_HEAP_OPTS":
            continue
        text = re.sub(r":(\d+)", lambda match: f":{ports[match[1]]}", str(value))
        text = re.sub(r"kafka-(\d)", r"127.0.0.\1", text.replace("://:", f"://{address}:"))
        text = text.replace("HOST://127.0.0.1", f"HOST://{address}")
        lines.append(f"{key.removeprefix('KAFKA_').lower().replace('_', '.')}={text}\n")
    text = "".join(lines).replace("/var/lib/kafka/data", str(folder / "data"))
    (folder / "data").mkdir(parents=True)
    identity = f"version=1\ncluster.id={environment['CLUSTER_ID']}\nnode.id={environment['KAFKA_NODE_ID']}\n"
    (folder / "data" / "meta.properties").write_text(f"{identity}directory.id={random_id()}\n")
    (folder / "server.properties").write_text(text)
    return folder / "server.properties"


@pytest.mark.cluster
def test_kafka_accepts_the_settings(services, tmp_path, kafka_cluster):
    if isinstance(kafka_cluster, ExternalCluster):
        pytest.skip("needs Java processes of its own")
    wanted = sorted({*map(str, PORTS.values()), "19092", "29092"})
    reserved = Ports(len(wanted))
    ports = dict(zip(wanted, reserved.numbers, strict=True))
    brokers = []
    try:
        for name, service in services.items():
            settings = properties_of(service, ports, tmp_path / name)
            options = [
                *service["environment"]["KAFKA_HEAP_OPTS"].split(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
            ]
            command = java_command(kafka_jars(), "kafka.Kafka", [str(settings)], options)
            log = (tmp_path / f"{name}.log").open("wb")
            with log:
                brokers.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path))
        deadline = time.monotonic() + 90
        seen = {}
        while set(seen) != {1, 2, 3}:
            assert time.monotonic() < deadline
            assert [broker.poll() for broker in brokers] == [None] * 3, (tmp_path / "kafka-1.log").read_text()[-4000:]
            time.sleep(0.1)
            try:
                seen = ask_metadata(ports["9092"]).brokers
            except OSError:
                continue
        assert seen == {n: (f"127.0.0.{n}", ports[str(9091 + n)]) for n in (1, 2, 3)}
    finally:
        for broker in brokers:
            broker.kill()
            broker.wait()
        reserved.release()
