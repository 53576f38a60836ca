# SPDX-License-Identifier: Apache-2.0
"""A file is what a run leaves behind: a task's output, a log, a JUnit report."""
