# SPDX-License-Identifier: Apache-2.0
"""Files on their way to the store and back: from one in a row of the database to one of a gigabyte."""

from typing import NamedTuple

from benchmarks.load import Laboratory, LoadError, Payload, Play, follow
from benchmarks.scenarios import MEBIBYTE, Scenario, log_text, prepare, upload


class _Size(NamedTuple):
    """`most` bounds the plays and so what is left on the disk, `connections` those who play at once."""

    name: str
    payload: Payload
    most: int
    connections: int | None
    warm_up: int


def transfer_scenarios(big_mebibytes: int, *, redirects: bool) -> list[Scenario]:
    """`redirects` for a store that has addresses of its own to download from."""
    piece = log_text(MEBIBYTE)
    sizes = [
        _Size("2 KiB", Payload.of(log_text(2048)), 20_000, None, 10),
        _Size("1 MiB", Payload.of(piece), 500, None, 2),
        _Size("100 MiB", Payload.of(piece, 100), 8, 2, 1),
    ]
    if big_mebibytes:
        sizes.append(_Size(f"{big_mebibytes} MiB", Payload.of(piece, big_mebibytes), 1, 1, 0))
    found = [_scenario("file", size, upload(size.payload)) for size in sizes]
    found += [_scenario("download", size, _download(size.payload), is_of_a_file=True) for size in sizes]
    if redirects:
        # The smallest is in the database: there is no other place to send its reader to.
        for size in sizes[1:]:
            found.append(_scenario("redirect", size, _redirect, is_of_a_file=True, is_transfer=False))
            found.append(_scenario("redirect and download", size, _follow(size.payload), is_of_a_file=True))
    return found


def _scenario(what: str, size: _Size, play: Play, *, is_of_a_file: bool = False, is_transfer: bool = True) -> Scenario:
    return Scenario(
        f"{what}, {size.name}",
        play,
        most=size.most if is_transfer else 20_000,
        connections=size.connections,
        warm_up=size.warm_up,
        transferred_bytes=size.payload.size if is_transfer else 0,
        preparation=_prepare_file(size.payload) if is_of_a_file else None,
    )


def _prepare_file(payload: Payload) -> Play:
    async def play(laboratory: Laboratory) -> None:
        await prepare(laboratory)
        await laboratory.upload_to_read("benchmark", payload)

    return play


def _download(payload: Payload) -> Play:
    async def play(laboratory: Laboratory) -> None:
        arrived = await laboratory.connection.download(f"/api/v1/files/{laboratory.file_id}/content")
        _require_whole(payload, arrived.size)

    return play


async def _redirect(laboratory: Laboratory) -> None:
    """What is ours of a download that the store answers."""
    await _location(laboratory)


def _follow(payload: Payload) -> Play:
    async def play(laboratory: Laboratory) -> None:
        _require_whole(payload, await follow(await _location(laboratory)))

    return play


async def _location(laboratory: Laboratory) -> str:
    arrived = await laboratory.connection.download(f"/api/v2/files/{laboratory.file_id}/content")
    if arrived.location is None:
        raise LoadError("the server has sent a file that it could have redirected to")
    return arrived.location


def _require_whole(payload: Payload, size: int) -> None:
    if size != payload.size:
        raise LoadError(f"a file of {payload.size} bytes came back with {size}")
