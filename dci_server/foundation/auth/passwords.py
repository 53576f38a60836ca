# SPDX-License-Identifier: Apache-2.0
"""Passwords at rest, and verdicts on the ones that are sent."""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from dci_server.foundation.auth.imported_passwords import is_imported, verify_imported
from dci_server.foundation.errors import ApiError

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_LONGEST_PASSWORD = 4096
_AT_ONCE = 2  # 19 MiB each


def hash_password(password: str) -> str:
    """Takes tens of milliseconds: not for the event loop."""
    if (known := _usable(password)) is None:
        raise ApiError(f"password: at most {_LONGEST_PASSWORD} bytes of UTF-8, without a NUL character")
    return _HASHER.hash(known)


def needs_rehash(stored_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's, or by something else."""
    try:
        return _HASHER.check_needs_rehash(stored_hash)
    except InvalidHashError:
        return True


@cache
def _stand_in() -> str:
    """The hash that is computed when there is none: of a password that nobody has."""
    return _HASHER.hash(secrets.token_bytes(32))


def _usable(password: str) -> bytes | None:
    if len(password) > _LONGEST_PASSWORD or "\0" in password:
        return None
    try:
        encoded = password.encode()
    except UnicodeEncodeError:
        return None
    return encoded if len(encoded) <= _LONGEST_PASSWORD else None


class PasswordVerdicts:
    """Says whether a password is right, and remembers for some minutes that it was.

    Wrong ones are not remembered: each guess costs a full computation, and guesses cannot push good verdicts out.
    """

    def __init__(
        self, *, entries: int = 1024, lifetime: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries = entries
        self._lifetime = lifetime
        self._clock = clock
        self._process_key = secrets.token_bytes(32)
        self._stand_in = _stand_in()
        self._good_until: OrderedDict[bytes, float] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, "password")
        # One at a time, and apart: they take a second, and nobody else shall wait for them.
        self._pool_for_imported = ThreadPoolExecutor(1, "imported password")

    async def verify(self, stored_hash: str | None, password: str, *, subject: str) -> bool:
        """`stored_hash` is None when there is no such user or no password; that takes as long (decision 22)."""
        known = _usable(password)
        if known is None:
            # At once: it depends on the password alone, so the time tells nothing about the account.
            return False
        question = self._fingerprint(subject, stored_hash, known)
        if self.remembers(question):
            return True
        running = self._running.get(question) or self._start(question, stored_hash, known)
        # Shielded, because others may be waiting for the same verdict.
        return await asyncio.shield(running)

    def question(self, stored_hash: str | None, password: str, *, subject: str) -> bytes | None:
        """What stands for this question without its password; None when the answer can only be no."""
        known = _usable(password)
        return None if known is None else self._fingerprint(subject, stored_hash, known)

    async def hash(self, password: str) -> str:
        """`hash_password` off the event loop, with as few at once as verdicts. Raises ApiError for an unusable one."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, hash_password, password)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._pool_for_imported.shutdown(cancel_futures=True)

    def _fingerprint(self, subject: str, stored_hash: str | None, password: bytes) -> bytes:
        digest = hashlib.blake2b(digest_size=32, key=self._process_key)
        for part in (subject.encode(errors="surrogatepass"), (stored_hash or "").encode(errors="surrogatepass")):
            digest.update(len(part).to_bytes(8, "big") + part)
        digest.update(password)
        return digest.digest()

    def remembers(self, question: bytes) -> bool:
        good_until = self._good_until.get(question)
        if good_until is None:
            return False
        if self._clock() >= good_until:
            del self._good_until[question]
            return False
        self._good_until.move_to_end(question)
        return True

    def _start(self, question: bytes, stored_hash: str | None, password: bytes) -> asyncio.Future[bool]:
        def finish(verdict: asyncio.Future[bool]) -> None:
            del self._running[question]
            if not verdict.cancelled() and verdict.exception() is None and verdict.result():
                self._remember(question)

        pool = self._pool_for_imported if stored_hash is not None and is_imported(stored_hash) else self._pool
        running = asyncio.get_running_loop().run_in_executor(pool, self._compute, stored_hash, password)
        self._running[question] = running
        running.add_done_callback(finish)
        return running

    def _compute(self, stored_hash: str | None, password: bytes) -> bool:
        if stored_hash is not None and is_imported(stored_hash):
            return verify_imported(stored_hash, password)
        if stored_hash is not None:
            try:
                return _HASHER.verify(stored_hash, password)
            except VerifyMismatchError:
                return False
            except (VerificationError, ValueError):
                pass  # Unreadable: as if there were no password.
        with suppress(VerifyMismatchError):
            _HASHER.verify(self._stand_in, password)
        return False

    def _remember(self, question: bytes) -> None:
        self._good_until[question] = self._clock() + self._lifetime
        if len(self._good_until) > self._entries:
            self._good_until.popitem(last=False)
