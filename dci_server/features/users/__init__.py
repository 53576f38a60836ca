# SPDX-License-Identifier: Apache-2.0
"""A user is a person who logs in with a password or by single sign-on; teams say what they may do."""
