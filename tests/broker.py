# SPDX-License-Identifier: Apache-2.0
"""A real broker on loopback: RabbitMQ, where it is installed, or the one that DCI_TEST_AMQP_URL names."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiormq
import pytest
from aiormq.abc import DeliveredMessage

from tests.certificates import make_certificate
from tests.server_process import free_port
from tests.waiting import PATIENCE

_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_SECONDS_TO_START = 90


def _program() -> str | None:
    """Not the wrapper of the distribution, which changes to an account of its own."""
    ours = _PROGRAMS / "rabbitmq-server"
    return str(ours) if ours.exists() else shutil.which("rabbitmq-server")


GIVEN_URL = os.environ.get("DCI_TEST_AMQP_URL")
needs_broker = pytest.mark.skipif(
    GIVEN_URL is None and _program() is None,
    reason="there is no message broker: install rabbitmq-server, or name one by DCI_TEST_AMQP_URL",
)


@dataclass
class Broker:
    """Names are its own, so that what others left in a broker is in nobody's way."""

    url: str
    port: int = 0
    tls_port: int = 0
    directory: Path = Path()
    name: str = field(default_factory=lambda: f"dci-test-{uuid4()}")
    _processes: list["subprocess.Popen[bytes]"] = field(default_factory=list["subprocess.Popen[bytes]"])

    @property
    def settings(self) -> dict[str, str]:
        return {"AMQP_BROKER_URL": self.url, "AMQP_EXCHANGE": self.name, "AMQP_QUEUE": self.name}

    @property
    def certificate(self) -> Path:
        """Its own, and the authority that signed it."""
        return self.directory / "certificate.pem"

    async def start(self) -> None:
        program = _program()
        assert program is not None
        if not self.certificate.exists():
            make_certificate(self.directory)
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.certfile = {self.certificate}\n"
            f"ssl_options.keyfile = {self.certificate}\nssl_options.cacertfile = {self.certificate}\n"
        )
        epmd = free_port()
        settings = {
            "NODENAME": f"dci{self.port}@localhost", "NODE_IP_ADDRESS": "127.0.0.1", "NODE_PORT": str(self.port),
            "DIST_PORT": str(free_port()), "MNESIA_BASE": str(self.directory / "data"),
            "LOG_BASE": str(self.directory / "log"), "ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "CONFIG_FILE": str(self.directory / "rabbitmq"), "ADVANCED_CONFIG_FILE": str(self.directory / "advanced"),
            "CONF_ENV_FILE": str(self.directory / "env"), "PID_FILE": str(self.directory / "pid"),
        }  # fmt: skip
        environment = {f"RABBITMQ_{name}": value for name, value in settings.items()} | {
            "PATH": os.environ["PATH"], "HOME": str(self.directory), "ERL_EPMD_PORT": str(epmd), "LANG": "C.UTF-8",
        }  # fmt: skip
        # Started here, so that it ends here: what Erlang starts by itself outlives everybody.
        self._spawn("epmd", "-port", str(epmd), "-address", "127.0.0.1", env=environment)
        self._spawn(program, env=environment)
        async with asyncio.timeout(_SECONDS_TO_START):
            while not await self._answers():
                assert all(process.poll() is None for process in self._processes), "the broker did not start"
                await asyncio.sleep(0.2)

    def _spawn(self, *words: str, env: dict[str, str]) -> None:
        with (self.directory / "output").open("ab") as output:
            self._processes.append(
                subprocess.Popen(words, env=env, stdout=output, stderr=output, start_new_session=True)
            )

    async def _answers(self) -> bool:
        with suppress(OSError, aiormq.exceptions.AMQPError, TimeoutError):
            async with asyncio.timeout(5):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                async with aiormq.connect(self.url):
                    return True
        return False

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                await asyncio.to_thread(process.wait)
        self._processes.clear()

    async def take(self, count: int, seconds: float = PATIENCE) -> list[DeliveredMessage]:
        """So many messages, in the order in which they were put into the queue; acknowledged."""
        got: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        async with asyncio.timeout(seconds), aiormq.connect(self.url) as connection:
            channel = await connection.channel()
            await channel.queue_declare(self.name, durable=True)
            await channel.basic_consume(self.name, got.put, no_ack=True)
            return [await got.get() for _ in range(count)]

    async def make_exchange(self) -> None:
        """With no queue behind it."""
        async with aiormq.connect(self.url) as connection:
            channel = await connection.channel()
            await channel.exchange_declare(self.name, exchange_type="direct", durable=True)

    async def count(self) -> int:
        async with aiormq.connect(self.url) as connection:
            channel = await connection.channel()
            return (await channel.queue_declare(self.name, durable=True)).message_count or 0


@asynccontextmanager
async def broker(directory: Path) -> AsyncGenerator[Broker]:
    if GIVEN_URL is not None:
        yield Broker(GIVEN_URL)
        return
    port = free_port()
    started = Broker(f"amqp://guest:guest@127.0.0.1:{port}/", port, free_port(), directory)
    try:
        await started.start()
        yield started
    finally:
        await started.stop(signal.SIGTERM)
