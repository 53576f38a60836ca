# SPDX-License-Identifier: Apache-2.0
"""HMAC and Basic; each ends in one Identity, the words permissions are said in."""
