# SPDX-License-Identifier: Apache-2.0
"""A pack is an object that holds the small files of a job that is over."""
