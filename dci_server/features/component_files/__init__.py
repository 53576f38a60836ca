# SPDX-License-Identifier: Apache-2.0
"""What a component consists of: files that were uploaded to it, and a tree of files that another system fills."""
