# SPDX-License-Identifier: Apache-2.0
"""An upload is a big file on its way in pieces: who was cut off continues where it was (the TUS protocol, 1.0)."""
