"""config.yaml -> typed settings.

Every setting has a type and a range here and a comment in ``config.yaml``. Unknown keys, wrong
types and impossible values are rejected with the key's name and what is allowed.
"""

import difflib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..i18n.messages import N_, tr
from .constants import FPS, N_MELS, SAMPLE_RATE
from .errors import ConfigError
from .resources import resource_path
from .yaml_text import parse_yaml

DEFAULT_CONFIG = resource_path("config.yaml")

MAX_COUNT = 2**31 - 1  # of anything: seeds, steps and frames are numbers of 64 bits at most

# Random changes of training samples (``training.augmentation``).
Change = Literal[
    "place", "stretch", "warp", "flip", "gamma", "exposure", "shade", "blur", "coarse", "patch",
    "grain",
    "voice", "tilt", "hiss", "babble", "reverb", "masks",
]  # fmt: skip


def _per_member(*names: str) -> str:
    """A pattern of one of these names, or of one per ensemble member, joined by ``+``."""
    name = f"({'|'.join(names)})"
    return rf"^{name}(\+{name})*$"


VIEW_PATTERN = _per_member("lower_face", "mouth")
TEMPORAL_PATTERN = _per_member("none", "tcn", "gru", "transformer")
DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d+)?)$"
ALLOWED_BY_PATTERN = {
    VIEW_PATTERN: N_("mouth or lower_face, or one per member, such as mouth+lower_face"),
    TEMPORAL_PATTERN: N_("none, tcn, gru or transformer, or one per member, such as tcn+none"),
    DEVICE_PATTERN: "auto, cpu, cuda, cuda:N",
}


class Section(BaseModel):
    """A group of settings: unknown keys are rejected, nothing is coerced, and it is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Where clips are and how they become samples."""

    video_dir: str = "data/videos"
    audio_dir: str = "data/audios"
    processed_dir: str = "data/processed"
    input_size: int = Field(96, ge=48, le=256, multiple_of=16)
    # A Literal takes no names: these are the values of ``constants``, and no others are allowed.
    fps: Literal[25] = FPS
    sample_rate: Literal[16000] = SAMPLE_RATE
    n_mfcc: int = Field(N_MELS, ge=13, le=N_MELS)
    detector: Literal["retinaface", "face_alignment"] = "retinaface"
    detection_size: int = Field(320, ge=160, le=1920)
    detect_every: int = Field(2, ge=1, le=10)
    min_score: float = Field(0.8, gt=0, lt=1)
    min_face_size: int = Field(20, ge=8, le=2000)
    max_faces: int = Field(4, ge=1, le=20)
    track: Literal["largest", "longest"] = "largest"
    max_lost_frames: int = Field(10, ge=0, le=50)
    min_frames: int = Field(15, ge=12, le=MAX_COUNT)
    format: Literal["files", "shards"] = "files"
    shards: str = ""
    shard_mb: float = Field(256.0, ge=0.1, le=100_000)
    skip_damaged: bool = False
    verify_shards: bool = False
    num_workers: int = Field(0, ge=0, le=256)
    clip_timeout_s: float = Field(7200.0, ge=0, le=604800)


class ModelConfig(Section):
    """The size of the network."""

    embedding_dim: int = Field(256, ge=8, le=2048)
    hidden_dim: int = Field(512, ge=8, le=4096)
    num_layers: int = Field(2, ge=1, le=8)
    dropout: float = Field(0.4, ge=0, lt=1)
    members: int = Field(1, ge=1, le=8)
    view: str = Field("mouth", pattern=VIEW_PATTERN)
    temporal: str = Field("none", pattern=TEMPORAL_PATTERN)

    @model_validator(mode="after")
    def _one_for_all_members_or_each(self):
        if self.view.count("+") + 1 not in (1, self.members):
            raise ValueError(tr("view must be one region, or one per member"))
        if self.temporal.count("+") + 1 not in (1, self.members):
            raise ValueError(tr("temporal must be one block, or one per member"))
        return self


