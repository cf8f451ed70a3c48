"""What is refused before the engine starts."""

from serving.verify.verdict import require_verdict
from serving.verify.verify import Candidate, verify_runs

__all__ = ["Candidate", "require_verdict", "verify_runs"]
