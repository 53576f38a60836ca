# SPDX-License-Identifier: Apache-2.0
"""A job is one CI run of a remoteci: a topic, the components it tested, how it ended."""