class TrainingConfig(Section):
    """How the network is trained."""

    batch_size: int = Field(16, ge=1, le=MAX_COUNT)
    num_epochs: int = Field(100, ge=1, le=MAX_COUNT)
    learning_rate: float = Field(0.001, gt=0, le=1)
    weight_decay: float = Field(0.1, ge=0, le=10)
    warmup_epochs: float = Field(5.0, ge=0)
    clip_frames: int = Field(32, ge=16, le=1000)
    speaker_balance: float = Field(0.5, ge=0, le=1)
    augment: bool = True
    augment_without: list[Change] = ["warp", "shade", "coarse", "babble", "reverb"]
    negatives: Literal["clip", "batch"] = "clip"
    ema: float = Field(0.0, ge=0, lt=1)
    device: str = Field("cuda", pattern=DEVICE_PATTERN)
    loader_workers: int = Field(0, ge=0, le=256)
    sync_batch_norm: bool = True
    save_interval: int = Field(10, ge=1, le=MAX_COUNT)
    save_steps: int = Field(0, ge=0, le=MAX_COUNT)
    keep_checkpoint_max: int = Field(5, ge=0, le=MAX_COUNT)
    monitor: Literal["val_loss", "val_acc", "val_offset_acc"] = "val_loss"
    train_split: float = Field(0.8, gt=0, lt=1)
    val_split: float = Field(0.1, gt=0, lt=1)
    test_split: float = Field(0.1, gt=0, lt=1)
    split_by: Literal["clip", "speaker"] = "clip"
    split_seed: int = Field(42, ge=0, le=MAX_COUNT)
    seed: int = Field(42, ge=0, le=MAX_COUNT)
    init_from: str = "none"
    tracker: Literal["tensorboard", "wandb", "swanlab"] = "tensorboard"

    @model_validator(mode="after")
    def _splits_sum_to_one(self):
        if abs(self.train_split + self.val_split + self.test_split - 1) > 1e-6:
            raise ValueError(tr("train_split + val_split + test_split must be 1"))
        return self


class CleaningConfig(Section):
    """How clip offsets are measured."""

    folds: int = Field(3, ge=2, le=20)
    rounds: int = Field(3, ge=1, le=20)
    epochs: int = Field(8, ge=1, le=MAX_COUNT)
    still_ms: float = Field(3.0, ge=0)


class PathsConfig(Section):
    """Where results are written."""

    checkpoint_dir: str = "checkpoints"
    log_dir: str = "logs"
    output_dir: str = "outputs"


class InferenceConfig(Section):
    """How a pair is scored."""

    max_offset_frames: int = Field(15, ge=4, le=100)
    far_offset_s: float = Field(4.0, ge=0, le=15)
    min_offset_probability: float = Field(0.5, ge=0, le=1)


