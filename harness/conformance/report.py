"""What every check said, for people, for CI (JUnit XML) and for programs (JSON)."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from harness.api.dataclass import dataclass
from harness.conformance.verdicts import Outcome

SCHEMA = "harness.check/1"
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Report:
    """All outcomes of one method; ``subject`` says which method, version, device and weights."""

    subject: str
    outcomes: Sequence[Outcome]

    @property
    def failed(self) -> bool:
        """Whether a promise is broken."""
        return any(outcome.status == "failed" for outcome in self.outcomes)

    @property
    def summary(self) -> str:
        """``28 passed, 1 failed, 2 skipped in 3.1 s``."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        said = ", ".join(f"{counts[status]} {status}" for status in ("passed", "failed", "skipped") if counts[status])
        return f"{self.subject}: {said or 'nothing checked'} in {self.seconds:.1f} s"

    @property
    def seconds(self) -> float:
        """How long all checks took."""
        return sum(outcome.seconds for outcome in self.outcomes)

    def to_json(self) -> str:
        """The report as JSON, one newline at the end."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        content = {
            "schema": SCHEMA,
            "subject": self.subject,
            "passed": counts["passed"],
            "failed": counts["failed"],
            "skipped": counts["skipped"],
            "seconds": round(self.seconds, 3),
            "checks": [
                {
                    "check": outcome.check.name,
                    "task": outcome.task,
                    "promise": outcome.check.promise,
                    "status": outcome.status,
                    "message": outcome.message,
                    "seconds": round(outcome.seconds, 3),
                }
                for outcome in self.outcomes
            ],
        }
        return json.dumps(content, indent=2) + "\n"

    def to_junit(self) -> str:
        """The report as JUnit XML."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        suite = ElementTree.Element(
            "testsuite",
            name=_clean(f"harness check {self.subject}"),
            tests=str(len(self.outcomes)),
            failures=str(counts["failed"]),
            errors="0",
            skipped=str(counts["skipped"]),
            time=f"{self.seconds:.3f}",
        )
        for outcome in self.outcomes:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=_clean(f"harness.check.{outcome.method}.{outcome.task or 'card'}"),
                name=_clean(outcome.check.name),
                time=f"{outcome.seconds:.3f}",
            )
            if outcome.status != "passed":
                kind = {"failed": "failure", "skipped": "skipped"}[outcome.status]
                first, _, _ = outcome.message.partition("\n")
                said = ElementTree.SubElement(case, kind, message=_clean(first))
                said.text = _clean(f"{outcome.message}\npromise: {outcome.check.promise}")
        root = ElementTree.Element("testsuites")
        root.append(suite)
        ElementTree.indent(root)
        return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"

    def write_junit(self, path: Path) -> None:
        """Write the JUnit XML, making its folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_junit(), encoding="utf-8")


def line_of(outcome: Outcome) -> str:
    """One outcome for people: a line, and for what did not pass what was said, indented."""
    word = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped"}[outcome.status]
    head = f"{word} {outcome.label}" + (f" ({outcome.seconds:.1f} s)" if outcome.seconds >= 1 else "")
    if outcome.status == "passed":
        return head
    if outcome.status == "skipped":
        return f"{head}: {outcome.message}"
    return f"{head}: {outcome.check.promise}\n{textwrap.indent(outcome.message.rstrip(), '        ')}"


def _clean(text: str) -> str:
    """The text without characters XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
