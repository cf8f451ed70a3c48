"""AgreementReport: do two backends give the same answers with the same adapter, on the same items?"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from schemas.document import Count, Document, Fraction, Positive, Section
from schemas.evaluation.eval_report import AdapterReference, BaseReference, Interval
from schemas.training.train_config import Name

BackendName = Literal["hf", "vllm", "endpoint"]


class Share(Section):
    """A share of the items."""

    count: Count
    """Items of which it is true."""
    total: Positive
    """Items compared."""
    share: Fraction
    """count / total."""
    interval: Interval
    """Wilson interval of the share."""


class BackendPace(Section):
    """How one backend did."""

    macro: Fraction
    """Unweighted mean of the tasks' scores."""
    asked: Count
    """Prompts generated for this report; stored answers are not asked again."""
    seconds: float
    """Wall time of generating them, without the start of the engine."""
    samples_per_second: float | None
    """asked / seconds; None where nothing had to be generated."""
    protocol: str
    """What the backend's own report would say of how its answers came about."""


class PairAgreement(Section):
    """Two backends compared item by item."""

    first: BackendName
    """What the other is compared with."""
    second: BackendName
    """The other one."""
    equal_outputs: Share
    """Items with the same text, or the same choice."""
    equal_answers: Share
    """Items from which the same answer is read, an unparsed one included."""
    equal_outcomes: Share
    """Items that count the same; the scores cannot differ by more than the share of those that do not."""
    token_agreement: Fraction
    """Mean over the items of: length of the common beginning in tokens / length of the longer output."""
    token_interval: Interval
    """Bootstrap interval of that mean."""
    score_difference: float
    """Share of right answers over all items, second minus first."""


class AgreementReport(Document):
    """Agreement of the backends on one adapter and suite."""

    title: ClassVar[str] = "agreement report"

    schema_version: Literal["1"] = "1"
    """Version of this schema."""
    suite: Name
    """Name of the suite."""
    created: AwareDatetime
    """When the comparison ended."""
    adapter: AdapterReference
    """The adapter."""
    base: BaseReference
    """Its base."""
    dtype: str
    """Type of the weights."""
    limit: Positive | None
    """Items taken per task; None is all of them."""
    backends: Annotated[dict[BackendName, BackendPace], Field(min_length=2)]
    """By backend, the baseline first."""
    pairs: Annotated[tuple[PairAgreement, ...], Field(min_length=1)]
    """The baseline with each of the others."""
