"""``--json``: what the command really prints is what docs/result.schema.json describes."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from src.checkpoints.location import PRETRAINED
from src.core.notes import LocalOutlier
from src.media.writer import write_wav
from src.pipeline.json_output import result_schema
from src.scoring.result_types import DriftOutOfRange, DriftTooFast, Edge, TooShort, Weak
from tests.support.made_details import made_result, undetermined_result
from tools.synthetic_talker import make_clip
from tools.write_schema import SCHEMA_PATH, schema_text

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")

ROOT = Path(__file__).resolve().parents[2]
SEED, SECONDS, SHIFT_MS = 90_008, 6.0, -240
KINDS = ("score only", "corrected", "undetermined", "failed")
LISTS = {"batch": "batch", "batch, again": "batch", "corrected batch": "batch", "folder": "batch",
         "sounds": "ranking", "videos": "ranking"}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> dict:
    return json.loads((ROOT / "docs/result.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """A synthetic talker whose audio lags, and audio without speech."""
    folder = tmp_path_factory.mktemp("pair")
    make_clip(folder / "late.mp4", SEED, SECONDS, shift_ms=SHIFT_MS)
    noise = np.random.default_rng(0).normal(0, 0.05, round(16000 * SECONDS))
    write_wav(folder / "noise.wav", noise.astype(np.float32))
    return folder / "late.mp4", folder / "noise.wav"


@pytest.fixture(scope="module")
def cached_results() -> dict:
    """Results of the module so far, by kind."""
    return {}


@pytest.fixture
def results(cached_results, pair, command, tmp_path) -> dict:
    """What the command prints for each kind of result; run once."""
    if not cached_results:
        video, noise = pair
        options = ("--checkpoint", PRETRAINED, "--video", video, "--json", "--device", "cpu")
        output = ("--output", tmp_path / "out.mp4")
        runs = {
            "score only": ("--score-only",), "corrected": output,
            "undetermined": ("--audio", noise, "--score-only"),
            "failed": ("--audio", noise, "--output", tmp_path / "not.mp4"),
        }  # fmt: skip
        for kind, more in runs.items():
            status, out, err = command(*options, *more)
            assert status == (1 if kind == "failed" else 0), (kind, err)
            cached_results[kind] = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    return cached_results


@pytest.fixture(scope="module")
def cached_lists() -> dict:
    """Lists of results of the module so far, by kind."""
    return {}


@pytest.fixture
def lists(cached_lists, pair, command, tmp_path) -> dict:
    """What the command prints of several pairs, one of which cannot be read; run once."""
    if not cached_lists:
        video, noise = pair
        (tmp_path / "list.csv").write_text(f"{video}\n{video},{noise}\nnone.mp4\n")
        (tmp_path / "one.csv").write_text(f"{video}\n")
        (tmp_path / "v").mkdir()
        (tmp_path / "v" / "noise.mp4").write_bytes(video.read_bytes())
        common = ("--checkpoint", PRETRAINED, "--json", "--device", "cpu")
        runs = {
            "batch": (1, "--batch", tmp_path / "list.csv", "--score-only"),
            "batch, again": (1, "--batch", tmp_path / "list.csv", "--score-only"),
            "corrected batch": (0, "--batch", tmp_path / "one.csv", "--summary",
                                tmp_path / "2.csv"),
            "folder": (1, "--video-dir", tmp_path / "v", "--audio-dir", noise.parent,
                       "--score-only", "--summary", tmp_path / "3.csv"),
            "sounds": (0, "--find-audio", video, noise, video, tmp_path / "none.wav"),
            "videos": (1, "--find-video", noise, video, tmp_path / "none.mp4"),
        }  # fmt: skip
        for kind, (expected, *options) in runs.items():
            batch = ("--workers", 1, "--output", tmp_path) if LISTS[kind] == "batch" else ()
            status, out, err = command(*common, *options, *batch)
            assert status == expected and len(out.splitlines()) == 1, (kind, err)
            cached_lists[kind] = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    return cached_lists


def list_schema(schema: dict, name: str) -> dict:
    """The schema of one of the lists."""
    return {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": f"#/$defs/{name}"}


def numbers(value) -> list[float]:
    """All numbers in a result."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, (int, float)) else []


def undescribed(value, schema: dict, root: dict, path: str = "") -> list[str]:
    """Keys that the schema allows but does not know."""
    schema = resolved(value, schema, root)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return [f"{path}.{key}" for key in value if key not in known] + [
            unknown
            for key in value.keys() & known.keys()
            for unknown in undescribed(value[key], known[key], root, f"{path}.{key}")
        ]
    if isinstance(value, list) and "items" in schema:
        return [
            unknown for part in value for unknown in undescribed(part, schema["items"], root, path)
        ]
    return []


def resolved(value, schema: dict, root: dict) -> dict:
    """The schema of a value: references followed, null left out, its code looked up."""
    if "$ref" in schema:
        return resolved(value, root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root)
    if "discriminator" in schema and isinstance(value, dict):
        reference = schema["discriminator"]["mapping"][value["code"]]
        return resolved(value, {"$ref": reference}, root)
    for choice in schema.get("anyOf", []):
        if value is not None and choice.get("type") != "null":
            return resolved(value, choice, root)
    return schema


def errors_of(value, schema: dict) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


# --- the file and the types


def test_schema_is_valid(schema):
    Draft202012Validator.check_schema(schema)


def test_file_is_generated_from_the_types(schema):
    assert schema == result_schema()
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(), "run: make schema"


