# SPDX-License-Identifier: Apache-2.0
"""What is derived from the names of a new component (resources.md §6.3)."""

import pytest

from dci_server.features.components.model import Derived, derive

HASH = "0123456789abcdef0123456789ABCDEF01234567"


@pytest.mark.parametrize(
    ("name", "project", "display_name", "version", "uid"),
    [
        ("RHEL-9.4.0-20240101.0", "", "RHEL-9.4.0-20240101.0", "9.4.0-20240101.0", ""),
        (
            "RHOS-17.1-RHEL-9-20240101.n.1",
            "17.1-RHEL-9",
            "RHOS-17.1-RHEL-9-20240101.n.1",
            "17.1-RHEL-9-20240101.n.1",
            "",
        ),
        ("my-app 1.2.3", "", "my-app 1.2.3", "1.2.3", ""),
        ("registry.test:5000/img:v2", "", "registry.test:5000/img:v2", "v2", ""),
        ("img@sha256 1.0", "", "img@sha256 1.0", "sha256 1.0", ""),
        ("a:b c@d", "", "a:b c@d", "b c@d", ""),
        ("plain", "", "plain", "", ""),
        ("4.14.1", "OpenShift 4.14.1", "OpenShift 4.14.1", "4.14.1", ""),
        ("4.14.1", "Something else 4.14.1", "Something else 4.14.1", "4.14.1", ""),
        ("4.14.1", "Something else", "4.14.1", "", ""),
        (HASH, "git repo abc1234", "git repo abc1234", "abc1234", HASH),
        (HASH, "", HASH, "", HASH),
        (
            "dci-openshift-app-agent 0.5.1-1.el8",
            "dci-openshift-app-agent 0.5.1",
            "dci-openshift-app-agent 0.5.1",
            "0.5.1-1.el8",
            "",
        ),
        ("x RHEL-8 RHEL-9.1", "", "x RHEL-8 RHEL-9.1", "9.1", ""),
        ("RHEL-8.1 RHOS-16", "", "RHEL-8.1 RHOS-16", "16", ""),
        ("x", "OpenShift RHEL-9", "OpenShift RHEL-9", "x", ""),
    ],
)
def test_the_contracts_table_of_derived_names(
    name: str, project: str, display_name: str, version: str, uid: str
) -> None:
    assert derive(name, project) == Derived(display_name, version, uid)


@pytest.mark.parametrize(
    ("name", "version"),
    [("my app:2", "2"), ("img@sha256:abc", "abc"), ("my app@1.0 rc1", "1.0 rc1"), ("ends with:", "")],
)
def test_a_colon_goes_before_an_at_sign_and_both_before_a_space_wherever_they_stand(name: str, version: str) -> None:
    assert derive(name, "").version == version


def test_what_is_almost_a_hash_has_no_uid() -> None:
    assert derive(HASH[:-1], "").uid == ""
    assert derive(HASH + "\n", "").uid == ""
