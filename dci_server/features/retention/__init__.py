# SPDX-License-Identifier: Apache-2.0
"""A rule of retention says for how long the rows of test cases, or the content of files, are kept."""
