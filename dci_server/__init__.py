# SPDX-License-Identifier: Apache-2.0
"""`dci-server`: the hub that distributed CI laboratories report to."""

__version__ = "0.1.0"
