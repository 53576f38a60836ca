# SPDX-License-Identifier: Apache-2.0
"""Who may see and change a component's files: who may read the component, and who may change all of it (decision 6)."""

from dci_server.features.components import access as components

READ = components.READ
UPLOAD = components.CREATE
DELETE = components.DELETE
