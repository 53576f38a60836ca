# SPDX-License-Identifier: Apache-2.0
"""A remoteci is a laboratory that signs its requests with a secret."""
