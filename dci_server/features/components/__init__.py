# SPDX-License-Identifier: Apache-2.0
"""A component is a build, or anything else whose version matters to a run."""
