# SPDX-License-Identifier: Apache-2.0
"""HMAC, Basic and Bearer; each ends in one Identity, the words permissions are said in."""
