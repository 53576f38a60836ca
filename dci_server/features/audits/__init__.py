# SPDX-License-Identifier: Apache-2.0
"""An audit says who tried what."""
