"""The report says the same to people, to CI and to programs, whatever a plugin's messages hold."""

import json
from xml.etree import ElementTree

from harness.conformance import Check, Outcome, Report
from harness.conformance.report import line_of


def outcome(name, status, message="", task="one-shot", seconds=0.25):
    check = Check(name, f"The promise of {name}.", run=lambda subject: None)
    return Outcome(check, "ours", task, status, message, seconds)


HOSTILE = 'found </failure><script> & "quotes" \x00\x1b[31m\ud800; expected none\nTraceback: line 3'
REPORT = Report(
    "ours of tests 1 on cpu",
    [
        outcome("card", "passed", task=""),
        outcome("ordinary", "failed", HOSTILE),
        outcome("no-hidden-sync", "skipped", "needs --device cuda:N"),
    ],
)


def test_people_read_one_line_for_what_passed_and_the_message_of_what_did_not():
    passed, failed, skipped = (line_of(one) for one in REPORT.outcomes)
    assert passed == "passed  card"
    assert failed.startswith("FAILED  one-shot:ordinary: The promise of ordinary.\n        found ")
    assert skipped == "skipped one-shot:no-hidden-sync: needs --device cuda:N"
    assert REPORT.summary == "ours of tests 1 on cpu: 1 passed, 1 failed, 1 skipped in 0.8 s"


def test_junit_holds_every_check_and_survives_hostile_messages(tmp_path):
    REPORT.write_junit(tmp_path / "reports" / "check.xml")
    suite = ElementTree.parse(tmp_path / "reports" / "check.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    cases = {case.get("name"): case for case in suite}
    assert cases["ordinary"].get("classname") == "harness.check.ours.one-shot"
    failure = cases["ordinary"].find("failure")
    assert '</failure><script> & "quotes" \ufffd\ufffd[31m\ufffd' in failure.get("message")
    assert "Traceback: line 3" in failure.text
    assert cases["no-hidden-sync"].find("skipped").get("message") == "needs --device cuda:N"
    assert len(cases["card"]) == 0


def test_json_holds_counts_and_every_check():
    content = json.loads(REPORT.to_json())
    assert (content["passed"], content["failed"], content["skipped"]) == (1, 1, 1)
    assert content["checks"][1]["message"] == HOSTILE
    assert content["checks"][0]["task"] == ""


def test_only_a_failed_check_makes_the_report_fail():
    assert REPORT.failed
    assert not Report("ours", [REPORT.outcomes[0], REPORT.outcomes[2]]).failed
