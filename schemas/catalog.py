"""Every document, in the order in which a run makes them."""

from __future__ import annotations

from schemas.document import Document
from schemas.evaluation.agreement_report import AgreementReport
from schemas.evaluation.eval_report import EvalReport
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.suite_file import SuiteFile
from schemas.evaluation.verdict import Verdict
from schemas.serving.overhead_report import OverheadReport
from schemas.serving.serving_attestation import ServingAttestation
from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import ChosenRates, StudyPlan
from schemas.studies.study_report import StudyReport
from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import TrainConfig

DOCUMENTS: tuple[type[Document], ...] = (
    TrainConfig,
    AdapterManifest,
    SuiteFile,
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
