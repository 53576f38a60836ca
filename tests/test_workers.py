# SPDX-License-Identifier: Apache-2.0
"""DCI_WORKERS=2: two processes behind one port that know of each other only through the database and the store."""

import re
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import pytest

from tests.server_process import Running, free_port, start, stop, told_by
from tests.signing import SignedBy
from tests.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("house") / "data", free_port(), DCI_WORKERS="2")
    yield running
    stop(running)


@pytest.fixture
def connections(server: Running) -> Iterator["Connections"]:
    with ExitStack() as opened:
        yield Connections(server, opened)


class Connections:
    """A connection to each worker, kept open."""

    def __init__(self, server: Running, opened: ExitStack) -> None:
        self._server = server
        self._opened = opened

    def one_to_each(self, auth: httpx.Auth) -> dict[int, httpx.Client]:
        """By the id of the worker's process; the kernel decides who accepts, so try until both did."""
        found: dict[int, httpx.Client] = {}
        end = time.monotonic() + PATIENCE
        while len(found) < 2:
            assert time.monotonic() < end, found
            client = self._opened.enter_context(httpx.Client(base_url=self._server.url, auth=auth, timeout=PATIENCE))
            with suppress(httpx.TransportError):
                with client.stream("GET", "/api/v1/identity") as response:
                    response.read()
                    stream = response.extensions["network_stream"]
                    port: int = stream.get_extra_info("client_addr")[1]
                found.setdefault(worker_behind(self._server, port), client)
        return found


def worker_behind(server: Running, port: int) -> int:
    """The process that holds the other end of our connection."""
    for process in server.workers():
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("tcp"):
                if connection.raddr and connection.raddr.port == port:
                    return process.pid
    raise AssertionError(f"nobody holds the connection from port {port}")


def lab_of(server: Running) -> SignedBy:
    rc = server.rc("demo")
    return SignedBy(rc["DCI_CLIENT_ID"], rc["DCI_API_SECRET"])


def user_of(server: Running) -> httpx.BasicAuth:
    rc = server.rc("demo-user")
    return httpx.BasicAuth(rc["DCI_LOGIN"], rc["DCI_PASSWORD"])


def administrator_of(server: Running) -> httpx.BasicAuth:
    rc = server.rc("admin")
    return httpx.BasicAuth(rc["DCI_LOGIN"], rc["DCI_PASSWORD"])


@asynccontextmanager
async def without_notifications(server: Running, table: str) -> AsyncGenerator[None]:
    """They are heard a moment later than the answer is: without them, what counts at once can be told from what soon does."""
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(server.database_url())
    try:
        await db.execute(f"alter table {table} disable trigger {table}_forget")
        yield
    finally:
        await db.execute(f"alter table {table} enable trigger {table}_forget")
        await db.close()


def test_both_workers_answer(server: Running, connections: Connections) -> None:
    by_worker = connections.one_to_each(lab_of(server))

    assert set(by_worker) == {process.pid for process in server.workers()}
    assert [client.get("/api/v1/identity").status_code for client in by_worker.values()] == [200, 200]


@pytest.mark.parametrize(
    ("table", "name", "login", "status"),
    [
        ("remotecis", "demo-remoteci", lab_of, 401),
        ("teams", "Demo lab", lab_of, 412),
        ("users", "demo", user_of, 401),
    ],
)
async def test_who_is_disabled_is_refused_by_every_worker(
    server: Running,
    connections: Connections,
    table: str,
    name: str,
    login: Callable[[Running], httpx.Auth],
    status: int,
) -> None:
    clients = list(connections.one_to_each(login(server)).values())
    before = [client.get("/api/v1/identity").status_code for client in clients]
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(server.database_url())
    try:
        await db.execute(f"update {table} set state = 'inactive' where name = $1", name)
        wait_until(lambda: all(client.get("/api/v1/identity").status_code == status for client in clients))
        after = {client.get("/api/v1/identity").status_code for client in clients for _ in range(2)}
    finally:
        await db.execute(f"update {table} set state = 'active' where name = $1", name)
        await db.close()

    assert before == [200, 200]
    assert after == {status}
    wait_until(lambda: all(client.get("/api/v1/identity").status_code == 200 for client in clients))


@pytest.mark.parametrize(
    ("table", "name", "login", "status", "rounds"),
    [
        ("remotecis", "demo-remoteci", lab_of, 401, 20),
        ("teams", "Demo lab", lab_of, 412, 20),
        ("users", "demo", user_of, 401, 2),  # refused passwords are slowed down
    ],
)
async def test_what_an_administrator_changes_counts_at_the_next_request_on_every_worker(
    server: Running,
    connections: Connections,
    table: str,
    name: str,
    login: Callable[[Running], httpx.Auth],
    status: int,
    rounds: int,
) -> None:
    by_worker = list(connections.one_to_each(login(server)).values())
    administrators = list(connections.one_to_each(administrator_of(server)).values())
    wanted: list[int] = []
    seen: list[int] = []

    async with without_notifications(server, table):
        for number in range(rounds):
            admin = administrators[number % 2]
            (found,) = admin.get(f"/api/v1/{table}?where=name:{name}").json()[table]
            address = f"/api/v1/{table}/{found['id']}"
            state, expected = (("inactive", status), ("active", 200))[number % 2]
            changed = admin.put(address, json={"state": state}, headers={"If-match": found["etag"]})
            assert changed.status_code == 200, changed.text
            wanted += [expected, expected]
            seen += [client.get("/api/v1/identity").status_code for client in by_worker]

    assert seen == wanted


def test_the_metrics_are_those_of_all_workers(server: Running, connections: Connections) -> None:
    clients = list(connections.one_to_each(lab_of(server)).values())

    def counted(client: httpx.Client) -> float:
        lines = client.get("/metrics").text.splitlines()
        wanted = re.compile(r'dci_http_requests_total\{.*route="/api/v1/identity".*\} ([0-9.e+]+)$')
        return sum(float(found[1]) for line in lines if (found := wanted.match(line)))

    before = counted(clients[0])
    for client in clients:
        for _ in range(5):
            client.get("/api/v1/identity")

    # Each is counted when it has been sent, which its receiver may know first.
    for client in clients:
        wait_until(lambda client=client: counted(client) - before == 10)


def test_a_killed_worker_is_replaced_and_nothing_is_lost(server: Running, connections: Connections) -> None:
    by_worker = connections.one_to_each(lab_of(server))
    (victim, lab), (_, other) = by_worker.items()
    topic = lab.get("/api/v1/topics").json()["topics"][0]["id"]
    job = lab.post("/api/v1/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]
    files = [
        lab.post("/api/v1/files", content=content, headers={"DCI-NAME": "x", "DCI-JOB-ID": job}).json()["file"]["id"]
        for content in (b"small", b"x" * 100_000)
    ]

    psutil.Process(victim).kill()

    contents = [other.get(f"/api/v1/files/{file}/content").content for file in files]
    assert contents == [b"small", b"x" * 100_000]
    wait_until(lambda: len({process.pid for process in server.workers()} - {victim}) == 2)
    assert victim not in connections.one_to_each(lab_of(server))


async def test_a_worker_that_starts_while_the_database_is_away_waits_for_it(server: Running) -> None:
    """Whoever gave up would stop the others too."""
    before = server.workers()
    url = urlsplit(server.database_url())
    elsewhere: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url._replace(path="/template1").geturl())
    database = url.path.removeprefix("/")
    try:
        await elsewhere.execute(f'alter database "{database}" with allow_connections false')
        before[0].kill()
        wait_until(lambda: "the database does not answer yet" in server.log() or server.process.poll() is not None)
    finally:
        await elsewhere.execute(f'alter database "{database}" with allow_connections true')
        await elsewhere.close()

    wait_until(
        lambda: server.process.poll() is not None or len([one for one in server.workers() if one not in before]) == 1
    )
    new = {process.pid for process in server.workers()} - {process.pid for process in before}
    assert server.process.poll() is None
    with ExitStack() as opened:
        assert new < set(Connections(server, opened).one_to_each(lab_of(server)))


async def test_a_worker_that_waits_for_the_database_ends_with_its_server(tmp_path: Path) -> None:
    running = start(tmp_path / "data", free_port(), DCI_WORKERS="2")
    processes = running.processes()
    url = urlsplit(running.database_url())
    elsewhere: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url._replace(path="/template1").geturl())
    await elsewhere.execute(f'alter database "{url.path.removeprefix("/")}" with allow_connections false')
    running.workers()[0].kill()
    wait_until(lambda: "the database does not answer yet" in running.log())
    processes += [process for process in running.processes() if process not in processes]

    running.process.kill()

    _, left = psutil.wait_procs(processes, timeout=30)
    for process in left:
        process.kill()
    assert left == []
    running.process.wait()
    elsewhere.terminate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_workers_and_database(tmp_path: Path, number: signal.Signals) -> None:
    running = start(tmp_path / "data", free_port(), DCI_WORKERS="2")
    processes = running.processes()
    names = [name for _, name in told_by(processes, psutil.Process.name)]

    code = stop(running, number)

    assert code == 0
    assert "postgres" in names
    assert len(processes) > 4
    assert psutil.wait_procs(processes, timeout=PATIENCE)[1] == []
