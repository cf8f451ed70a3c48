"""Every document, in the order in which a run makes them."""

from __future__ import annotations

from schemas.adapter_manifest import AdapterManifest
from schemas.agreement_report import AgreementReport
from schemas.document import Document
from schemas.eval_report import EvalReport
from schemas.gate_policy import GatePolicy
from schemas.overhead_report import OverheadReport
from schemas.serving_attestation import ServingAttestation
from schemas.study_config import StudyConfig
from schemas.study_plan import ChosenRates, StudyPlan
from schemas.study_report import StudyReport
from schemas.train_config import TrainConfig
from schemas.verdict import Verdict

DOCUMENTS: tuple[type[Document], ...] = (
    TrainConfig,
    AdapterManifest,
    EvalReport,
    AgreementReport,
    GatePolicy,
    Verdict,
    ServingAttestation,
    OverheadReport,
    StudyConfig,
    StudyPlan,
    ChosenRates,
    StudyReport,
)
