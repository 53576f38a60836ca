# SPDX-License-Identifier: Apache-2.0
"""`dci-server`: start it, prepare it, look whether it is well."""

import asyncio
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from click.shell_completion import get_completion_class
from rich.console import Console

from dci_server import __version__, demonstration, examination, running
from dci_server.features.files import retention as of_files
from dci_server.features.retention.actions import remove_rule, set_rule
from dci_server.features.retention.model import KINDS, Rule, What
from dci_server.features.test_results import retention as of_cases
from dci_server.foundation.auth.client_secrets import LONGEST_OVERLAP
from dci_server.foundation.auth.secret_box import UnusableKeysError
from dci_server.foundation.database.connection import Connection, open_pool
from dci_server.foundation.database.embedded import EmbeddedPostgresError
from dci_server.foundation.errors import ApiError
from dci_server.foundation.logs import configure_logs
from dci_server.foundation.storage import StoreUrlError, open_store
from dci_server.provisioning import DEMO_TEAM, add_remoteci, rewrap
from dci_server.rc_files import ADMIN_RC, DEMO_RC, rc_text, read_rc
from dci_server.settings import Settings, SettingsError

_TOLD_ERRORS = (ApiError, EmbeddedPostgresError, SettingsError, StoreUrlError, UnusableKeysError, OSError)
"""Their messages are written for the person who reads them."""

_VARIABLES = {
    "host": "DCI_HOST",
    "port": "DCI_PORT",
    "data_dir": "DCI_DATA_DIR",
    "workers": "DCI_WORKERS",
    "database_url": "DATABASE_URL",
    "store_url": "DCI_STORE_URL",
    "max_upload_bytes": "DCI_MAX_UPLOAD_BYTES",
    "log_level": "DCI_LOG_LEVEL",
}

_DEMO_CLOSES_JOBS_AFTER = "3600"

T = TypeVar("T")
Command = Callable[..., None]


