"""Settings: the file and the code agree, and errors name the key."""

import pytest
import yaml

from src.core.config import DEFAULT_CONFIG, Config, load_config, parse_config
from src.core.errors import ConfigError


def rejected(tmp_path, text: str = "", overrides=()) -> str:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, list(overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_region_that_does_not_exist_lists_the_regions(tmp_path):
    assert rejected(tmp_path, "model: {view: nose}").endswith(
        "model.view = 'nose': allowed: mouth or lower_face, or one per member, such as "
        "mouth+lower_face"
    )
    assert rejected(tmp_path, "training: {device: tpu}").endswith(
        "training.device = 'tpu': allowed: auto, cpu, cuda, cuda:N"
    )


def test_the_file_of_the_project_holds_every_default():
    assert load_config() == Config()
    tree = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    written = {(section, key) for section, keys in tree.items() for key in keys}
    known = {(section, key) for section, keys in Config().model_dump().items() for key in keys}
    assert written == known


def test_every_setting_of_the_file_has_a_comment():
    lines = DEFAULT_CONFIG.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("  ") and ":" in line and not line.strip().startswith("#"):
            assert "#" in line, line


def test_names_the_guide_promises():
    config = Config()
    assert config.data.input_size == 96
    assert (config.model.hidden_dim, config.model.num_layers) == (512, 2)
    training = config.training
    assert (training.batch_size, training.num_epochs, training.save_interval) == (16, 100, 10)
    assert training.device == "cuda"
    assert (training.train_split, training.val_split, training.test_split) == (0.8, 0.1, 0.1)


def test_an_empty_file_gives_the_defaults(tmp_path):
    for text in ("", "data:\n", "data: {}\n"):
        (tmp_path / "a.yaml").write_text(text)
        assert load_config(tmp_path / "a.yaml") == Config()


def test_overrides(tmp_path):
    (tmp_path / "a.yaml").write_text("training: {batch_size: 8, seed: 7}\ndata:\n")
    config = load_config(
        tmp_path / "a.yaml",
        ["training.batch_size=4", "data.video_dir=my clips/ñ", "training.augment=false",
         "data.input_size=64"],
    )  # fmt: skip
    assert (config.training.batch_size, config.training.seed) == (4, 7)
    assert config.data.video_dir == "my clips/ñ"
    assert (config.training.augment, config.data.input_size) == (False, 64)
    assert load_config(None, ["training.batch_size=2", "training.batch_size=3"]).training == (
        Config().training.model_copy(update={"batch_size": 3})
    )


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "0.0001", ".0001"])
def test_numbers_as_people_write_them(tmp_path, text):
    config = load_config(None, [f"training.learning_rate={text}"])
    assert config.training.learning_rate == pytest.approx(1e-4)
    (tmp_path / "a.yaml").write_text(f"training: {{learning_rate: {text}, weight_decay: 0}}")
    assert load_config(tmp_path / "a.yaml").training.learning_rate == pytest.approx(1e-4)


def test_an_unknown_section_is_named_with_the_known_ones(tmp_path):
    text = rejected(tmp_path, "trainning: {}\n")
    assert "trainning" in text and "did you mean training?" in text
    assert all(section in text for section in Config.model_fields)


def test_an_unknown_key_is_named_with_the_known_ones(tmp_path):
    for text in (
        rejected(tmp_path, "training: {batchsize: 4}\n"),
        rejected(tmp_path, "", ["training.batchsize=4"]),
    ):
        assert "training.batchsize" in text and "did you mean batch_size?" in text
        assert all(key in text for key in type(Config().training).model_fields)


@pytest.mark.parametrize("override", ["batch_size=4", "training.batch_size", "a.b.c=1", "=3"])
def test_malformed_overrides_are_rejected(tmp_path, override):
    assert "section.key=value" in rejected(tmp_path, "", [override])


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("data.input_size=100", ["≥ 48", "≤ 256", "multiple of 16"]),
        ("data.input_size=16", ["≥ 48", "≤ 256", "multiple of 16"]),
        ("data.input_size=big", ["whole number", "≥ 48", "≤ 256", "multiple of 16", "big"]),
        ("data.n_mfcc=41", ["≥ 13", "≤ 40", "41"]),
        ("data.fps=30", ["25"]),
        ("data.sample_rate=8000", ["16000"]),
        ("data.detector=haar", ["retinaface", "face_alignment", "haar"]),
        ("training.batch_size=0", ["≥ 1"]),
        ("training.batch_size=2.5", ["whole number", "≥ 1"]),
        ("training.batch_size=true", ["whole number"]),
        ("training.learning_rate=0", ["> 0", "≤ 1"]),
        ("training.learning_rate=fast", ["number", "fast", "> 0", "≤ 1"]),
        ("training.learning_rate=.nan", ["> 0"]),
        ("training.augment=1", ["true or false"]),
        ("training.device=gpu", ["auto, cpu, cuda, cuda:N", "gpu"]),
        ("training.split_by=window", ["clip", "speaker"]),
        ("data.video_dir=[1]", ["text"]),
        ("model.dropout=1", ["≥ 0", "< 1"]),
    ],
)  # fmt: skip
def test_invalid_values_name_the_key_and_every_limit(tmp_path, override, parts):
    text = rejected(tmp_path, "", [override])
    assert override.split("=")[0] in text and "my.yaml" in text
    assert all(part in text for part in parts), text


