"""The conformance kit: does a plugin keep its promises? Behind ``harness check``, and for the tests of plugins."""

from harness.conformance.examination import CHECKS, Promise, checks_for, examine
from harness.conformance.report import Report
from harness.conformance.verdicts import Broken, Check, NotApplicable, Outcome

__all__ = ["CHECKS", "Broken", "Check", "NotApplicable", "Outcome", "Promise", "Report", "checks_for", "examine"]
