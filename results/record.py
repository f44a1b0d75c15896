"""The record of a finished run as one typed class; `record.schema.json` is generated from it.

T is the number of experiences of the stream; pre-training is not counted. Bytes are bytes, seconds are seconds,
accuracies are shares from 0 to 1. No number may be NaN or infinite: null stands for "not measured".
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


def refuse_non_finite(value: Any, path: str = "") -> None:
    """ValueError with the path of the first number that is NaN or infinite, anywhere in JSON content."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} is not a finite number (null stands for 'not measured')")
    elif isinstance(value, dict):
        for key, item in value.items():
            refuse_non_finite(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            refuse_non_finite(item, f"{path}.{position}" if path else str(position))


def _text(pattern: str, longest: int) -> Any:
    return StringConstraints(pattern=pattern, max_length=longest)


RunId = Annotated[str, _text(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", 255)]
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._/:+-]*$"
Name = Annotated[str, _text(NAME_PATTERN, 120)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
ShortHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{6,64}$")]
SharedSetting = Annotated[str, StringConstraints(pattern=r"^(compressor|classifier|replay|training)(\.[a-z_]+)?$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Seed = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
NOT_TRAINING = ("refresh", "encode", "store")  # kinds of phases that nobody would look for training in
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Series = list[float | None]
Sizes = dict[Text, Count]
Anything = dict[str, Any]
FORBID = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
ALLOW = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


def is_name(text: Any) -> bool:
    """Whether a record can hold something under this name."""
    return isinstance(text, str) and len(text) <= 120 and re.fullmatch(NAME_PATTERN, text) is not None


def about(description: str, **more: Any) -> Any:
    """A field that is required, with its description in the schema."""
    return Field(description=description, **more)


class Protocol(BaseModel):
    """The named rule that the run follows, or `custom`."""

    model_config = FORBID
    id: Name = about("Name and version, such as moving-digits-10/v1, or custom.")
    hash: ShortHash = about("Hash of the rule's fields and the clip table.")
    primary: Name = about("The one metric the protocol is judged by: a name of results.METRICS.")


class Method(BaseModel):
    """The method and its own resolved settings."""

    model_config = FORBID
    name: Name = about("Registered name of the method.")
    settings: Anything = about("The method's own settings, all resolved.")


class Moment(BaseModel):
    """What was carried at one moment."""

    model_config = FORBID
    experience: Annotated[int, Field(ge=-1)] = about("Number of the experience from 0; -1: pre-training.")
    phase: str | None = about("Name of the phase; null or empty at a boundary.")
    at: Literal["start", "end", "boundary"] = about("Start or end of the phase, or boundary between experiences.")
    holders: Sizes = about("Holder -> bytes carried.")
    carried: Count = about("Sum of the holders, bytes.")
    live: Count = about("Bytes of the live model.")
    scratch: Count = about("Bytes of the current experience's own clips and codes.")
    task_local: Sizes = about("What is local to the task: name -> bytes.", default_factory=dict)


class Memory(BaseModel):
    """What the method carried from one moment to the next, in bytes of storage."""

    model_config = FORBID
    budget: Count | None = about("Bytes allowed; null: none (bounds).")
    count: Literal["carried", "total"] = about("What the budget bounds: carried, or carried + live.")
    carried: Sizes = about("Holder -> bytes at the moment of the maximum.")
    carried_max: Count = about("Most bytes carried at any moment measured.")
    per_experience: list[Moment] = about("Every moment measured, in order.")
    live: Count = about("Bytes of the live model at the maximum.")
    total: Count = about("Bytes carried and live together at the maximum.")
    scratch_peak: Count = about("Most bytes of scratch at any moment measured.")
    clips_stored: Count | None = about("Clips in the buffer at the end; null: no buffer.")
    capacity: Count | None = about("Clips that fit in the budget; null: no fixed number.")
    peak_process: Count | None = about("Most resident bytes of the process; circumstance.")


class Counted(BaseModel):
    """Work as the harness counted it by hooks, wherever it happened."""

    model_config = FORBID
    steps: Sizes = about("Phase -> optimizer steps of the module that was moved most often.")
    samples: Sizes = about("Phase -> clips that passed a live module with gradients; views of a clip count once.")


class Work(BaseModel):
    """Work done, by phase."""

    model_config = FORBID
    steps: Sizes = about("Phase -> steps over the whole run.")
    samples: Sizes = about("Phase -> samples over the whole run, replayed ones included.")
    kinds: dict[Text, Text] = about(
        "Phase -> its kind: compressor, refresh, encode, classifier, store, rehearsal. The kind of a phase that is not "
        "named here is its name.", default_factory=dict,
    )  # fmt: skip


class Drift(BaseModel):
    """Measured on a probe of stored clips; shape [T] each, null where nothing is stored or nothing can drift."""

    model_config = ALLOW
    __pydantic_extra__: dict[str, Series | None]
    latent_shift_before: Series | None = about("|e_new(fresh) - e_new(stale)|^2 / (2 var) before the refresh.",
                                               default=None)  # fmt: skip
    latent_shift_after: Series | None = about("The same at the end of the experience.", default=None)
    changed: Series | None = about("Share of stored indices that changed, 0 to 1.", default=None)
    psnr: Series | None = about("Peak signal-to-noise ratio in dB of what the buffer decodes to.", default=None)


class Times(BaseModel):
    """Time taken, in seconds."""

    model_config = FORBID
    total: Seconds = about("Wall time of the run, restarts included.")
    by_phase: dict[str, Seconds] = about(
        "Phase -> wall seconds; rehearsal (drawing and decoding old clips for the compressor) stands apart from its "
        "phase."
    )
    evaluate: Seconds = about("Wall seconds of evaluation.")
    drift: Seconds = about("Wall seconds of the drift probe.")
    cpu_total: Seconds = about("CPU seconds of the process and its children.")


class Git(BaseModel):
    """State of the repository; null outside one."""

    model_config = ALLOW
    commit: str | None = about("Commit hash.")
    dirty: bool | None = about("True with changes that were not committed.")
    diff: str | None = about(
        "What was not committed of the project's folders of code, as git diff prints it (cut behind 100,000 "
        "characters).", default=None,
    )  # fmt: skip


class Record(BaseModel):
    """record.json of a run folder. The fields from `seconds` on are circumstance: equal runs may differ in them."""

    model_config = FORBID
    schema_version: Literal["1"] = about("Version of this schema.", alias="schema")
    run_id: RunId = about("Name of the run's folder: readable prefix and hash of what decides the result.")
    protocol: Protocol
    benchmark: Name = about("Name of the benchmark.")
    label: Text = about("Label column of the clip table whose classes are streamed.")
    setting: Literal["scratch", "pretrained"] = about("Whether an unevaluated pre-training came before the stream.")
    profile: Name = about("Named set of shared settings (small, paper).")
    evaluate: Literal["test", "validation"] = about("Part of the data that accuracies were measured on.")
    method: Method
    bound: bool = about("True for an upper bound without a budget: printed below a rule and never called best.")
    opaque: bool = about("True for a method with a training loop of its own (an Avalanche strategy): started anew "
                         "after a kill, bytes as its adapter counts them.")  # fmt: skip
    seed: Seed = about("Seed of weights and sampling.")
    order_seed: Seed = about("Seed of the class order.")
    class_order: Annotated[list[list[Text]], Field(min_length=1)] = about(
        "Class names of each experience. Shape [T][classes of the task]; in a domain-incremental stream all classes "
        "stand in the first one."
    )
    domains: Annotated[list[Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)] = about(
        "Only of a domain-incremental stream: names of the domains of each experience. Shape [T][domains of the "
        "task].", default_factory=list,
    )  # fmt: skip
    accuracy: Annotated[list[list[Share | None]], Field(min_length=1)] = about(
        "Shape [T][T]: row i = after experience i, column j = items of task j; null where not measured."
    )
    counts: Annotated[list[list[Count | None]], Field(min_length=1)] = about(
        "Shape [T][T]: how many items stand behind each accuracy, null where not measured."
    )
    per_class: dict[Text, list[Share | None]] = about("Class name -> accuracy after each experience. Shape [T] each.")
    classes: Sizes = about("Class name -> number of evaluated items.")
    memory: Memory
    work: Work
    counted: Counted | None = about("Work as the harness counted it; null: not counted.", default=None)
    reference_live: Count | None = about(
        "Bytes of the reference network, the classifier of pixels by the shared settings; null: not known.",
        default=None,
    )  # fmt: skip
    drift: Drift | None = about("What the drift probe measured; null without stored codes.")
    reported: dict[Name, Series] = about(
        "Numbers that the method reports per experience: name -> a value or null. Shape [T] each.",
        default_factory=dict,
    )
    logged: dict[Name, Series] = about(
        "What steps log beside their loss: name -> mean over the steps of the experience that log it, or null. Shape "
        "[T] each.", default_factory=dict,
    )  # fmt: skip
    used_groups: list[SharedSetting] | None = about(
        "Groups of shared settings that the method uses, such as classifier, or single settings of a group, such as "
        "compressor.dim; null: not known. The others decide nothing.", default=None,
    )  # fmt: skip
    skipped_clips: Count | None = about("Clips left out because they cannot be read; null: see bad_files.",
                                        default=None)  # fmt: skip
    bad_files: list[str | Anything] = about("Files that could not be read: a path, or an object with path and reason.")
    config: Anything = about("The whole resolved configuration of the run.")
    clip_table_hash: Hash = about("sha256 of the clip table's content.")
    sources: Hash = about("sha256 of the source files that made the record.")
    earlier_sources: list[Hash] = about(
        "Only with checkpoint.resume=force: sources that made earlier parts of the run.", default_factory=list
    )
    seconds: Times
    git: Git
    versions: dict[str, str | None] = about("Package -> version.")
    device: Text = about("Name of the device the run was made on, such as cpu.")
    precision_used: Text = about("Number format of the training steps, such as float32.")
    deterministic: bool = about("Whether an equal run gives bit-equal numbers.")
    plugin_imports: list[Text] = about(
        "Only of a method from a plug-in: what its file imports of the packages that read clips.", default_factory=list
    )  # fmt: skip
    changed_code: list[Text] = about(
        "Only where code of the harness itself was changed while the run was under way: full names.",
        default_factory=list,
    )  # fmt: skip
    restarts: Count = about("How often the run was continued from a checkpoint.")
    execution: Anything = about("Settings that do not decide the result: launcher, workers, paths.")
    checksum: Hash | None = about("sha256 of the file with 64 zeros in place of this value.", default=None)
    predictions_sha256: Hash | None = about("sha256 of predictions.npz; null: there was none.", default=None)

    @property
    def n_classes(self) -> int:
        """Classes of the whole stream."""
        return sum(map(len, self.class_order))

    @property
    def n_skipped(self) -> int:
        """Clips that were left out because they cannot be read."""
        return len(self.bad_files) if self.skipped_clips is None else self.skipped_clips

    def kind_of(self, phase: str) -> str:
        """The kind of a phase, such as refresh; a phase of which none is recorded is its own kind."""
        return self.work.kinds.get(phase, phase)

    def steps_of(self, kind: str) -> int:
        """Steps of all phases of a kind over the whole run."""
        return sum(steps for phase, steps in self.work.steps.items() if self.kind_of(phase) == kind)

    @property
    def over_budget(self) -> bool:
        """Whether it carried more than its budget (memory.enforce=false): its row stands apart, like a bound's."""
        memory = self.memory
        allowed = self.opaque or self.config.get("memory", {}).get("enforce") is False
        used = memory.total if memory.count == "total" else memory.carried_max
        return allowed and not self.bound and memory.budget is not None and used > memory.budget

    def undeclared_work(self) -> list[str]:
        """What the harness counted and the method did not declare, a text each."""
        if self.counted is None:
            return []
        found = []
        for what, counted, declared in (
            ("optimizer steps", self.counted.steps, self.work.steps),
            ("clips", self.counted.samples, self.work.samples),
        ):
            found += [
                f"{n:,} {what} in phase {phase}, {declared.get(phase, 0):,} declared"
                for phase, n in counted.items() if n > declared.get(phase, 0) * 1.001
            ]  # fmt: skip
        hidden = [f"{n:,} optimizer steps in phase {phase} of kind {self.kind_of(phase)}"
                  for phase, n in self.counted.steps.items()
                  if phase in self.work.steps and self.kind_of(phase) in NOT_TRAINING]  # fmt: skip
        return found + hidden

    def seconds_of(self, kind: str) -> float | None:
        """Wall seconds of all phases of a kind; None if the run had no such phase."""
        times = [seconds for phase, seconds in self.seconds.by_phase.items() if self.kind_of(phase) == kind]
        return math.fsum(times) if times else None

    def drift_of(self, measure: str) -> Series:
        """One measure of the drift probe, shape [T]; empty where it was not taken."""
        return (getattr(self.drift, measure, None) if self.drift else None) or []
