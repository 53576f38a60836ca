# SPDX-License-Identifier: Apache-2.0
"""OpenStack Swift with its S3 interface in one process: `python swift_s3.py DIRECTORY SECRET_KEY`.

Runs in an environment of its own (`tests/s3.py` makes it). Prints its port when it serves, and ends with its parent, whose
end closes the standard input. The access key is `test:tester`; what is not signed with the secret one is refused.
"""

# ruff: noqa: ARG002, E402 # Swift's names; eventlet replaces parts of the standard library before anything uses them.
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false
import eventlet

eventlet.monkey_patch()

import sys
from pathlib import Path

from eventlet import wsgi
from swift.account.server import AccountController
from swift.common import utils
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp
from swift.container.server import ContainerController
from swift.obj.server import ObjectController

PROXY = """
[DEFAULT]
swift_dir = {directory}
log_level = CRITICAL
[pipeline:main]
pipeline = cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
recheck_account_existence = 3600
recheck_container_existence = 3600
[filter:cache]
paste.filter_factory = __main__:cache_factory
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
auth_pipeline_check = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret_key} .admin
[filter:slo]
use = egg:swift#slo
"""


class Memory(dict):
    """What Swift keeps in memcached elsewhere."""

    def get(self, key, default=None, raise_on_error=False):
        return super().get(key, default)

    def set(self, key, value, **_options):
        self[key] = value

    def delete(self, key, server_key=None):
        self.pop(key, None)


def cache_factory(_global, **_local):
    memory = Memory()

    def with_cache(application):
        def call(environment, start_response):
            environment["swift.cache"] = memory
            return application(environment, start_response)

        return call

    return with_cache


def serve(application):
    listening = eventlet.listen(("127.0.0.1", 0))
    eventlet.spawn(wsgi.server, listening, application, log_output=False, protocol=SwiftHttpProtocol)
    return listening.getsockname()[1]


def main():
    directory, secret_key = Path(sys.argv[1]), sys.argv[2]
    (directory / "disk").mkdir()
    utils.HASH_PATH_PREFIX, utils.HASH_PATH_SUFFIX = b"tests", b"tests"
    conf = {"devices": str(directory), "swift_dir": str(directory), "mount_check": "false", "log_level": "CRITICAL",
            "disable_fallocate": "true", "fallocate_reserve": "0"}  # fmt: skip
    for kind, controller in (
        ("account", AccountController),
        ("container", ContainerController),
        ("object", ObjectController),
    ):
        port = serve(controller(conf, utils.get_logger(conf)))
        ring = RingBuilder(0, 1, 1)
        ring.add_dev(
            {"region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "meta": ""}
        )
        ring.rebalance()
        ring.get_ring().save(str(directory / f"{kind}.ring.gz"))
    proxy = directory / "proxy.conf"
    proxy.write_text(PROXY.format(directory=directory, secret_key=secret_key))
    print(serve(loadapp(str(proxy))), flush=True)
    # A greenlet's read: the servers go on meanwhile.
    eventlet.tpool.execute(sys.stdin.read)


main()
