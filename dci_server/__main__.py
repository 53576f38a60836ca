# SPDX-License-Identifier: Apache-2.0
"""`python -m dci_server`: the command where no script directory is on the path."""

from dci_server.cli import main

if __name__ == "__main__":
    main()
