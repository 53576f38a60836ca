# SPDX-License-Identifier: Apache-2.0
"""The command line: what it explains, how it refuses."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from click.testing import CliRunner

from dci_server import running
from dci_server.cli import cli, main
from dci_server.foundation.database.connection import Connection, execute, open_pool
from dci_server.foundation.errors import ApiError
from dci_server.foundation.storage import Store, open_store
from dci_server.foundation.storage.removal import announce_object, give_up_all_objects, remove_due
from dci_server.rc_files import point_at, rc_text, read_rc, write_rc
from dci_server.settings import Settings, SettingsError
from tests.conftest import World
from tests.mailbox import mailbox
from tests.s3 import S3
from tests.server_process import BIN, environment


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str


Run = Callable[..., Told]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command as its entry point runs it: words and variables in, exit code and what it printed out."""
    for name in [name for name in os.environ if name.startswith("DCI_") or name == "DATABASE_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DCI_DEBUG", "")
    handler = signal.getsignal(signal.SIGTERM)

    def run_words(*words: str, **environment: str) -> Told:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["dci-server", *words])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        return Told(code if isinstance(code, int) else 0, printed.out, printed.err)

    yield run_words
    signal.signal(signal.SIGTERM, handler)
    structlog.reset_defaults()


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])

    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 4


def test_the_commands_are_those_of_the_manual() -> None:
    assert set(cli.commands) == {
        "completion", "database-url", "demo", "doctor", "import", "migrate", "openapi", "provision", "retention", "rewrap-secrets",
        "serve",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (["nonsense"], {}, 2, "No such command"),
        (["serve", "--nonsense"], {}, 2, "dci-server serve --help"),
        (["serve", "--port", "abc"], {}, 1, "DCI_PORT is a number"),
        (["serve"], {"DCI_WORKERS": "0"}, 1, "DCI_WORKERS is a number"),
        (["serve"], {"DCI_LEGACY_SECRETS_IN_READS": "maybe"}, 1, "DCI_LEGACY_SECRETS_IN_READS is one of 1, true"),
        (["provision", "--remoteci", "lab", "--overlap", "60"], {}, 2, "--overlap goes with --rotate"),
        (["serve", "--port", "0"], {"DCI_SECRETS_KEY": "short"}, 1, "DCI_SECRETS_KEY: key 1"),
        (["database-url"], {}, 1, "no database is running"),
        (["demo"], {}, 1, "dci-server provision --demo"),
        (["migrate"], {"DATABASE_URL": "postgresql://u:hidden/word@localhost/d"}, 1, "DATABASE_URL can't be read"),
        (["migrate"], {"DATABASE_URL": "hidden"}, 1, "DATABASE_URL can't be read; write postgresql://"),
        (["serve", "--port", "0"], {"DCI_STORE_URL": "ftp://x"}, 1, "ftp:// is no kind of file store"),
        (
            ["serve", "--port", "0", "--workers", "2"],
            {"DCI_STORE_URL": "ftp://x"},
            1,
            "ftp:// is no kind of file store",
        ),
        (["migrate"], {"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/d"}, 1, "the database does not answer"),
    ],
)
def test_a_refusal_is_one_line_without_a_secret(
    run: Run, tmp_path: Path, words: list[str], environment: dict[str, str], code: int, said: str
) -> None:
    refused = run(*words, **{"DCI_DATA_DIR": str(tmp_path / "data"), **environment})

    assert refused.code == code
    assert refused.err.startswith("dci-server: ")
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1
    assert "hidden" not in refused.err


def test_debug_shows_where_an_error_comes_from(run: Run, tmp_path: Path) -> None:
    refused = run("--debug", "database-url", DCI_DATA_DIR=str(tmp_path))

    assert refused.code == 1
    assert "Traceback" in refused.err


