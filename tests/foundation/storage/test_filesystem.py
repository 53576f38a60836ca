# SPDX-License-Identifier: Apache-2.0

import asyncio
import gc
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from dci_server.foundation.errors import Conflict
from dci_server.foundation.storage import ObjectMissing, Store, StoreUnavailable
from dci_server.foundation.storage.filesystem import FilesystemStore

MIB = 1024 * 1024
KEY = "files/blue/job/log"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store"


@pytest.fixture
def store(root: Path) -> Store:
    return FilesystemStore(root)


async def put(store: Store, key: str, content: bytes = b"x") -> None:
    upload = await store.begin()
    await upload.write(content)
    await upload.commit(key)


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_the_key_is_the_path(store: Store, root: Path) -> None:
    await put(store, KEY, b"hello")

    assert files_in(root) == [KEY]
    assert (root / KEY).read_bytes() == b"hello"


async def test_only_the_server_may_look(store: Store, root: Path) -> None:
    await put(store, "files/first")
    await put(store, KEY)

    modes = {path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")] if path.is_dir()}
    assert modes == {0o700}
    assert (root / KEY).stat().st_mode & 0o777 == 0o600


async def test_a_commit_syncs_the_file_and_every_directory_above_it(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def fsync_and_note(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync_and_note)

    await put(store, KEY)

    assert {path.stat().st_ino for path in (root / KEY, *(root / KEY).parents) if path.is_relative_to(root)} <= {
        *synced
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a program say what is not to be cached")
async def test_a_big_upload_does_not_fill_the_cache_of_the_system(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go: list[tuple[int, int]] = []

    def let_go_and_note(descriptor: int, start: int, length: int, advice: int) -> None:
        let_go.append((start, length))
        advise(descriptor, start, length, advice)

    advise = os.posix_fadvise
    monkeypatch.setattr(os, "posix_fadvise", let_go_and_note)
    piece = bytes(range(256)) * 4096
    upload = await store.begin()
    for _ in range(40):
        await upload.write(piece)

    await upload.commit("big")

    assert let_go == [(0, 16 * MIB), (16 * MIB, 16 * MIB)]
    assert [chunk async for chunk in await store.read("big")] == [piece] * 40


async def test_an_abort_removes_the_temporary_file(store: Store, root: Path) -> None:
    upload = await store.begin()
    await upload.write(b"x" * 2 * MIB)
    assert len(files_in(root)) == 1

    await upload.abort()

    assert files_in(root) == []


async def test_a_deletion_gives_empty_directories_back_and_no_others(store: Store, root: Path) -> None:
    await put(store, "files/blue/job/one")
    await put(store, "files/blue/other/two")

    await store.delete("files/blue/job/one")

    assert not (root / "files/blue/job").exists()
    assert files_in(root) == ["files/blue/other/two"]


async def test_uploads_and_deletions_side_by_side_do_not_get_into_each_others_way(store: Store, root: Path) -> None:
    async def come_and_go(name: str) -> None:
        for _ in range(20):
            await put(store, f"files/blue/job/{name}")
            await store.delete(f"files/blue/job/{name}")

    await asyncio.gather(*map(come_and_go, "abcdef"))

    assert files_in(root) == []


async def test_a_directory_removed_at_the_last_moment_is_made_again(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename
    removed: list[Path] = []

    def rename_after_a_deletion(source: Path, target: Path) -> Path:
        if not removed:
            target.parent.rmdir()
            removed.append(target.parent)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", rename_after_a_deletion)

    await put(store, KEY)

    assert removed == [(root / KEY).parent]
    assert files_in(root) == [KEY]


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
async def test_a_file_cannot_take_the_place_of_a_directory(store: Store, root: Path, first: str, second: str) -> None:
    await put(store, first)

    with pytest.raises(Conflict):
        await put(store, second)

    assert files_in(root) == [first]
    assert await store.size(second) is None
    with pytest.raises(ObjectMissing):
        await store.read(second)
    await store.delete(second)
    assert files_in(root) == [first]


def descriptors_of(path: Path) -> int:
    """How often this process has the file open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += descriptor.readlink() == path
    return found


async def test_a_reader_that_never_reads_leaves_no_descriptor_open(store: Store, root: Path) -> None:
    await put(store, KEY, b"x" * 3 * MIB)

    unread = await store.read(KEY)
    started = await store.read(KEY)
    await anext(started)
    opened = descriptors_of(root / KEY)
    del unread, started

    async with asyncio.timeout(30):
        while descriptors_of(root / KEY):
            gc.collect()
            await asyncio.sleep(0)
    assert opened == 2


async def test_a_file_deleted_while_it_is_read_is_read_to_its_end(store: Store) -> None:
    await put(store, KEY, b"x" * 3 * MIB)
    reading = await store.read(KEY)
    first = await anext(reading)

    await store.delete(KEY)

    assert len(first + b"".join([piece async for piece in reading])) == 3 * MIB


async def test_a_file_that_lost_its_end_is_an_error_and_not_a_short_answer(store: Store, root: Path) -> None:
    await put(store, KEY, b"x" * 3 * MIB)
    reading = await store.read(KEY)
    await anext(reading)

    os.truncate(root / KEY, MIB)

    with pytest.raises(StoreUnavailable):
        await anext(reading)


async def test_the_sweep_takes_what_is_abandoned_and_nothing_else(store: Store, root: Path) -> None:
    await put(store, KEY)
    living = await store.begin()
    await living.write(b"x" * MIB)
    abandoned = root / "tmp" / "abandoned"
    abandoned.write_bytes(b"x")
    two_hours_ago = time.time() - 7200
    os.utime(abandoned, (two_hours_ago, two_hours_ago))

    removed = await store.sweep(timedelta(hours=1))

    assert removed == 1
    await living.commit("files/living")
    assert files_in(root) == [KEY, "files/living"]


async def test_the_sweep_of_a_new_store_finds_nothing(store: Store) -> None:
    assert await store.sweep(timedelta()) == 0


async def test_a_killed_process_leaves_nothing_but_work_for_the_sweep(store: Store, root: Path) -> None:
    program = f"""
import asyncio, os, signal
from pathlib import Path
from dci_server.foundation.storage.filesystem import FilesystemStore

async def main():
    upload = await FilesystemStore(Path({str(root)!r})).begin()
    await upload.write(b"x" * 3_000_000)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    died = subprocess.run([sys.executable, "-c", program], check=False)
    assert died.returncode == -signal.SIGKILL

    left = files_in(root)

    assert [Path(name).parent.name for name in left] == ["tmp"]
    assert await store.sweep(timedelta()) == 1
    assert files_in(root) == []


@contextmanager
def no_file_longer_than(length: int) -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_write_that_does_not_fit_leaves_nothing_and_says_so(store: Store, root: Path) -> None:
    upload = await store.begin()

    with no_file_longer_than(2 * MIB), pytest.raises(StoreUnavailable, match="the file store is full: free some space"):
        await upload.write(b"x" * 3 * MIB)

    assert files_in(root) == []
    await upload.abort()


async def test_a_commit_that_does_not_fit_leaves_nothing_and_says_so(store: Store, root: Path) -> None:
    upload = await store.begin()
    await upload.write(b"x" * 5000)

    with no_file_longer_than(4096), pytest.raises(StoreUnavailable, match="full"):
        await upload.commit(KEY)
    await upload.abort()

    assert files_in(root) == []
    assert await store.size(KEY) is None


async def test_a_full_disk_leaves_nothing_and_says_so(root: Path) -> None:
    root.mkdir(parents=True)
    program = f"""
import asyncio
from pathlib import Path
from dci_server.foundation.storage.filesystem import FilesystemStore
from dci_server.foundation.storage.store import StoreUnavailable

async def main():
    root = Path({str(root)!r})
    upload = await FilesystemStore(root).begin()
    try:
        for _ in range(4):
            await upload.write(b"x" * 1024 * 1024)
    except StoreUnavailable as error:
        print(error.message, [path.name for path in root.rglob("*")])

asyncio.run(main())
"""
    mount = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(root)]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no small file system can be mounted here")

    told = subprocess.run([*unshare, sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert told.stdout.strip() == "the file store is full: free some space on its disk, or give it a bigger one ['tmp']"


async def test_a_store_that_cannot_be_written_fails_its_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FilesystemStore(tmp_path / "file" / "below")

    with pytest.raises(StoreUnavailable, match="look at its disk"):
        await store.check()