def with_settings(command: Command) -> Command:
    """The settings as options; what is not given comes from the environment."""
    options = [
        click.option("--host", help="Address to listen on [127.0.0.1]."),
        click.option("--port", help="Port to listen on [5000]."),
        click.option("--data-dir", help="Embedded database, files, key, rc files [./data]."),
        click.option("--workers", help="Server processes [1]."),
        click.option("--database-url", metavar="URL", help="A PostgreSQL of yours, 15 or newer [embedded]."),
        click.option("--store-url", help="Directory or s3://bucket/prefix [<data-dir>/files]."),
        click.option("--max-upload-bytes", help="The largest file [no limit]."),
        click.option("--log-level", help="debug, info, warning or error [info]."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _settings(options: dict[str, str | None], **defaults: str) -> Settings:
    given = {_VARIABLES[name]: value for name, value in options.items() if value}
    environment = {name: value for name, value in os.environ.items() if value}
    settings = Settings.from_environment({**defaults, **environment, **given})
    configure_logs(settings.log_level)
    return settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dci-server")
@click.option("--debug", is_flag=True, help="Show where an error comes from (also: DCI_DEBUG=1).")
def cli(debug: bool) -> None:
    """The hub that distributed CI laboratories report to.

    Each option of a command is also an environment variable: DCI_HOST, DCI_PORT, DCI_DATA_DIR, DCI_WORKERS,
    DATABASE_URL, DCI_STORE_URL, DCI_MAX_UPLOAD_BYTES, DCI_LOG_LEVEL. Secrets come from the environment alone:
    DCI_ADMIN_PASSWORD (used at the first start) and DCI_SECRETS_KEY.
    """
    if debug:
        os.environ["DCI_DEBUG"] = "1"


@cli.command()
@with_settings
def serve(**options: str | None) -> None:
    """Start the server, on the embedded PostgreSQL unless DATABASE_URL says otherwise; Ctrl-C stops both.

    The first start creates the teams that carry a role and the administrator, whose password is in admin.rc.
    """

    def beside(prepared: running.Prepared) -> None:
        threading.Thread(target=_say_when_ready, args=(prepared, Console(stderr=True)), daemon=True).start()

    _serve(_settings(options), beside, with_demo=False)


@cli.command()
@click.option("--serve", "serving", is_flag=True, help="Start the server first, and keep it after the run.")
@with_settings
def demo(serving: bool, **options: str | None) -> None:
    """Play one complete CI run through the published client, and show how it went."""
    settings = _settings(options, DCI_CLOSE_JOBS_AFTER_SECONDS=_DEMO_CLOSES_JOBS_AFTER)
    console = Console()
    if not serving:
        credentials = _demo_credentials(settings)
        demonstration.wait_until_ready(credentials["DCI_CS_URL"], patience=0)
        demonstration.play(credentials, console)
        return

    def beside(prepared: running.Prepared) -> None:
        threading.Thread(target=_play_beside, args=(prepared, console), daemon=True).start()

    _serve(settings, beside, with_demo=True)


def _say_when_ready(prepared: running.Prepared, console: Console) -> None:
    """Not before it serves. Who has waited too long finds the reason in the log."""
    with suppress(ApiError):
        demonstration.wait_until_ready(prepared.url)
        _say_where(prepared, console)


def _play_beside(prepared: running.Prepared, console: Console) -> None:
    """Beside the server: the first start plays a run, a later one shows the newest."""
    try:
        demonstration.wait_until_ready(prepared.url)
        credentials = _demo_credentials(prepared.settings)
        console.print(f"\ndci-server {__version__} is ready at {prepared.url}\n", highlight=False)
        if not demonstration.play_last(credentials, console):
            console.print("A laboratory reports its first run:\n")
            demonstration.play(credentials, console)
    except Exception as error:  # whatever the demonstration met, the server is well
        _say_error(error)
    _say_where(prepared, console)


def _say_where(prepared: running.Prepared, console: Console) -> None:
    directory = prepared.settings.data_dir
    again = f"{_from_here(_beside_python('dci-server'))} demo"
    if directory != Path("data").absolute():
        again += f" --data-dir {directory}"
    console.print(
        f"\nServing at {prepared.url}  (API documentation: {prepared.url}/docs)", style="bold", soft_wrap=True
    )
    for name, who, command in (
        (DEMO_RC, "the demo laboratory", "job-list"),
        (ADMIN_RC, "the administrator", "team-list"),
    ):
        if (directory / name).exists():
            line = f"  as {who + ':':<22} . {_from_here(directory / name)} && {_from_here(_beside_python('dcictl'))} {command}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if (directory / DEMO_RC).exists():
        console.print(f"  {'another run:':<25} {again}", highlight=False, markup=False, soft_wrap=True)
    console.print("Ctrl-C stops it, and the embedded PostgreSQL with it.\n", highlight=False)


def _beside_python(script: str) -> Path:
    """Installed with the Python that runs us."""
    return Path(sys.executable).with_name(script)


def _from_here(path: Path) -> str:
    """As a person types it in this directory."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _demo_credentials(settings: Settings) -> dict[str, str]:
    path = settings.data_dir / DEMO_RC
    credentials = read_rc(path)
    if "DCI_API_SECRET" not in credentials:
        raise ApiError(f"{path} does not hold a laboratory's credentials; run: dci-server provision --demo")
    return credentials


def _serve(settings: Settings, when_prepared: Callable[[running.Prepared], None], *, with_demo: bool) -> None:
    running.exit_on_sigterm()
    open_store(settings.store_url)  # an address that can't be used is told before anything is started
    with running.listen(settings) as listening:
        keyed = running.with_key(replace(settings, port=listening.getsockname()[1]))
        with running.own_database(keyed) as (ready, postgres):
            prepared = running.prepare_now(ready, with_demo=with_demo)
            when_prepared(prepared)
            running.serve(prepared, listening, postgres)


@cli.command()
@with_settings
def migrate(**options: str | None) -> None:
    """Bring the database to the schema of this version."""
    with running.database(_settings(options)) as settings:
        applied = running.migrate_now(settings)
    click.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do: the schema is current")


@cli.command()
@click.option("--remoteci", help="Also create this laboratory and print its credentials.")
@click.option("--team", default=DEMO_TEAM, show_default=True, help="The team of the laboratory; created when missing.")
@click.option("--rotate", is_flag=True, help="Give a laboratory that exists a new secret.")
@click.option(
    "--overlap",
    type=click.IntRange(0, LONGEST_OVERLAP),
    default=0,
    show_default=True,
    help="With --rotate: for how many seconds the old secret stays valid.",
)
@click.option("--demo/--no-demo", default=False, help="Also set the scene of the demonstration.")
@with_settings
def provision(remoteci: str | None, team: str, rotate: bool, overlap: int, demo: bool, **options: str | None) -> None:
    """Create what a hub needs (again is harmless): the teams with a role, the administrator, a laboratory.

    To point a real laboratory at this server: dci-server provision --remoteci NAME --team TEAM > lab.rc
    """
    if overlap and not rotate:
        raise click.UsageError("--overlap goes with --rotate")
    with running.database(running.with_key(_settings(options))) as settings:
        scene = running.prepare_now(settings, with_demo=demo).scene
        for name, created in ((ADMIN_RC, scene.administrator), (DEMO_RC, scene.remoteci)):
            if created is not None:
                click.echo(f"created; the credentials are in {settings.data_dir / name}", err=True)
        if remoteci is not None:
            _print_remoteci(settings, remoteci, team, rotate=rotate, overlap=overlap)


def _print_remoteci(settings: Settings, name: str, team: str, *, rotate: bool, overlap: int) -> None:
    async def add() -> str:
        pool = await open_pool(settings.database_url or "", size=1)
        try:
            box = running.box_of(settings)
            credentials = await add_remoteci(pool, box, name, team, rotate=rotate, overlap=overlap)
        finally:
            await pool.close()
        if credentials is None:
            raise ApiError(
                f"the remoteci {name} of team {team} exists; its secret can't be shown again, --rotate makes a new one"
            )
        return rc_text(
            DCI_CS_URL=running.address_of(settings),
            DCI_CLIENT_ID=credentials.client_id,
            DCI_API_SECRET=credentials.api_secret,
        )

    with running.explaining_database_errors():
        click.echo(asyncio.run(add()), nl=False)


@cli.command("import")
@click.option(
    "--from", "source", required=True, metavar="URL", envvar="DCI_IMPORT_FROM",
    help="PostgreSQL of the hub that is brought over; in DCI_IMPORT_FROM, `ps` does not show its password.",
)  # fmt: skip
@click.option("--files", metavar="URL", help="Its files of jobs: the container dci-files, a directory or s3://bucket.")
@click.option("--components", metavar="URL", help="Its files of components: the container dci-components.")
@click.option("--report", type=click.Path(dir_okay=False, writable=True), help="Also write the report here, as JSON.")
@click.option("--batch-bytes", type=click.IntRange(min=1), hidden=True)
@with_settings
def import_hub(
    source: str,
    files: str | None,
    components: str | None,
    report: str | None,
    batch_bytes: int | None,
    **options: str | None,
) -> None:
    """Bring an existing control server over: rows, secrets, passwords, files.

    Into a hub that nobody uses yet. Stop the old server first; its database is only read. Interrupted, or killed, it
    goes on where it stopped when the same command is given again. Without --files and --components the rows come alone;
    the bytes may follow in a later run.
    """
    from dci_server.importing import run
    from dci_server.importing.progress import Progress
    from dci_server.importing.report import as_json, as_text

    wanted, chosen = run.Wanted(source, files, components), _settings(options)
    asyncio.run(run.look_at(wanted, chosen.store_url))
    with running.database(running.with_key(chosen)) as settings:
        running.migrate_now(settings)
        with running.explaining_database_errors(), Progress(Console(stderr=True)) as progress:
            brought = asyncio.run(
                run.import_hub(
                    wanted,
                    settings.database_url or "",
                    settings.store_url,
                    running.box_of(settings),
                    progress,
                    batch_bytes=batch_bytes or run.BATCH_BYTES,
                )
            )
    if report is not None:
        Path(report).write_bytes(as_json(brought))
    click.echo(as_text(brought))


@cli.group()
def retention() -> None:
    """For how long the rows of test cases, and the content of files, are kept.

    Reports stay when the rows of their cases go; what is known of files stays when their content goes. Of the rules
    that fit a job the closest counts: topic and team, topic, team, everything. The server follows them every six hours.
    """


def _rule_options(command: Command) -> Command:
    command = click.option("--team", help="Only of this team's jobs.")(command)
    command = click.option("--topic", help="Only of jobs on this topic.")(command)
    return click.option(
        "--what", type=click.Choice(KINDS), default="cases", help="Rows of test cases, or the content of files [cases]."
    )(command)


@retention.command("set")
@_rule_options
@click.option("--days", type=click.IntRange(min=1, max=36_500), help="After how many days; for ever without it.")
@click.option("--keep-tag", "keep_tags", multiple=True, help="Not those of jobs with this tag; may be given again.")
@with_settings
def set_retention(
    what: What,
    topic: str | None,
    team: str | None,
    days: int | None,
    keep_tags: tuple[str, ...],
    **options: str | None,
) -> None:
    """Make a rule, or change the one there is."""
    rule = Rule(what, topic, team, days, list(keep_tags))
    _with_pool(options, lambda pool: set_rule(pool, rule))


@retention.command("unset")
@_rule_options
@with_settings
def unset_retention(what: What, topic: str | None, team: str | None, **options: str | None) -> None:
    """Remove a rule."""
    _with_pool(options, lambda pool: remove_rule(pool, what, topic, team))


@retention.command("show")
@with_settings
def show_retention(**options: str | None) -> None:
    """Each rule, and what would be removed now: a dry run."""

    async def look(pool: Connection) -> tuple[list[of_cases.Expired], list[of_files.Expired]]:
        return await of_cases.list_expired(pool), await of_files.list_expired(pool)

    cases, files = _with_pool(options, look)
    for expired in cases:
        click.echo(_told(expired.rule))
        click.echo(f"  past it: {expired.cases:,} cases of {expired.results:,} reports, about {expired.bytes:,} bytes")
    for past in files:
        click.echo(f"files of {_told(past.rule)}")
        click.echo(
            f"  past it: {past.files:,} files of {past.jobs:,} jobs, {past.objects:,} objects in the store, "
            f"{past.bytes:,} bytes"
        )
    if not cases and not files:
        click.echo("no rule: everything is kept")


def _told(rule: Rule) -> str:
    of = ", ".join([f"topic {rule.topic}"] * (rule.topic is not None) + [f"team {rule.team}"] * (rule.team is not None))
    kept = f", not with the tags {', '.join(rule.keep_tags)}" if rule.keep_tags else ""
    age = "for ever" if rule.days is None else f"{rule.days} days"
    return f"{of or 'everything'}: {age}{kept}"


@retention.command("run")
@with_settings
def run_retention(**options: str | None) -> None:
    """Remove now what is past its rule."""

    async def follow(pool: Connection) -> tuple[of_cases.Removed, of_files.Removed]:
        return await of_cases.remove_expired(pool), await of_files.remove_expired(pool)

    cases, files = _with_pool(options, follow)
    click.echo(f"removed: {cases.cases:,} cases of {cases.results:,} reports")
    if cases.months:
        click.echo(f"dropped whole: {', '.join(cases.months)}")
    if files.files:
        click.echo(
            f"removed: the content of {files.files:,} files of {files.jobs:,} jobs, {files.bytes:,} bytes; "
            f"{files.objects:,} objects leave the store in an hour"
        )


def _with_pool(options: dict[str, str | None], work: Callable[[Connection], Awaitable[T]]) -> T:
    async def run(url: str) -> T:
        pool = await open_pool(url, size=1)
        try:
            return await work(pool)
        finally:
            await pool.close()

    with running.database(_settings(options)) as settings, running.explaining_database_errors():
        return asyncio.run(run(settings.database_url or ""))


@cli.command("rewrap-secrets")
@with_settings
def rewrap_secrets(**options: str | None) -> None:
    """Seal the laboratories' secrets again with the first key of DCI_SECRETS_KEY."""

    async def rewrap_all(settings: Settings) -> int:
        pool = await open_pool(settings.database_url or "", size=1)
        try:
            return await rewrap(pool, running.box_of(settings))
        finally:
            await pool.close()

    with running.database(running.with_key(_settings(options))) as settings, running.explaining_database_errors():
        click.echo(f"sealed again: {asyncio.run(rewrap_all(settings))}")


@cli.command("database-url")
@with_settings
def database_url(**options: str | None) -> None:
    """Print how to reach the database in use: psql "$(dci-server database-url)"."""
    click.echo(running.database_of(_settings(options)))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from dci_server.app import openapi_document

    click.echo(msgspec.json.format(msgspec.json.encode(openapi_document()), indent=2))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes dci-server's commands in a shell: eval "$(dci-server completion bash)"."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "dci-server", "_DCI_SERVER_COMPLETE").source())


@cli.command()
@click.option("--all-objects", is_flag=True, help="Compare all stored objects with the rows, however many there are.")
@with_settings
def doctor(*, all_objects: bool, **options: str | None) -> None:
    """Look at each part: what is configured, whether it can be reached, what to do if not."""
    if not asyncio.run(_print_findings(_settings(options), sys.maxsize if all_objects else examination.MOST_OBJECTS)):
        sys.exit(1)


async def _print_findings(settings: Settings, most_objects: int) -> bool:
    well = True
    async for finding in examination.examine(settings, most_objects):
        click.echo(f"{finding.verdict:<9}{finding.part:<16}{finding.detail}")
        well = well and finding.verdict != "PROBLEM"
    return well


def main() -> None:
    """Errors are one line, without a traceback unless DCI_DEBUG is set; 2 is wrong usage, 1 everything else."""
    try:
        cli.main(prog_name="dci-server", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        click.echo(f"dci-server: {error.format_message()}{_where_help_is(error)}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:  # the last place where an error can be told
        _say_error(error)
        sys.exit(1)


def _where_help_is(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return "" if context is None else f" (see: {context.command_path} --help)"


def _say_error(error: Exception) -> None:
    if os.environ.get("DCI_DEBUG"):
        traceback.print_exception(error)
    message = " ".join(str(error).split())
    if not isinstance(error, _TOLD_ERRORS):
        message = f"something unforeseen ({type(error).__name__}); DCI_DEBUG=1 shows where"
    click.echo(f"dci-server: {message}", err=True)