NOTE = LocalOutlier(start_s=1.0, end_s=3.0, offset_ms=80.0, after_correction=False)
REASONS = [
    ("too_short", TooShort(required_ms=480)), ("weak", Weak()), ("edge", Edge(limit_ms=600)),
    ("edge", DriftTooFast(drift_ppm=5e4, limit_ppm=45000)),
    ("edge", DriftOutOfRange(drift_ppm=1.0, time_s=1.0, limit_ms=1, max_offset_frames=None)),
]  # fmt: skip


def test_every_reason_and_note_is_described(schema):
    made = made_result("v.mp4", "a.wav", 2.0)
    noted = made.model_copy(update={"notes": [NOTE]})
    silent = [undetermined_result(made, reason, status) for status, reason in REASONS]
    for result in (noted, *silent):
        value = {"score": result.score, "details": result.to_dict()}
        assert errors_of(value, schema) == [] and undescribed(value, schema, schema) == []
    value = {"score": 0.5, "details": noted.to_dict()}
    for key in NOTE.model_dump():
        spoilt = copy.deepcopy(value)
        del spoilt["details"]["notes"][0][key]
        assert errors_of(spoilt, schema), key


# --- one pair


def test_what_the_command_prints_is_as_described(results, schema):
    for kind in KINDS:
        assert errors_of(results[kind], schema) == [], kind
        assert undescribed(results[kind], schema, schema) == [], kind
        assert all(math.isfinite(number) for number in numbers(results[kind])), kind


def test_kinds_are_as_documented(results):
    assert set(results["score only"]) == {"score", "details"}
    assert results["score only"]["details"]["offset_ms"] == pytest.approx(SHIFT_MS, abs=80)
    assert results["corrected"]["success"] is True and results["corrected"]["output"]
    assert results["undetermined"]["score"] is None
    assert results["undetermined"]["details"]["status"] == "no_speech"
    assert results["failed"]["success"] is False and results["failed"]["output"] is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result.pop("score"),
        lambda result: result.update(score=1.2),
        lambda result: result["details"].update(status="fine"),
        lambda result: result["details"].update(offset_ms=None),
        lambda result: result["details"].update(undetermined=True),
        lambda result: result["details"].update(reason={"code": "weak", "text": "why"}),
        lambda result: result["details"].update(notes=["a sentence"]),
        lambda result: result["details"].update(notes=[{"code": "unknown", "text": "why"}]),
        lambda result: result["details"].pop("verdict"),
        lambda result: result["details"]["tracks"][0].pop("boxes"),
        lambda result: result["details"]["timeline"].update(kind="drift"),
        lambda result: result["details"]["per_second"].append("0.5"),
        lambda result: result.update(success=True, message="done", output=None),
        lambda result: result.update(success=True),
    ],
)
def test_schema_rejects_what_is_no_result(results, schema, spoil):
    spoilt = copy.deepcopy(results["score only"])
    spoil(spoilt)
    assert not Draft202012Validator(schema).is_valid(spoilt)


def test_lists_that_the_command_prints_are_as_described(lists, schema):
    for kind, name in LISTS.items():
        assert errors_of(lists[kind], list_schema(schema, name)) == [], kind
        assert undescribed(lists[kind], schema["$defs"][name], schema) == [], kind
        assert all(math.isfinite(number) for number in numbers(lists[kind])), kind


def test_lists_hold_values_and_not_texts(lists, pair):
    video, noise = map(str, pair)
    determined, undetermined, unreadable = rows = lists["batch"]
    assert rows == lists["batch, again"], "read from the table of the first run"
    assert (determined["video"], determined["audio"], determined["success"]) == (video, None, True)
    assert type(determined["score"]) is float
    assert determined["offset_ms"] == pytest.approx(SHIFT_MS, abs=80)
    assert (undetermined["audio"], undetermined["status"]) == (noise, "no_speech")
    assert undetermined["success"] is False and undetermined["score"] is None
    assert unreadable["status"] is None and "none.mp4" in unreadable["message"]
    assert Path(lists["corrected batch"][0]["output"]).name == "late_synced.mp4"
    assert lists["folder"][0]["audio"] == noise
    assert lists["sounds"][0]["audio"] == video
    assert lists["sounds"][0]["details"]["offset_ms"] == pytest.approx(SHIFT_MS, abs=80)
    assert lists["videos"][-1]["details"] is None and not lists["videos"][0]["success"]


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("batch", lambda row: row.update(success="True")),
        ("batch", lambda row: row.update(score="0.5")),
        ("batch", lambda row: row.update(audio="")),
        ("batch", lambda row: row.update(offset_ms=None)),
        ("batch", lambda row: row.update(status="fine")),
        ("batch", lambda row: row.update(success=False, output="v.mp4")),
        ("batch", lambda row: row.pop("fingerprint")),
        ("sounds", lambda row: row.update(details=None)),
        ("sounds", lambda row: row.update(output="v.mp4")),
        ("sounds", lambda row: row.pop("message")),
    ],
)
def test_schema_rejects_what_is_no_list_of_results(lists, schema, kind, spoil):
    spoilt = copy.deepcopy(lists[kind])
    spoil(spoilt[0])
    assert not Draft202012Validator(list_schema(schema, LISTS[kind])).is_valid(spoilt)


@pytest.mark.parametrize("page", ["result.md", "result.zh-CN.md"])
def test_pages_explain_every_key(schema, page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    parts = [schema, *(part for part in schema["$defs"].values() if "properties" in part)]
    keys = {key for part in parts for key in part["properties"]}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []
