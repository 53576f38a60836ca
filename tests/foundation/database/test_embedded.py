# SPDX-License-Identifier: Apache-2.0
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest
from structlog.testing import capture_logs

from dci_server.foundation.database import embedded_binaries, embedded_cluster
from dci_server.foundation.database.embedded import EmbeddedPostgres, EmbeddedPostgresError, url_of_running
from dci_server.foundation.database.embedded_child import end_servers
from dci_server.foundation.database.embedded_directory import BIGGEST_LOG
from dci_server.foundation.database.embedded_process import processes_in
from tests.server_process import told_by

OWNER = Path(__file__).with_name("embedded_owner.py")
IS_ROOT = os.geteuid() == 0
NEWEST = 18
OLDER = 16
SECONDS_TO_BE_GONE = 60.0
PSQL = embedded_binaries.programs(None)[NEWEST] / "psql"

only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
ourselves = pytest.param("ourselves", id="ourselves")
ordinary_user = pytest.param("ordinary user", id="ordinary-user", marks=only_root)


@dataclass
class Owner:
    """Another process that owns a server."""

    process: subprocess.Popen[str]
    directory: Path
    url: str = ""
    acknowledged: list[int] = field(default_factory=list[int])

    @property
    def cluster(self) -> Path:
        return self.directory / f"cluster-{NEWEST}"

    def postmaster(self) -> psutil.Process:
        return postmaster_of(self.cluster)

    def read_until(self, enough: int) -> None:
        assert self.process.stdout is not None
        while len(self.acknowledged) < enough:
            self.acknowledged.append(int(self.process.stdout.readline()))

    def stop(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()

    def kill(self) -> None:
        """With the rows it still told of before it died."""
        assert self.process.stdout is not None
        self.process.kill()
        self.acknowledged += [
            int(line) for line in self.process.stdout.read().splitlines(keepends=True) if "\n" in line
        ]
        self.process.wait()


StartOwner = Callable[..., Owner]


def postmaster_of(cluster: Path) -> psutil.Process:
    return psutil.Process(int((cluster / "postmaster.pid").read_text(encoding="utf-8").split()[0]))


@pytest.fixture
def start_owner() -> Generator[StartOwner]:
    owners: list[Owner] = []

    def start(directory: Path, *options: str, who: str = "ourselves") -> Owner:
        process = subprocess.Popen(
            [*_as(who), sys.executable, OWNER, directory, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        owners.append(Owner(process, directory))
        return owners[-1]

    yield start
    for owner in owners:
        with owner.process as process:
            process.kill()
    for cluster in {owner.cluster for owner in owners if owner.cluster.exists()}:
        _wait_until_gone(cluster)


def _as(who: str) -> list[str]:
    """The ordinary user may read everything, in case the interpreter that runs us is out of its reach."""
    if who == "ourselves":
        return []
    nobody = pwd.getpwnam("nobody")
    return [
        *("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
        *(
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search",
            "--bounding-set=-all,+dac_read_search",
        ),
    ]


def started(owner: Owner) -> Owner:
    assert owner.process.stdout is not None
    owner.url = owner.process.stdout.readline().strip()
    assert owner.url.startswith("postgresql://")
    return owner


def _wait_until_gone(cluster: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_BE_GONE
    while left := processes_in(cluster):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


@pytest.fixture
def place() -> Generator[Path]:
    """A short path that everybody may pass, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="dci-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def ready_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped database with one row."""
    directory = tmp_path_factory.mktemp("ready-made") / "database"
    with EmbeddedPostgres(directory, durable=False) as server:
        psql(server.url, "create table kept as select 'a row' as content")
    return directory


@pytest.fixture
def database(ready_made: Path, place: Path) -> Path:
    """A copy of it, to do what we like with."""
    return copy_of(ready_made, place / "database")


def copy_of(ready_made: Path, directory: Path) -> Path:
    subprocess.run(["cp", "-a", ready_made, directory], check=True)
    return directory


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("running") / "database", max_connections=23) as server:
        yield server


def psql(url: str, sql: str) -> str:
    """What an operator would see; an error when the server refuses."""
    told = subprocess.run(
        [PSQL, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql], capture_output=True, text=True, check=False
    )
    if told.returncode != 0:
        raise AssertionError(told.stderr)
    return told.stdout.strip()


@contextmanager
def background(command: Sequence[str | Path], user: int | None = None) -> Generator[subprocess.Popen[bytes]]:
    """A program that may run for ever, and won't."""
    with subprocess.Popen(command, user=user, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def modes_above(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in path.parents}


async def test_a_new_server_answers_the_driver(running: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(running.url)

    row = await connection.fetchrow("select current_user, current_database(), 6 * 7")
    await connection.close()

    assert row is not None
    assert tuple(row) == ("dci", "dci", 42)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_connections", "23"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("wal_compression", "pglz"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("shared_buffers", "128MB"),
        ("max_wal_size", "1GB"),
        ("random_page_cost", "1.1"),
        ("server_encoding", "UTF8"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("unix_socket_permissions", "0700"),
        ("log_error_verbosity", "terse"),
    ],
)
def test_the_settings_of_a_durable_server(running: EmbeddedPostgres, setting: str, value: str) -> None:
    assert psql(running.url, f"show {setting}") == value


def test_text_sorts_by_the_builtin_locale(running: EmbeddedPostgres) -> None:
    locale = psql(running.url, "select datlocprovider, datlocale from pg_database where datname = 'dci'")

    assert locale == "b|C.UTF-8"


def test_databases_can_be_created(running: EmbeddedPostgres) -> None:
    psql(running.url, "create database another")

    assert psql(running.url.replace("/dci?", "/another?"), "select current_database()") == "another"


def test_no_tcp_port_is_open(running: EmbeddedPostgres) -> None:
    cluster = running.directory / f"cluster-{NEWEST}"

    told = told_by(processes_in(cluster), lambda process: process.net_connections(kind="inet"))

    assert len(told) > 1
    assert [sockets for _, sockets in told if sockets] == []


async def test_a_wrong_password_is_refused(running: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(running.url, password="wrong")


def test_nobody_is_trusted(running: EmbeddedPostgres) -> None:
    rules = psql(running.url, "select distinct type, auth_method from pg_hba_file_rules")

    assert rules == "local|scram-sha-256"


def test_only_the_owner_reaches_the_files_and_the_socket(running: EmbeddedPostgres) -> None:
    directory = running.directory

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.iterdir()]}

    assert modes.pop("postgres.log") == modes.pop("lock") == modes.pop("password") == 0o600
    assert set(modes.values()) == {0o700}
    assert (directory / "password").stat().st_uid == os.geteuid()


def test_the_password_stands_in_no_log(running: EmbeddedPostgres) -> None:
    password = (running.directory / "password").read_text(encoding="ascii").strip()

    assert password not in (running.directory / "postgres.log").read_text(encoding="utf-8")


def test_the_url_is_found_while_it_runs(running: EmbeddedPostgres) -> None:
    assert url_of_running(running.directory) == running.url


def test_ctrl_c_in_the_terminal_is_left_to_the_owner(running: EmbeddedPostgres) -> None:
    told = told_by(processes_in(running.directory / f"cluster-{NEWEST}"), lambda process: os.getpgid(process.pid))

    assert len(told) > 1
    assert os.getpgid(0) not in [group for _, group in told]


def test_a_second_start_is_refused(running: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"another dci-server \(process \d+\) uses .*: stop it"):
        EmbeddedPostgres(running.directory).start()

    assert psql(running.url, "select 1") == "1"


def test_a_second_process_is_refused(running: EmbeddedPostgres) -> None:
    second = subprocess.run([sys.executable, OWNER, running.directory], capture_output=True, text=True, check=False)

    assert second.returncode == 1
    assert second.stderr.startswith(f"another dci-server (process {os.getpid()}) uses")
    assert second.stderr.count("\n") == 1


def test_data_survives_a_stop(database: Path) -> None:
    with EmbeddedPostgres(database) as server:
        psql(server.url, "insert into kept values ('another')")

    with EmbeddedPostgres(database) as server:
        assert psql(server.url, "select count(*) from kept") == "2"


def test_stopping_leaves_nothing_running(database: Path) -> None:
    server = EmbeddedPostgres(database)
    server.start()

    server.stop()
    server.stop()

    assert processes_in(database / f"cluster-{NEWEST}") == []
    assert not (database / "socket").exists()
    assert url_of_running(database) is None
    assert not server.failed()


def test_stopping_does_not_wait_for_clients(database: Path) -> None:
    server = EmbeddedPostgres(database)
    server.start()
    with background([PSQL, "-d", server.url, "-c", "select pg_sleep(600)"]) as client:
        _wait_for_activity(server.url, "select pg_sleep(600)")

        server.stop()

        assert client.wait(timeout=SECONDS_TO_BE_GONE) != 0


def _wait_for_activity(url: str, query: str) -> int:
    """The process id of the backend that runs it."""
    while not (found := psql(url, f"select pid from pg_stat_activity where query = '{query}' and state = 'active'")):
        time.sleep(0.01)
    return int(found)


@pytest.mark.parametrize("options", [(), ("--without-death-signal",)], ids=["death-signal", "lifeline"])
@pytest.mark.parametrize("who", [ourselves, ordinary_user])
def test_a_killed_owner_leaves_nothing_running(
    ready_made: Path, place: Path, start_owner: StartOwner, who: str, options: tuple[str, ...]
) -> None:
    owner = started(start_owner(copy_for(who, ready_made, place), *options, who=who))
    assert psql(owner.url, "select * from kept") == "a row"

    owner.process.kill()

    _wait_until_gone(owner.cluster)


def copy_for(who: str, ready_made: Path, place: Path) -> Path:
    directory = copy_of(ready_made, place / "database")
    if who == "ordinary user":
        subprocess.run(["chown", "-R", "nobody:", directory], check=True)
    return directory


@only_root
def test_an_ordinary_user_makes_a_new_database(place: Path, start_owner: StartOwner) -> None:
    place.chmod(0o777)

    owner = started(start_owner(place / "database", who="ordinary user"))

    assert psql(owner.url, "select current_user") == "dci"
    assert {user for _, user in told_by(processes_in(owner.cluster), psutil.Process.username)} == {"nobody"}


def test_an_owner_without_a_death_signal_stops_properly(database: Path, start_owner: StartOwner) -> None:
    owner = started(start_owner(database, "--without-death-signal"))

    assert owner.stop() == 0
    assert processes_in(owner.cluster) == []


def _kill_the_owner(owner: Owner) -> None:
    owner.kill()


def _kill_the_postmaster(owner: Owner) -> None:
    owner.postmaster().kill()
    owner.kill()


def _kill_a_backend(owner: Owner) -> None:
    told = told_by(owner.postmaster().children(), psutil.Process.cmdline)
    next(child for child, words in told if "dci dci" in " ".join(words)).kill()
    owner.kill()


def _kill_both(owner: Owner) -> None:
    postmaster = owner.postmaster()
    owner.kill()
    _kill_if_there(postmaster)


def _kill_everything(owner: Owner) -> None:
    processes = processes_in(owner.cluster)
    owner.kill()
    for process in processes:
        _kill_if_there(process)


def _kill_if_there(process: psutil.Process) -> None:
    """Its owner's death may have been quicker."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


@pytest.mark.parametrize(("who", "rounds"), [("ourselves", 2), pytest.param("ordinary user", 1, marks=only_root)])
def test_it_reopens_at_the_first_try_with_every_acknowledged_row(
    ready_made: Path, place: Path, start_owner: StartOwner, who: str, rounds: int
) -> None:
    directory = copy_for(who, ready_made, place)
    ways = [_kill_the_owner, _kill_the_postmaster, _kill_a_backend, _kill_both, _kill_everything]
    acknowledged: list[int] = []

    for way in ways * rounds:
        owner = started(start_owner(directory, "--write", who=who))
        owner.read_until(30)
        way(owner)
        acknowledged += owner.acknowledged

    owner = started(start_owner(directory, who=who))
    kept = psql(owner.url, "select number from acknowledged").split()
    assert set(acknowledged) <= set(map(int, kept))


def test_a_busy_backend_without_its_postmaster_is_no_obstacle(database: Path, start_owner: StartOwner) -> None:
    owner = started(start_owner(database))
    busy = "select count(*) from generate_series(1, 1000000000000)"
    with background([PSQL, "-d", owner.url, "-c", busy]):
        backend = _wait_for_activity(owner.url, busy)
        postmaster = owner.postmaster()
        owner.process.send_signal(signal.SIGSTOP)
        postmaster.kill()
        owner.process.kill()
        owner.process.wait()
        while [process.pid for process in processes_in(owner.cluster)] != [backend]:
            time.sleep(0.01)

        with EmbeddedPostgres(database) as server:
            assert psql(server.url, "select * from kept") == "a row"
            assert backend not in [process.pid for process in processes_in(owner.cluster)]


def wal_writer_of(postmaster: psutil.Process) -> psutil.Process:
    """It names itself a moment after its start."""
    end = time.monotonic() + SECONDS_TO_BE_GONE
    while time.monotonic() < end:
        for child, words in told_by(postmaster.children(), psutil.Process.cmdline):
            if "walwriter" in " ".join(words):
                return child
        time.sleep(0.05)
    raise AssertionError("PostgreSQL runs without a WAL writer")


def test_a_backend_that_dies_is_replaced(database: Path) -> None:
    with EmbeddedPostgres(database) as server:
        postmaster = postmaster_of(database / f"cluster-{NEWEST}")
        wal_writer_of(postmaster).kill()

        deadline = time.monotonic() + SECONDS_TO_BE_GONE
        while _outcome(server.url) != "a row":
            assert time.monotonic() < deadline

        assert not server.failed()


def _outcome(url: str) -> str:
    try:
        return psql(url, "select * from kept")
    except AssertionError as error:
        return str(error)


def test_a_dead_server_is_noticed_and_started_again(database: Path) -> None:
    server = EmbeddedPostgres(database)
    server.start()
    assert not server.failed()
    postmaster_of(database / f"cluster-{NEWEST}").kill()

    deadline = time.monotonic() + SECONDS_TO_BE_GONE
    while not server.failed():
        assert time.monotonic() < deadline

    server.stop()
    with server:
        assert psql(server.url, "select * from kept") == "a row"


def test_a_reused_process_id_is_no_obstacle(database: Path) -> None:
    cluster = database / f"cluster-{NEWEST}"
    with background(["sleep", "600"], user=cluster.stat().st_uid if IS_ROOT else None) as stranger:
        embedded_cluster.write_file(
            cluster, "postmaster.pid", f"{stranger.pid}\n{cluster}\n1\n5432\n\n\n  1  1\nready\n"
        )

        with EmbeddedPostgres(database) as server:
            assert psql(server.url, "select * from kept") == "a row"

        assert stranger.poll() is None


def test_a_killed_first_start_can_be_repeated(place: Path, start_owner: StartOwner) -> None:
    owner = start_owner(place / "database")
    unfinished = place / "database" / f"cluster-{NEWEST}.new"
    while not (unfinished / "base").exists():
        time.sleep(0.001)
    owner.process.kill()
    owner.process.wait()
    assert unfinished.exists()

    with EmbeddedPostgres(place / "database", durable=False) as server:
        assert psql(server.url, "select 1") == "1"

    assert not unfinished.exists()


def test_a_lost_password_is_replaced(database: Path) -> None:
    lost = (database / "password").read_text(encoding="ascii")
    (database / "password").unlink()

    with EmbeddedPostgres(database) as server:
        assert psql(server.url, "select * from kept") == "a row"
        assert lost.strip() not in server.url


@pytest.mark.parametrize("name", ["x" * 150, "a comma, a space, 'quotes' and é"])
def test_a_path_that_does_not_suit_a_socket_gets_another_one(
    ready_made: Path, place: Path, start_owner: StartOwner, name: str
) -> None:
    directory = copy_of(ready_made, place / name)
    owner = started(start_owner(directory))
    first = Path(parse_qs(urlsplit(owner.url).query)["host"][0])
    assert url_of_running(directory) == owner.url
    owner.kill()

    with EmbeddedPostgres(directory) as server:
        second = Path(parse_qs(urlsplit(server.url).query)["host"][0])
        assert psql(server.url, "select * from kept") == "a row"
        assert stat.S_IMODE(second.parent.stat().st_mode) == 0o700
        assert not first.parent.exists()

    assert not second.parent.exists()
    assert directory not in second.parents


def test_no_mode_is_widened_on_the_way(ready_made: Path, place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    directory = copy_of(ready_made, closed / "database")
    programs = next(iter(embedded_binaries.programs(None).values()))
    before = modes_above(directory) | modes_above(programs)

    with EmbeddedPostgres(directory) as server:
        assert psql(server.url, "select * from kept") == "a row"

    assert modes_above(directory) | modes_above(programs) == before


@only_root
def test_programs_out_of_the_account_s_reach_are_copied(place: Path) -> None:
    account = embedded_binaries.account_for(None)
    assert account is not None
    wheel = embedded_binaries.programs(None)[NEWEST].parents[1]
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel / f"pginstall{NEWEST}" / "bin", wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, closed / part.relative_to(wheel.parent), copy_function=os.link)

    found = embedded_binaries.runnable_by(account, closed / wheel.name, place / "cache")

    assert found.is_relative_to(place / "cache")
    assert embedded_binaries.runnable_by(account, closed / wheel.name, place / "cache") == found
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_the_operator_s_own_postgresql_settings_stay_outside(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")

    with EmbeddedPostgres(database) as server:
        assert psql(server.url, "select * from kept") == "a row"


def test_a_directory_with_other_things_is_left_alone(place: Path) -> None:
    (place / "letters").mkdir()

    with pytest.raises(EmbeddedPostgresError, match="give the database a directory of its own"):
        EmbeddedPostgres(place).start()

    assert [path.name for path in place.iterdir()] == ["letters"]
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


def test_a_directory_that_cannot_be_made_is_a_clear_error(place: Path) -> None:
    (place / "file").touch()

    with pytest.raises(EmbeddedPostgresError, match=r"cannot hold the database \(Not a directory\)"):
        EmbeddedPostgres(place / "file" / "database").start()


def test_a_server_that_cannot_start_tells_why_and_frees_the_directory(database: Path) -> None:
    cluster = database / f"cluster-{NEWEST}"
    embedded_cluster.write_file(cluster, "postgresql.auto.conf", "no_such_setting = 1\n")

    with pytest.raises(
        EmbeddedPostgresError, match=r"PostgreSQL did not start: .*postgresql\.auto\.conf.*contains errors"
    ):
        EmbeddedPostgres(database).start()

    embedded_cluster.write_file(cluster, "postgresql.auto.conf", "")
    with EmbeddedPostgres(database) as server:
        assert psql(server.url, "select * from kept") == "a row"


def test_the_log_is_bounded(database: Path) -> None:
    log = database / "postgres.log"
    log.write_bytes(b"x" * (BIGGEST_LOG + 1))

    with EmbeddedPostgres(database):
        assert log.stat().st_size < BIGGEST_LOG


def test_a_thread_that_would_take_the_server_with_it_is_refused(place: Path) -> None:
    refusals: list[BaseException] = []

    def start() -> None:
        try:
            EmbeddedPostgres(place / "database").start()
        except RuntimeError as error:
            refusals.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "main thread" in str(refusals[0])


def test_nothing_runs_where_nothing_was_started(place: Path) -> None:
    assert url_of_running(place / "database") is None


@pytest.fixture(scope="module")
def ready_made_older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the older major version, whose server was killed."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("older") / "database", _major=OLDER)
    with server:
        psql(server.url, "create table kept as select 'a row' as content; alter database dci set work_mem = '5MB'")
        for process in processes_in(server.directory / f"cluster-{OLDER}"):
            _kill_if_there(process)
    return server.directory


@pytest.fixture
def older(ready_made_older: Path, place: Path) -> Path:
    return copy_of(ready_made_older, place / "database")


def test_an_older_cluster_is_upgraded_and_kept(older: Path) -> None:
    with capture_logs() as logs, EmbeddedPostgres(older, durable=False) as server:
        assert psql(server.url, "select content, current_setting('server_version_num') from kept")[:8] == "a row|18"
        assert psql(server.url, "show work_mem") == "5MB"

    kept = str(older / f"cluster-{OLDER}")
    assert [(log["event"], log["old_cluster_kept"]) for log in logs] == [("postgresql_upgraded", kept)]
    assert (older / f"cluster-{OLDER}" / "PG_VERSION").read_text(encoding="utf-8") == f"{OLDER}\n"


@pytest.mark.parametrize("who", ["ordinary user" if IS_ROOT else "ourselves"])
def test_an_older_cluster_without_checksums_and_below_a_long_path_is_upgraded(
    ready_made_older: Path, place: Path, start_owner: StartOwner, who: str
) -> None:
    (place / ("x" * 150)).mkdir(mode=0o755)
    older = copy_for(who, ready_made_older, place / ("x" * 150))
    with EmbeddedPostgres(older, durable=False, _major=OLDER):
        """Leaves it shut down, as pg_checksums wants it."""
    program = embedded_binaries.programs(None)[OLDER] / "pg_checksums"
    subprocess.run([program, "--disable", older / f"cluster-{OLDER}"], check=True, capture_output=True)

    owner = started(start_owner(older, "--not-durable", who=who))

    assert psql(owner.url, "select * from kept") == "a row"
    assert psql(owner.url, "show data_checksums") == "off"
    assert owner.stop() == 0


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_upgrade_starts_over_from_the_old_cluster(
    older: Path, start_owner: StartOwner, death: signal.Signals
) -> None:
    owner = start_owner(older, "--not-durable")
    upgrading, serving = older / f"cluster-{NEWEST}.new" / "pg_upgrade_output.d", older / f"cluster-{OLDER}"
    while not (upgrading.exists() and (serving / "postmaster.pid").exists()):
        time.sleep(0.005)
    owner.process.send_signal(death)
    owner.process.wait()
    _wait_until_gone(older / f"cluster-{OLDER}")
    _wait_until_gone(older / f"cluster-{NEWEST}.new")

    with EmbeddedPostgres(older, durable=False) as server:
        assert psql(server.url, "select * from kept") == "a row"

    assert sorted(path.name for path in older.glob("cluster-*")) == [f"cluster-{OLDER}", f"cluster-{NEWEST}"]


def test_a_server_that_is_about_to_write_down_its_process_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "postmaster.pid"
    note.touch()
    # A suite that runs in the background has its children ignore the signal.
    program = (
        "import signal, time; signal.signal(signal.SIGQUIT, signal.SIG_DFL); print('ready', flush=True); time.sleep(20)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

        def write_down(_seconds: float) -> None:
            note.write_text(f"{server.pid}\n{tmp_path}\n", encoding="utf-8")

        monkeypatch.setattr(time, "sleep", write_down)
        end_servers([str(tmp_path)])

        assert server.wait() == -signal.SIGQUIT


def test_a_newer_cluster_is_refused(database: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 18, newer than this dci-server's 16"):
        EmbeddedPostgres(database, _major=OLDER).start()


def test_a_cluster_too_old_to_read_is_refused(database: Path) -> None:
    (database / f"cluster-{NEWEST}").rename(database / "cluster-9")

    with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 9, which this dci-server cannot read"):
        EmbeddedPostgres(database).start()
