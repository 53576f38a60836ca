# SPDX-License-Identifier: Apache-2.0
"""Events: written by triggers in the transaction of their cause, numbered after it, told to whoever follows."""