def test_the_doctor_finds_a_fresh_machine_well_and_leaves_it_as_it_is(run: Run, tmp_path: Path) -> None:
    told = run("doctor", DCI_DATA_DIR=str(tmp_path / "data"), DCI_PORT="0")

    assert told.code == 0, told.out
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_names_what_is_wrong(run: Run, tmp_path: Path) -> None:
    told = run(
        "doctor",
        DCI_DATA_DIR=str(tmp_path / "data"),
        DCI_PORT="0",
        DCI_SECRETS_KEY="short",
        DCI_STORE_URL="ftp://somewhere",
        DATABASE_URL="postgresql://u:hidden@127.0.0.1:1/d",
    )

    problems = [line for line in told.out.splitlines() if line.startswith("PROBLEM")]
    assert told.code == 1
    assert len(problems) == 3
    assert "hidden" not in told.out + told.err


@pytest.mark.parametrize(
    ("settings", "verdict", "named"),
    [
        ({}, "WARNING", ["DCI_EMAIL_FROM", "DCI_UI_URL"]),
        ({"DCI_EMAIL_ACCOUNT": "hub@example.org"}, "WARNING", ["DCI_UI_URL"]),
        ({"DCI_UI_URL": "https://ui.example.org", "DCI_EMAIL_ACCOUNT": ""}, "WARNING", ["DCI_EMAIL_FROM"]),
        ({"DCI_UI_URL": "https://ui.example.org", "DCI_EMAIL_FROM": "hub@example.org"}, "ok", []),
    ],
)
async def test_the_doctor_doubts_mail_in_the_name_of_another_hub(
    tmp_path: Path, settings: dict[str, str], verdict: str, named: list[str]
) -> None:
    async with mailbox() as box:
        mail = {"DCI_EMAIL_SERVER": "127.0.0.1", "DCI_EMAIL_SERVER_PORT": str(box.port), "DCI_EMAIL_TLS": "none"}
        command = await asyncio.create_subprocess_exec(
            BIN / "dci-server", "doctor", stdout=PIPE, env={**environment(tmp_path / "data", 0), **mail, **settings}
        )
        told, _ = await command.communicate()

    (line,) = [line for line in told.decode().splitlines() if line.split()[1] == "mail"]
    assert command.returncode == 0
    assert line.split()[0] == verdict
    assert [name for name in ("DCI_EMAIL_FROM", "DCI_UI_URL") if name in line] == named


@dataclass(frozen=True)
class Hub:
    """A database, and a store with the object of one big file."""

    database_url: str
    store_url: str
    key: str
    place: str
    """Below which the files of the job are."""

    async def put(self, key: str, content: bytes) -> None:
        upload = await open_store(self.store_url).begin()
        await upload.write(content)
        await upload.commit(key)

    def doing(self, act: Callable[[Connection, Store], Coroutine[None, None, object]]) -> None:
        """As a process of the server does it, on its database and its store."""

        async def do() -> None:
            pool = await open_pool(self.database_url, size=1)
            try:
                await act(pool, open_store(self.store_url))
            finally:
                await pool.close()

        asyncio.run(do())