class Config(Section):
    """All settings of the project, by section."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    cleaning: CleaningConfig = CleaningConfig()
    paths: PathsConfig = PathsConfig()
    inference: InferenceConfig = InferenceConfig()


def load_config(path: str | Path | None = None, overrides: list[str] | None = None) -> Config:
    """Read the settings.

    Args:
        path: a YAML file; None: the project's ``config.yaml``.
        overrides: ``["training.batch_size=4", …]``, applied on top; values are read as YAML.

    Raises:
        ConfigError: the file is missing or not YAML; a key is unknown; a value is not allowed.
    """
    path = Path(path) if path else DEFAULT_CONFIG
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(
            tr("cannot read the settings {path}: {why}", path=path, why=error.strerror)
        ) from None
    except ValueError as error:  # also bytes that are not UTF-8
        raise ConfigError(tr("{path} is not valid YAML: {why}", path=path, why=error)) from None
    if not isinstance(tree, dict):
        raise ConfigError(tr("{path} is not valid YAML: {why}", path=path, why="no sections"))
    for override in overrides or []:
        _apply(tree, override)
    return parse_config(tree, str(path))


def with_overrides(config: Config, overrides: list[str], origin: str) -> Config:
    """Settings with ``["section.key=value", …]`` applied on top.

    Raises:
        ConfigError.
    """
    tree = config.model_dump()
    for override in overrides:
        _apply(tree, override)
    return parse_config(tree, origin)


def parse_config(tree: dict, origin: str) -> Config:
    """Check a nested dict of settings; ``origin`` names it in messages.

    Raises:
        ConfigError: naming the first offending key and what is allowed there.
    """
    try:
        return Config.model_validate(_whole_floats(tree))
    except ValidationError as error:
        raise ConfigError(f"{origin}: {_explain(error.errors()[0])}") from None


def parse_stored_config(tree: object, origin: str) -> Config:
    """As ``parse_config``, of the settings in a checkpoint or an export, possibly an earlier one.

    Raises:
        ConfigError.
    """
    if isinstance(tree, dict) and isinstance(tree.get("model"), dict):
        # Before these could be set, every network used the lower face and convolutions over time.
        tree = tree | {"model": {"view": "lower_face", "temporal": "tcn"} | tree["model"]}
    return parse_config(tree, origin)


def override_key(override: str) -> str:
    """``section.key`` of ``section.key=value``."""
    return override.partition("=")[0].strip()


def _apply(tree: dict, override: str) -> None:
    _, equals, text = override.partition("=")
    parts = override_key(override).split(".")
    if not equals or len(parts) != 2:
        raise ConfigError(
            tr(
                "--set {override}: write section.key=value, for example training.batch_size=4",
                override=override,
            )
        )
    try:
        value = parse_yaml(text)
    except ValueError:
        value = text
    if tree.get(parts[0]) is None:
        tree[parts[0]] = {}
    if isinstance(tree[parts[0]], dict):
        tree[parts[0]][parts[1]] = value


def _whole_floats(tree: dict) -> dict:
    """Let ``weight_decay: 0`` and ``learning_rate: 1e-4`` (a string in YAML 1.1) be numbers."""
    result = {}
    for name, section in tree.items():
        field = Config.model_fields.get(name)
        if field is None or not isinstance(section, dict):
            result[name] = {} if section is None else section
            continue
        fields = field.annotation.model_fields
        result[name] = {
            key: _as_float(value) if key in fields and fields[key].annotation is float else value
            for key, value in section.items()
        }
    return result


def _as_float(value):
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return value
    try:
        return float(value)
    except (ValueError, OverflowError):  # also numbers of more than 308 digits
        return value


def _explain(error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        section = Config if len(error["loc"]) == 1 else _section(error["loc"][0])
        known = list(section.model_fields)
        matches = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        text = tr("unknown setting {key}; allowed: {known}", key=key, known=", ".join(known))
        return text + (tr(" — did you mean {near}?", near=matches[0]) if matches else "")
    if error["type"] == "value_error":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    return tr("{key} = {value!r}: {why}", key=key, value=error["input"], why=_reason(error))


def _reason(error: dict) -> str:
    context = error.get("ctx", {})
    kinds = {
        "int_type": N_("a whole number is required"),
        "float_type": N_("a number is required"),
        "bool_type": N_("true or false is required"),
        "string_type": N_("a text is required"),
        "list_type": N_("a list is required, such as [flip, blur]"),
        "model_type": N_("a section with settings is required"),
    }
    if error["type"] in kinds:
        return ", ".join([tr(kinds[error["type"]]), *_limits(error["loc"])])
    if error["type"] == "literal_error":
        return tr("allowed: {expected}", expected=context["expected"])
    if error["type"] == "string_pattern_mismatch":
        hint = ALLOWED_BY_PATTERN[context["pattern"]]
        return tr("allowed: {expected}", expected=tr(hint))
    return tr("allowed: {expected}", expected=", ".join(_limits(error["loc"])) or error["msg"])


def _limits(location: tuple) -> list[str]:
    """Every limit of a setting's value, not only the violated one."""
    if len(location) != 2 or location[1] not in _section(location[0]).model_fields:
        return []
    rules = _section(location[0]).model_fields[location[1]].metadata
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [
        f"{sign} {getattr(rule, name)}"
        for name, sign in signs.items()
        for rule in rules
        if hasattr(rule, name)
    ]
    return limits + [
        tr("multiple of {step}", step=rule.multiple_of)
        for rule in rules
        if hasattr(rule, "multiple_of")
    ]


def _section(name: str) -> type[Section]:
    return Config.model_fields[name].annotation
