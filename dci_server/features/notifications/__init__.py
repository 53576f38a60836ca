# SPDX-License-Identifier: Apache-2.0
"""A notification tells somebody what happened: a person by mail, a program by webhook."""