@pytest.fixture(params=["directory", "bucket"])
async def hub(
    request: pytest.FixtureRequest, database_url: str, key: str, world: World, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> Hub:  # fmt: skip
    store_url = str(tmp_path / "store")
    if request.param == "bucket":
        s3: S3 = request.getfixturevalue("s3")
        store_url = s3.url(uuid4().hex)
        for name, value in s3.credentials.items():
            monkeypatch.setenv(name, value)
    job, team = await world.job(), world.ids["Blue"]
    file = await world.add("files", name="log", sha256="0" * 64, size=70_000, job_id=job, team_id=team)
    hub = Hub(database_url, store_url, key, f"files/{team}/{job}")
    await hub.put(f"{hub.place}/{file}", b"x" * 70_000)
    return hub


def test_the_doctor_counts_what_no_row_refers_to_until_it_is_swept(run: Run, hub: Hub, tmp_path: Path) -> None:
    stray = f"{hub.place}/{uuid4()}"

    def told() -> tuple[str, str]:
        """What is said of objects that wait, and of those that nobody knows."""
        found = run(
            "doctor", DATABASE_URL=hub.database_url, DCI_STORE_URL=hub.store_url, DCI_SECRETS_KEY=hub.key,
            DCI_DATA_DIR=str(tmp_path / "data"), DCI_PORT="0",
        )  # fmt: skip
        assert found.code == 0, found.out
        assert ("have the bucket remove them" in found.out) == hub.store_url.startswith("s3://")
        assert ", 0 names of test cases are in no report any more, " in found.out
        (waiting,) = re.findall(r"(\d+) objects wait to be removed$", found.out, re.MULTILINE)
        (unknown,) = re.findall(r"^ok +stored objects +(\d+ that no row refers to .*)$", found.out, re.MULTILINE)
        return waiting, unknown

    at_first = told()
    asyncio.run(hub.put(stray, b"12345"))
    with_a_stray = told()
    # A crash between an object and its row leaves this.
    hub.doing(lambda db, _: announce_object(db, stray))
    after_a_crash = told()
    hub.doing(remove_due)
    too_early = told()
    hub.doing(lambda db, _: give_up_all_objects(db))
    started_again = told()
    hub.doing(remove_due)

    assert at_first == ("0", "0 that no row refers to (0 bytes), of 1")
    assert with_a_stray == ("0", "1 that no row refers to (5 bytes), of 2")
    assert after_a_crash == too_early == ("0", "0 that no row refers to (0 bytes), of 2")
    assert started_again == ("1", "0 that no row refers to (0 bytes), of 2")
    assert told() == at_first


def test_retention_is_set_tried_and_followed(run: Run, database_url: str) -> None:
    assert run("retention", "show", DATABASE_URL=database_url).out == "no rule: everything is kept\n"
    assert run("retention", "set", "--days", "30", "--keep-tag", "ga", "--keep-tag", "x").code == 0
    assert run("retention", "set", "--team", "Blue").code == 0

    shown = run("retention", "show").out.splitlines()

    assert shown[0] == "everything: 30 days, not with the tags ga, x"
    assert shown[1].startswith("  past it: 0 cases of 0 reports")
    assert shown[2] == "team Blue: for ever"
    assert run("retention", "run").out == "removed: 0 cases of 0 reports\n"
    assert run("retention", "unset").code == 0
    refused = run("retention", "unset")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert run("retention", "set", "--topic", "nowhere").code == 1


def test_retention_of_files_is_tried_and_followed(run: Run, hub: Hub) -> None:
    hub.doing(lambda db, _: execute(db, "update jobs set status = 'success', created_at = '2020-01-01'"))
    assert run("retention", "set", "--what", "files", "--days", "30", DATABASE_URL=hub.database_url).code == 0
    assert run("retention", "set", "--team", "Blue").code == 0

    shown, told, shown_then = (run("retention", word).out.splitlines() for word in ("show", "run", "show"))

    assert shown == [
        "team Blue: for ever",
        "  past it: 0 cases of 0 reports, about 0 bytes",
        "files of everything: 30 days",
        "  past it: 1 files of 1 jobs, 1 objects in the store, 70,000 bytes",
    ]
    assert told == [
        "removed: 0 cases of 0 reports",
        "removed: the content of 1 files of 1 jobs, 70,000 bytes; 1 objects leave the store in an hour",
    ]
    assert shown_then[-1] == "  past it: 0 files of 0 jobs, 0 objects in the store, 0 bytes"
    assert run("retention", "unset", "--what", "files").code == 0
    assert run("retention", "unset", "--what", "files").code == 1


def test_a_port_in_use_is_said_before_anything_is_started(run: Run, tmp_path: Path) -> None:
    with running.listen(Settings(port=0)) as taken:
        refused = run("serve", DCI_DATA_DIR=str(tmp_path / "data"), DCI_PORT=str(taken.getsockname()[1]))

    assert refused.code == 1
    assert "can't listen on 127.0.0.1" in refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("DCI_HOST", "::1", "host", "::1"),
        ("DCI_PORT", "0", "port", 0),
        ("DCI_PORT", "", "port", 5000),
        ("DCI_DATA_DIR", "/srv/dci", "data_dir", Path("/srv/dci")),
        ("DCI_WORKERS", "4", "workers", 4),
        ("DATABASE_URL", "postgresql://d", "database_url", "postgresql://d"),
        ("DCI_STORE_URL", "s3://bucket", "store_url", "s3://bucket"),
        ("DCI_DATA_DIR", "/srv/dci", "store_url", "/srv/dci/files"),
        ("DCI_ADMIN_PASSWORD", "word", "admin_password", "word"),
        ("DCI_SECRETS_KEY", "key", "secrets_key", "key"),
        ("DCI_MAX_UPLOAD_BYTES", "10", "max_upload_bytes", 10),
        ("DCI_MAX_UPLOAD_BYTES", "0", "max_upload_bytes", None),
        ("DCI_CLOSE_JOBS_AFTER_SECONDS", "", "close_jobs_after_seconds", 0),
        ("DCI_CLOSE_JOBS_AFTER_SECONDS", "0", "close_jobs_after_seconds", 0),
        ("DCI_CLOSE_JOBS_AFTER_SECONDS", "86400", "close_jobs_after_seconds", 86_400),
        ("DCI_REMOTECI_SILENT_AFTER_HOURS", "", "remoteci_silent_after_hours", 24),
        ("DCI_REMOTECI_SILENT_AFTER_HOURS", "0", "remoteci_silent_after_hours", 0),
        ("DCI_EVENTS_KEPT_DAYS", "7", "events_kept_days", 7),
        ("DCI_AUDITS_KEPT_DAYS", "7", "audits_kept_days", 7),
        ("DCI_LOG_LEVEL", "DEBUG", "log_level", "debug"),
    ],
)
def test_a_variable_sets_its_setting(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(Settings.from_environment({name: value}), field) == expected


def test_without_variables_the_server_is_local_and_embedded() -> None:
    settings = Settings.from_environment({})

    assert (settings.host, settings.port, settings.workers, settings.database_url) == ("127.0.0.1", 5000, 1, None)
    assert settings.data_dir == Path("data").absolute()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DCI_PORT", "65536"),
        ("DCI_CLOSE_JOBS_AFTER_SECONDS", "59"),
        ("DCI_CLOSE_JOBS_AFTER_SECONDS", "1d"),
        ("DCI_PORT", "-1"),
        ("DCI_PORT", "²"),
        ("DCI_PORT", "9" * 5000),
        ("DCI_WORKERS", "0"),
        ("DCI_WORKERS", "two"),
        ("DCI_MAX_UPLOAD_BYTES", "1G"),
        ("DCI_EVENTS_KEPT_DAYS", "0"),
        ("DCI_LOG_LEVEL", "loud"),
        ("DCI_DATA_DIR", "~nobody-of-that-name/data"),
        ("SSO_URL", "sso.example.org"),
        ("SSO_ISSUER", "https://user:password@sso.example.org"),
        ("SSO_PUBLIC_KEY", "a key without its provider"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:5000"),
        ("hub.example.org", "http://hub.example.org:5000"),
    ],
)
def test_the_address_is_one_that_a_client_can_use(host: str, address: str) -> None:
    assert running.address_of(Settings(host=host)) == address


