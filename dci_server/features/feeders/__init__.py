# SPDX-License-Identifier: Apache-2.0
"""A feeder is a program of the vendor that signs its requests and creates topics and components."""