def test_splits_must_add_up(tmp_path):
    text = rejected(tmp_path, "", ["training.train_split=0.7"])
    assert "train_split + val_split + test_split" in text and "1" in text
    parts = ["training.train_split=0.6", "training.val_split=0.3"]
    assert load_config(None, parts).training.val_split == 0.3


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "just words", "data: [", "data: 5\n", "data: [1, 2]\n", "1: 2\n"]
)
def test_files_that_hold_no_settings(tmp_path, text):
    assert "my.yaml" in rejected(tmp_path, text)


def lines_of_aliases(join: str) -> str:
    """Nine times ten aliases to the line before: 10⁹ values."""
    lines = ["a0: &a0 [x]" if join == "list" else "a0: &a0 {x: 1}"]
    for number in range(1, 10):
        aliases = ", ".join([f"*a{number - 1}"] * 10)
        value = f"[{aliases}]" if join == "list" else f"{{<<: [{aliases}]}}"
        lines.append(f"a{number}: &a{number} {value}")
    return "\n".join(lines)


@pytest.mark.parametrize(("text", "words"), [
    ("training:\n  seed: 4\n  ema: 0.5\n  seed: 8\n", "seed is set twice, again in line 4"),
    ("data: {}\ntraining: {}\ndata: {}\n", "data is set twice, again in line 3"),
    ("training: {seed: 2020-13-45}", "month must be in 1..12"),
    ("training: {seed: " + "1" * 5000 + "}", "5000 digits"),
    ("training: {seed: " + "1" * 4000 + "}", "1e+3999"),
    ("training: {weight_decay: " + "1" * 4000 + "}", "1e+3999"),
    ("training: {weight_decay: .inf}", "≤ 10"),
    ("training: {warmup_epochs: .inf}", "≥ 0"),
    ("training: {warmup_epochs: .nan}", "≥ 0"),
    ("training: {warmup_epochs: 1e999}", "≥ 0"),
    ("training: {seed: 2020-01-02}", "whole number"),
    ("training: &a {seed: *a}", "an alias stands for what contains it"),
    ("training: &a [*a]", "an alias stands for what contains it"),
    ("training: {<<: 3}", "merging"),
    ("? [a, b]\n: 1", "unhashable"),
    (lines_of_aliases("list"), "more than 10000 values"),
    (lines_of_aliases("merge"), "more than 10000 values"),
    ("[" * 5000, "nested too deeply"),
    ("a: " + "x" * (1 << 18), "longer than 262144 characters"),
    ("data: {\x1b[31m: 1}", "not valid YAML"),
    ('data: {"\\e[31m": 1}', "unknown setting data.\\x1b[31m"),
    ("data:\n  ? " + "k" * 100_000 + "\n  : 1", "unknown setting data.kkk"),
])  # fmt: skip
def test_values_that_no_setting_can_have(tmp_path, text, words):
    line = rejected(tmp_path, text)
    assert words in line and "my.yaml" in line and len(line) < 6000


def test_aliases_save_typing(tmp_path):
    text = "cleaning: &c {folds: 4}\ntraining: &t {seed: 7}\ninference: {max_offset_frames: 9}\n"
    (tmp_path / "a.yaml").write_text(text + "data: {min_frames: &n 20, detection_size: 320}\n")
    assert load_config(tmp_path / "a.yaml").training.seed == 7
    (tmp_path / "b.yaml").write_text("training: {seed: &s 9, split_seed: *s}")
    assert load_config(tmp_path / "b.yaml").training.split_seed == 9


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"data: \xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.yaml"):
        load_config(tmp_path / "bytes.yaml")


def test_settings_survive_a_checkpoint():
    config = load_config(None, ["model.hidden_dim=64"])
    assert parse_config(config.model_dump(), "checkpoint") == config
    with pytest.raises(ConfigError, match=r"a\.pth.*old_key"):
        parse_config({"data": {"old_key": 1}}, "a.pth")


def test_settings_are_immutable():
    with pytest.raises(Exception, match="frozen"):
        Config().training.batch_size = 3
