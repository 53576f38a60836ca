# SPDX-License-Identifier: Apache-2.0
"""An event says that something happened, to what, and whose it is; events have increasing ids."""
