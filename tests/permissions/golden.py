# SPDX-License-Identifier: Apache-2.0
"""`matrix.txt`: what each caller is answered, a line for each route and target, for people to review."""

from collections.abc import Mapping, Sequence
from pathlib import Path

PATH = Path(__file__).with_name("matrix.txt")

Block = Mapping[str, Sequence[str]]
"""By target, what each caller is answered."""

_LEFT = 34
_HEAD = """\
# What each caller is answered for a valid request on each target: the status, and for lists after a slash the number of
# things that are seen. Written by `pytest tests/permissions --rewrite-matrix`; a change of it is a change of permissions.
"""


def read() -> dict[str, dict[str, list[str]]]:
    blocks: dict[str, dict[str, list[str]]] = {}
    for line in PATH.read_text().splitlines() if PATH.exists() else ():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith(" "):
            target, _, answers = line.strip().partition("|")
            blocks[next(reversed(blocks))][target.strip()] = answers.split()
        else:
            blocks[line.split("  ")[0].strip()] = {}
    return blocks


def write(blocks: Mapping[str, Block], callers: Sequence[str], order: Sequence[str]) -> None:
    """In the order of the table; blocks of routes that are not in it are left out."""
    PATH.write_text(
        _HEAD + "".join("\n" + _render(route, blocks[route], callers) for route in order if route in blocks)
    )


def _render(route: str, block: Block, callers: Sequence[str]) -> str:
    widths = [max(len(caller), 6) + 1 for caller in callers]
    names = "".join(f"{caller:<{width}}" for caller, width in zip(callers, widths, strict=True))
    lines = [f"{route}", f"# {'':<{_LEFT}}| {names}".rstrip()]
    for target, answers in block.items():
        cells = "".join(f"{answer:<{width}}" for answer, width in zip(answers, widths, strict=True))
        lines.append(f"  {target:<{_LEFT}}| {cells}".rstrip())
    return "\n".join(lines) + "\n"
