# SPDX-License-Identifier: Apache-2.0
import pytest

from dci_server.foundation.listing.columns import Column


def test_an_enum_without_members_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match=r"jobs\.state"):
        Column("jobs.state", "enum")
