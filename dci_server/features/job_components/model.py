# SPDX-License-Identifier: Apache-2.0
"""The shapes of a job's components."""

import msgspec
from msgspec import Struct

from dci_server.features.components.model import Component
from dci_server.foundation.shapes import Count, Id


class ComponentToAttach(Struct, frozen=True, kw_only=True):
    id: Id


class ComponentsOfJobAnswer(Struct):
    components: list[Component]
    meta: Count = msgspec.field(name="_meta")
