# SPDX-License-Identifier: Apache-2.0
"""One complete CI run of a laboratory, played through the published client and told as it happens."""

import time
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dci_server.foundation.errors import ApiError
from dci_server.provisioning import DEMO_TOPIC

_LOG = """\
Installing the compose on node-1 ... ok
Running the smoke tests ... ok
"""
_JUNIT = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="smoke">
    <testcase classname="boot" name="kernel boots" time="12.5"/>
    <testcase classname="boot" name="services are up" time="3.25"/>
    <testcase classname="net" name="address by DHCP" time="1.5"/>
    <testcase classname="net" name="SR-IOV" time="0"><skipped message="no such card in this laboratory"/></testcase>
  </testsuite>
</testsuites>
"""


def _client() -> Any:
    try:
        from dciclient.v1.api import (  # pyright: ignore[reportMissingTypeStubs]
            context,
            file,
            identity,
            job,
            jobstate,
            topic,
        )
    except ImportError as error:
        raise ApiError("the demonstration needs the published client: pip install 'dci-server[demo]'") from error
    return {"context": context, "file": file, "identity": identity, "job": job, "jobstate": jobstate, "topic": topic}


def play(credentials: dict[str, str], console: Console) -> str:
    """The id of the job. Each step is told when it has been done."""
    api = _client()
    context = api["context"].build_signature_context(
        dci_cs_url=credentials["DCI_CS_URL"],
        dci_client_id=credentials["DCI_CLIENT_ID"],
        dci_api_secret=credentials["DCI_API_SECRET"],
        max_retries=3,
    )

    def told(step: str, answer: Any, detail: str = "") -> dict[str, Any]:
        if not answer.ok:
            raise ApiError(f"the run stopped at '{step}': {answer.status_code} {answer.text[:300]}")
        console.print(f"  [green]✓[/green] {step:<32} {detail}", highlight=False)
        return answer.json()

    answer = api["identity"].get(context)
    team: str = next(iter(answer.json()["identity"]["teams"].values()))["team_name"] if answer.ok else ""
    told("who am I", answer, f"a laboratory of team {team}")
    topics = told("find the topic by name", api["topic"].list(context, where=f"name:{DEMO_TOPIC}"), DEMO_TOPIC)
    topic_id = topics["topics"][0]["id"]
    listed = api["topic"].list_components(context, topic_id, limit=5, offset=0)
    newest = listed.json()["components"][0]["name"]
    told("list its newest components", listed, newest)
    job = told("create a job", api["job"].schedule(context, topic_id, name="demo", comment="A first run"))["job"]
    for status, comment in (("pre-run", "preparing the machines"), ("running", "installing and testing")):
        told(f"state {status}", api["jobstate"].create(context, status, comment, job["id"]), comment)
    state = api["jobstate"].create(context, "post-run", "collecting what is left behind", job["id"])
    told("state post-run", state, "collecting what is left behind")
    upload = api["file"].create
    told("upload a log", upload(context, "install.log", content=_LOG, job_id=job["id"]), "install.log")
    report = upload(context, "smoke", content=_JUNIT, mime="application/junit", job_id=job["id"])
    told("upload a JUnit report", report, "smoke")
    told("state success", api["jobstate"].create(context, "success", "all is well", job["id"]), "all is well")
    show(api["job"].get(context, job["id"]).json()["job"], console)
    return job["id"]


def play_last(credentials: dict[str, str], console: Console) -> bool:
    """Shows the newest job that is there; False when there is none."""
    api = _client()
    context = api["context"].build_signature_context(
        dci_cs_url=credentials["DCI_CS_URL"],
        dci_client_id=credentials["DCI_CLIENT_ID"],
        dci_api_secret=credentials["DCI_API_SECRET"],
        max_retries=3,
    )
    answer = api["job"].list(context, limit=1, offset=0)
    if not answer.ok or not answer.json()["jobs"]:
        return False
    found = answer.json()
    console.print(f"  {found['_meta']['count']} job(s) kept; the newest:")
    show(api["job"].get(context, found["jobs"][0]["id"]).json()["job"], console)
    return True


def show(job: dict[str, Any], console: Console) -> None:
    """A job as a person would like to see it."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Job", escape(f"{job['name'] or job['id']} ({job['id']})"))
    facts.add_row("Status", f"{job['status']} after {job['duration']} s")
    facts.add_row("Topic", escape(job["topic"]["name"]))
    facts.add_row("Laboratory", escape(f"{job['remoteci']['name']} of team {job['team']['name']}"))
    facts.add_row("Components", escape(", ".join(component["name"] for component in job["components"])))
    console.print()
    console.print(facts)
    states = Table("State", "At (UTC)", "After", "Comment", title="States", title_justify="left")
    begun = _moment(job["created_at"])
    for state in job["jobstates"]:
        moment = _moment(state["created_at"])
        after = f"{(moment - begun).total_seconds():.2f} s"
        states.add_row(state["status"], moment.strftime("%H:%M:%S"), after, escape(state["comment"] or ""))
    console.print(states)
    files = Table("File", "Type", "Bytes", title="Files", title_justify="left")
    for file in job["files"]:
        files.add_row(escape(file["name"]), escape(file["mime"] or ""), str(file["size"]))
    console.print(files)
    tests = Table(
        "Report", "Tests", "Passed", "Failed", "Errors", "Skipped", "Time", title="Tests", title_justify="left"
    )
    for result in job["results"]:
        counts = (result[name] for name in ("total", "success", "failures", "errors", "skips"))
        tests.add_row(escape(result["name"]), *(str(count) for count in counts), f"{result['time']} s")
    console.print(tests)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(
        text if "." not in text else text.partition(".")[0] + "." + text.partition(".")[2].ljust(6, "0")
    )


def wait_until_ready(url: str, patience: float = 30) -> None:
    import urllib.error
    import urllib.request

    end = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 # our own address
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if time.monotonic() > end:
            raise ApiError(
                f"no server is ready at {url}; start one with: dci-server serve (or look: dci-server doctor)"
            )
        time.sleep(0.1)
