"""What a release needs beside the code: its notes, its papers, and a workflow that can publish and knows no secret."""

from __future__ import annotations

import re
import tomllib

import yaml

from tests.packaging.check_install import wanted
from tests.packaging.sources import ROOT, sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = {
    path.name: yaml.safe_load((ROOT / path).read_text()) for path in sources(".yml", below=".github/workflows")
}


def test_the_changelog_begins_with_this_version_or_the_next() -> None:
    sections = re.findall(r"^## (\S+)(?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    versions = [section for section in sections if section[0] != "Unreleased"]
    assert sections.index(versions[0]) <= 1, "one Unreleased, at the top"
    assert versions[0][0] == PROJECT["version"]
    assert all(date for _, date in versions)


def test_the_citation_says_what_the_project_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_issue_forms_have_what_github_asks_for() -> None:
    forms = [path for path in sources(".yml", below=".github/ISSUE_TEMPLATE") if path.name != "config.yml"]
    assert forms
    for path in forms:
        form = yaml.safe_load((ROOT / path).read_text())
        assert {"name", "description", "body"} <= set(form), path
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields) > 0, path
        assert all(field["attributes"]["label"] for field in fields), path


def test_no_workflow_reads_a_secret() -> None:
    texts = {path: (ROOT / path).read_text() for path in sources(".yml", below=".github/workflows")}
    assert not [path for path, text in texts.items() if re.search(r"\bsecrets\b", re.sub(r"#.*", "", text))]
    assert all(workflow["permissions"] == {} for workflow in WORKFLOWS.values())


def test_the_job_that_publishes_builds_nothing() -> None:
    jobs = WORKFLOWS["wheels.yml"]["jobs"]
    (publisher,) = [job for job in jobs.values() if "pypa/gh-action-pypi-publish" in str(job["steps"])]
    assert publisher["environment"] == "pypi"
    assert publisher["permissions"]["id-token"] == "write"
    assert set(publisher["needs"]) == {"sdist", "wheels", "sbom"}
    assert not [step for step in publisher["steps"] if "run" in step]
    assert not [name for name, job in jobs.items() if job is not publisher and "id-token" in job["permissions"]]


def test_what_a_page_installs_from_a_clone_is_asked_of_an_index() -> None:
    page = "```\npip install '.[cli]' pandas\npip install .\n```\n"
    assert wanted([page]) == ["twolane[cli]", "twolane[cli]", "pandas", "twolane"]