def test_an_rc_file_survives_any_password_and_a_shell() -> None:
    text = rc_text(DCI_LOGIN="admin", DCI_PASSWORD="it's a $(word)")

    printed = subprocess.run(
        ["sh", "-c", text + 'printf %s "$DCI_PASSWORD${DCI_API_SECRET-}"'],
        env={"DCI_API_SECRET": "of an earlier file"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert printed.stdout == "it's a $(word)"


def test_rc_files_are_private_and_follow_the_server(tmp_path: Path) -> None:
    write_rc(tmp_path / "demo.rc", DCI_CS_URL="http://old", DCI_CLIENT_ID="remoteci/1", DCI_API_SECRET="it's")

    point_at(tmp_path, "http://new")

    assert (tmp_path / "demo.rc").stat().st_mode & 0o777 == 0o600
    assert read_rc(tmp_path / "demo.rc") == {
        "DCI_CS_URL": "http://new", "DCI_CLIENT_ID": "remoteci/1", "DCI_API_SECRET": "it's",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["demo.rc"]


def test_a_refused_port_is_told_with_its_remedy() -> None:
    with running.listen(Settings(port=0)) as taken, pytest.raises(ApiError, match="DCI_PORT"):
        running.listen(Settings(port=taken.getsockname()[1]))
