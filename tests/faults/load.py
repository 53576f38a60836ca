# SPDX-License-Identifier: Apache-2.0
"""Laboratories that report runs while their server dies, and remember what it answered 2xx to.

Whatever they send can be told from its name alone, so that what nobody was told of can be checked as well.
"""

import asyncio
import random
from dataclasses import dataclass, field

import httpx

LABORATORIES = 6
_ACTIONS_PER_JOB = 12
_STATUSES = ("pre-run", "running", "post-run", "success")
_SIZES = {
    "small": (0, 8_000),
    "edge": (65_000, 66_000),
    "big": (70_000, 900_000),
    "junit": (1, 40),
    "suite": (900, 1500),
}


@dataclass
class Answered:
    """The ids of what was answered 2xx, by kind, and how many requests got another answer."""

    jobs: set[str] = field(default_factory=set[str])
    jobstates: set[str] = field(default_factory=set[str])
    files: set[str] = field(default_factory=set[str])
    refused: list[str] = field(default_factory=list[str])


def content_of(name: str) -> bytes:
    """The bytes of the file of that name."""
    kind, seed, amount = name.split(".")
    if kind in ("junit", "suite"):
        cases = "".join(f'<testcase name="case {n}" classname="{seed}" time="1"/>\n' for n in range(int(amount)))
        return f'<testsuite name="{seed}">\n{cases}</testsuite>\n'.encode()
    return random.Random(seed).randbytes(int(amount))


def is_junit(name: str) -> bool:
    return name.startswith(("junit", "suite"))


async def report(
    lab: httpx.AsyncClient, prefix: str, components: list[str], topic: str, answered: Answered, over: asyncio.Event
) -> None:
    """Several laboratories at once, whatever happens to the server."""
    reports = (_report(lab, f"{prefix}.{n}", components, topic, answered, over) for n in range(LABORATORIES))
    await asyncio.gather(*reports)


async def _report(
    lab: httpx.AsyncClient, prefix: str, components: list[str], topic: str, answered: Answered, over: asyncio.Event
) -> None:
    choice = random.Random(prefix)
    number = 0
    while not over.is_set():
        number += 1
        new = {"name": f"{prefix}.{number}", "topic_id": topic, "components": components}
        job = await _sent(lab, answered.jobs, answered, "/jobs", "job", json=new)
        for action in range(_ACTIONS_PER_JOB if job else 0):
            if not over.is_set():
                await _act(lab, job, f"{prefix}-{number}-{action}", choice, answered)


async def _act(lab: httpx.AsyncClient, job: str, seed: str, choice: random.Random, answered: Answered) -> None:
    kind = choice.choice(["jobstate", *_SIZES])
    if kind == "jobstate":
        new = {"job_id": job, "status": choice.choice(_STATUSES), "comment": seed}
        await _sent(lab, answered.jobstates, answered, "/jobstates", "jobstate", json=new)
        return
    name = f"{kind}.{seed}.{choice.randint(*_SIZES[kind])}".replace(f".{seed}.", f".{seed.replace('.', '_')}.")
    headers = {"DCI-NAME": name, "DCI-JOB-ID": job}
    if is_junit(name):
        headers["DCI-MIME"] = "application/junit"
    await _sent(lab, answered.files, answered, "/files", "file", content=content_of(name), headers=headers)


async def _sent(
    lab: httpx.AsyncClient, kept: set[str], answered: Answered, path: str, resource: str, **request: object
) -> str:
    try:
        response = await lab.post(path, **request)  # pyright: ignore[reportArgumentType] # what httpx takes
    except httpx.TransportError:
        await asyncio.sleep(0.05)
        return ""
    if response.status_code != 201:
        answered.refused.append(f"{path} {response.status_code} {response.text[:200]}")
        return ""
    identifier: str = response.json()[resource]["id"]
    kept.add(identifier)
    return identifier
