# SPDX-License-Identifier: Apache-2.0
import base64
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from dci_server.foundation.auth.secret_box import (
    SecretBox,
    UnreadableSecret,
    UnusableKeysError,
    load_or_create_key,
    new_key,
    new_secret,
    read_keys,
)

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
OWNER = uuid4()


def test_new_secrets_have_the_documented_form_and_differ() -> None:
    first, second = new_secret(), new_secret()

    assert re.fullmatch(r"DCI\.[A-Za-z0-9]{60}", first)
    assert first != second


@pytest.mark.parametrize("secret", [new_secret(), "", "ímported ☕"])
def test_what_is_sealed_opens_again_and_cannot_be_read(secret: str) -> None:
    box = SecretBox([OLD])

    sealed = box.seal(secret, OWNER)

    assert box.open(sealed, OWNER) == secret
    assert not secret or secret.encode() not in sealed
    assert box.seal(secret, OWNER) != sealed


def test_a_sealed_secret_does_not_open_for_another_owner() -> None:
    box = SecretBox([OLD])
    sealed = box.seal(new_secret(), OWNER)

    with pytest.raises(UnreadableSecret, match="damaged or belongs to another client"):
        box.open(sealed, uuid4())


@pytest.mark.parametrize("position", range(0, 40, 3))
def test_every_changed_byte_is_noticed(position: int) -> None:
    box = SecretBox([OLD])
    sealed = bytearray(box.seal(new_secret(), OWNER))
    sealed[position] ^= 1

    with pytest.raises(UnreadableSecret):
        box.open(bytes(sealed), OWNER)


@pytest.mark.parametrize("length", [0, 1, 8, 9, 15, 21, 30])
def test_a_truncated_secret_is_noticed(length: int) -> None:
    box = SecretBox([OLD])

    with pytest.raises(UnreadableSecret):
        box.open(box.seal(new_secret(), OWNER)[:length], OWNER)


def test_a_missing_key_is_named_without_showing_anything() -> None:
    sealed = SecretBox([OLD]).seal("hush", OWNER)

    with pytest.raises(UnreadableSecret, match="DCI_SECRETS_KEY") as refusal:
        SecretBox([NEW]).open(sealed, OWNER)

    assert refusal.value.status == 503
    assert "hush" not in refusal.value.message


def test_keys_change_one_row_at_a_time() -> None:
    sealed_before = SecretBox([OLD]).seal("hush", OWNER)
    box = SecretBox([NEW, OLD])

    assert not box.is_current(sealed_before)
    sealed_again = box.seal(box.open(sealed_before, OWNER), OWNER)

    assert box.is_current(sealed_again)
    assert SecretBox([NEW]).open(sealed_again, OWNER) == "hush"


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, OLD[:31]]])
def test_a_box_needs_whole_keys(keys: list[bytes]) -> None:
    with pytest.raises(UnusableKeysError, match="keys of 32 bytes"):
        SecretBox(keys)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (base64.b64encode(OLD).decode(), [OLD]),
        (OLD.hex().upper(), [OLD]),
        (f" {NEW.hex()} ,\n{base64.b64encode(OLD).decode()}\n", [NEW, OLD]),
    ],
)
def test_keys_are_written_in_base64_or_hex(text: str, keys: list[bytes]) -> None:
    assert read_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 1), ("hunter2", 1), (f"{OLD.hex()},", 2), (f"{OLD.hex()},{NEW.hex()[:-2]}", 2), ("é" * 64, 1), ("é" * 44, 1)],
)
def test_an_unusable_key_is_named_by_its_place_and_not_shown(text: str, number: int) -> None:
    with pytest.raises(UnusableKeysError, match=f"key {number} is not 32 bytes in base64 or hex") as refusal:
        read_keys(text)

    assert not text or text not in str(refusal.value)


def test_a_new_key_is_usable() -> None:
    assert len(read_keys(new_key())) == 1


def test_the_key_file_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"

    first, second = load_or_create_key(path), load_or_create_key(path)

    assert first == second
    assert len(read_keys(first)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_of_servers_starting_together_one_makes_the_key(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [path] * 32))

    assert len(keys) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secrets.key"
    load_or_create_key(path)
    path.chmod(mode)

    with pytest.raises(UnusableKeysError, match=f"mode 0{mode:o}.*chmod 600"):
        load_or_create_key(path)


def test_a_key_file_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    path.touch(0o600)

    with pytest.raises(UnusableKeysError, match=r"secrets\.key: .*not 32 bytes"):
        load_or_create_key(path)

    assert path.read_bytes() == b""
