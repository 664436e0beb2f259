"""Validators of GitHub workflows: schemas, Hopline's policy, the inputs of actions, and zizmor's audits.

zizmor reports actions that are not pinned and dangerous triggers. The policy is stricter: tokens have only the
permissions that a job lists, jobs have timeouts, and no expression is part of a script.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from checks.action_inputs import check_inputs
from checks.findings import Finding
from checks.json_schemas import CHECK_JSONSCHEMA, check_file
from checks.programs import Program
from checks.validators import Validator

ZIZMOR = Program("zizmor", "pip install zizmor")

FOLDER = Path(".github/workflows")
DEPENDABOT = Path(".github/dependabot.yml")
NIGHTLY = "make chaos"
"""The command that a scheduled workflow must run, so that a regression is found within a day."""

_VERSION = re.compile(r"# (v\d+(?:\.\d+)*)\b")


def check_schemas(root: Path) -> Iterator[Finding]:
    """Check workflows and Dependabot's configuration with their schemas."""
    for file in _workflows(root):
        yield from check_file(root, file, "vendor.github-workflows")
    if (root / DEPENDABOT).is_file():
        yield from check_file(root, DEPENDABOT, "vendor.dependabot")


def check_policy(root: Path) -> Iterator[Finding]:
    """Check all workflows with Hopline's rules."""
    for file in _workflows(root):
        text = (root / file).read_text(encoding="utf-8")
        if workflow := _parsed(text):
            yield from _check_workflow(file, workflow)
        for name, job in _jobs(text):
            yield from _check_job(f"{file} job {name}", job)
    texts = [(root / file).read_text(encoding="utf-8") for file in _workflows(root)]
    if not any(_runs_every_day(text, NIGHTLY) for text in texts):
        yield Finding(str(FOLDER), f"no workflow runs {NIGHTLY} every day", "add a daily cron to on.schedule")


def check_action_inputs(root: Path) -> Iterator[Finding]:
    """Report inputs that an action does not have."""
    for file in _workflows(root):
        text = (root / file).read_text(encoding="utf-8")
        versions = dict(_uses(text))
        for name, job in _jobs(text):
            for step in job.get("steps") or []:
                action = step.get("uses", "./")
                if not action.startswith("./"):
                    version = versions.get(action, "")
                    yield from check_inputs(f"{file} job {name}", action, version, step.get("with") or {})


def audit(root: Path) -> Iterator[Finding]:
    """Run zizmor, which finds known vulnerabilities of workflows, without a network."""
    found = [".github"] if _workflows(root) else []
    options = ("--offline", "--quiet", "--no-progress", "--no-exit-codes", "--format", "json-v1")
    done = ZIZMOR.run(*options, *found, cwd=root) if found else None
    if done is None:
        return
    if done.returncode:
        yield Finding(".github", f"zizmor failed: {done.stderr.strip()}", "make it valid YAML")
        return
    for finding in json.loads(done.stdout):
        primary = next(location for location in finding["locations"] if location["symbolic"]["kind"] == "Primary")
        file = primary["symbolic"]["key"]["Local"]["verbatim_path"]
        line = primary["concrete"]["location"]["start_point"]["row"] + 1
        yield Finding(f"{file}:{line}", finding["desc"], f"see {finding['ident']} of zizmor")


def _workflows(root: Path) -> list[Path]:
    return sorted(file.relative_to(root) for file in (root / FOLDER).glob("*.y*ml"))


def _parsed(text: str) -> dict[Any, Any]:
    """Return the workflow; empty if it is invalid, which the schema's validator reports."""
    try:
        workflow = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return workflow if isinstance(workflow, dict) else {}


def _jobs(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from (_parsed(text).get("jobs") or {}).items()


def _uses(text: str) -> Iterator[tuple[str, str]]:
    """Yield the action and the version in the comment of each `uses`, except of local actions."""
    lines = text.splitlines()
    try:
        pending = [yaml.compose(text, Loader=yaml.SafeLoader)]
    except yaml.YAMLError:  # the schema's validator reports it
        return
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "uses" and not value.value.startswith("./"):
                    end = value.end_mark
                    found = _VERSION.search(lines[end.line], end.column)
                    yield value.value, found[1] if found else ""
            pending.extend(value for _, value in node.value)


def _runs_every_day(text: str, command: str) -> bool:
    """Return whether a step of the workflow runs the command, and a schedule has a time for every day."""
    workflow = _parsed(text)
    triggers = workflow.get("on", workflow.get(True))  # YAML 1.1 reads `on` as a truth value
    crons = [schedule["cron"] for schedule in (triggers.get("schedule", ()) if isinstance(triggers, dict) else ())]
    steps = [step for _, job in _jobs(text) for step in job.get("steps") or []]
    is_daily = any(cron.split()[2:] == ["*", "*", "*"] for cron in crons)
    return is_daily and any(command in step.get("run", "") for step in steps)


def _check_workflow(file: Path, workflow: Mapping[Any, Any]) -> Iterator[Finding]:
    if workflow.get("permissions") != {}:
        yield Finding(str(file), "jobs have default permissions", "add permissions: {} at the top")
    if "concurrency" not in workflow:
        yield Finding(str(file), "two runs may run at the same time", "add concurrency: with a group")


def _check_job(place: str, job: Mapping[str, Any]) -> Iterator[Finding]:
    if not isinstance(job.get("permissions"), dict):
        yield Finding(place, "its token has default permissions", "list its permissions")
    if "uses" not in job and "timeout-minutes" not in job:
        yield Finding(place, "it may run for six hours", "set timeout-minutes")
    for step in job.get("steps") or []:
        action = step.get("uses", "")
        if action.startswith("actions/checkout@") and (step.get("with") or {}).get("persist-credentials") is not False:
            yield Finding(place, "checkout leaves the token on disk for later steps", "set persist-credentials: false")
        if "${{" in step.get("run", ""):
            yield Finding(place, "an expression is part of a script", "pass it by env: and quote the variable")


VALIDATORS: Sequence[Validator] = (
    Validator(name="workflows: schema", check=check_schemas, needs=[CHECK_JSONSCHEMA]),
    Validator(name="workflows: policy", check=check_policy),
    Validator(name="workflows: inputs of actions", check=check_action_inputs),
    Validator(name="workflows: audit by zizmor", check=audit, needs=[ZIZMOR]),
)
