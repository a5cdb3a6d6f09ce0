"""``src/serve.py``: what it refuses, what it loads, and a real service with a real worker."""

import os
import re
import subprocess
import sys
from json import loads
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from src import serve
from src.service.options import TOKEN_VARIABLE
from tests.support.limits import HANG_S
from tests.support.page_server import running_server
from tests.support.training_helpers import call_script
from tools.synthetic_talker import make_clip

pytest.importorskip("fastapi", reason="fastapi is not installed (requirements-service.txt)")
httpx = pytest.importorskip("httpx", reason="httpx is not installed (requirements-dev.txt)")

ROOT = Path(__file__).resolve().parents[2]
SEED, SECONDS, SHIFT_MS = 90_008, 6.0, -240
TOO_HIGH_MS = (30, 80)  # of the pretrained model on drawn faces (docs/answers.md)
TOKEN = "open-sesame"
MAX_MB = 5
CHINESE = {"Accept-Language": "zh-CN"}


# ---------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "give it a --token"),
        (["--port", "0"], "--port: must be 1 to 65535"),
        (["--max-size", "0"], "--max-size: must be more than 0"),
        (["--max-jobs", "0"], "--max-jobs: must be more than 0"),
        (["--keep", "nan"], "--keep: must be more than 0"),
        (["--token", "two words"], "without spaces"),
        (["--presenters", "nowhere"], "--presenters nowhere: there is no such folder"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, said, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    done = call_script("src/serve.py", *arguments)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--api", "--password", "x"], "give it a --token"),
        (["--api", "--host", "0.0.0.0", "--password", "x"], "give it a --token"),
        (["--token", "x"], "--token, --presenters: only with --api"),
    ],
)
def test_the_page_refuses_a_service_that_is_open_to_more(arguments, said, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    done = call_script("app.py", *arguments)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]


def test_the_token_may_be_in_the_environment(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["serve.py", "--host", "0.0.0.0"])
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert serve.token_of(serve.parse_arguments()) == TOKEN


def test_what_is_not_installed_is_said_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = call_script("src/serve.py")
    assert done.returncode == 2
    assert done.stderr == (
        "error: the service needs uvicorn: pip install -r requirements-service.txt\n"
    )


@pytest.mark.slow
def test_the_service_needs_neither_gradio_nor_plotly_and_its_help_needs_nothing():
    code = (
        "import sys\nsys.modules['gradio'] = sys.modules['plotly'] = None\n"
        "import src.serve\nprint({'fastapi', 'numpy', 'torch', 'pydantic'} & set(sys.modules))\n"
        "import src.service.app\nprint('fastapi' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["set()", "True"], done.stderr


# ---------------------------------------------------------------------------- a real service


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a service in a process of its own, which leaves nothing behind."""
    temporary = tmp_path_factory.mktemp("service")
    arguments = ["--max-size", str(MAX_MB), "--max-minutes", "0.15",
                 "--checkpoint", "pretrained/best_model.pth", "--device", "cpu"]  # fmt: skip
    with running_server(temporary, ["-m", "src.serve"], *arguments, **{TOKEN_VARIABLE: TOKEN}) as (
        address,
        process,
    ):
        yield address
    if os.name != "nt":
        assert process.returncode == 0
        assert [path.name for path in temporary.iterdir()] == ["log"]
        log = (temporary / "log").read_text()
        assert log == f"The service is at {address} (Ctrl+C ends it)\n"


@pytest.fixture
def client(address):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=address, headers=headers, timeout=HANG_S, trust_env=False) as made:
        yield made


@pytest.fixture(scope="module")
def late_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "晚.mp4"
    make_clip(path, SEED, SECONDS, shift_ms=SHIFT_MS)
    return path


def post(client, path, texts=None, headers=None, **files):
    """The new job."""
    opened = {name: (file.name, file.read_bytes()) for name, file in files.items()}
    answer = client.post(path, data=texts, files=opened, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def wait(client, job):
    """The job once it has ended."""
    while job["state"] in ("waiting", "running"):
        job = client.get(job["links"]["self"], params={"wait": 60}).json()
    return job


@pytest.fixture(scope="module")
def schema():
    return Draft202012Validator(
        loads((ROOT / "docs/result.schema.json").read_text(encoding="utf-8"))
    )


@pytest.mark.slow
def test_a_late_clip_is_scored_corrected_and_in_sync_then(client, late_clip, schema, tmp_path):
    scored = wait(client, post(client, "/score", {"report": "true"}, video=late_clip))
    assert scored["state"] == "done", scored["error"]
    schema.validate(scored["result"])
    offset_ms = scored["result"]["details"]["offset_ms"]
    assert TOO_HIGH_MS[0] <= offset_ms - SHIFT_MS <= TOO_HIGH_MS[1]
    assert scored["result"]["details"]["video"] == "晚.mp4"
    assert scored["result"]["details"]["model"]["file"] == "best_model.pth"
    (report,) = scored["links"]["files"]
    assert report["name"] == "晚_report.html"
    page = client.get(report["url"])
    assert "<html" in page.text and "sandbox" in page.headers["content-security-policy"]
    assert page.headers["content-disposition"].startswith("attachment")

    corrected = wait(client, post(client, "/correct", headers=CHINESE, video=late_clip))
    schema.validate(corrected["result"])
    result = corrected["result"]
    assert result["success"] and result["output"] == "晚_synced.mp4"
    assert re.search("[一-鿿]", result["message"]) and re.search(
        "[一-鿿]", result["details"]["verdict"]
    )
    assert result["details"]["offset_ms"] == offset_ms
    (file,) = corrected["links"]["files"]
    path = tmp_path / "corrected.mp4"
    path.write_bytes(client.get(file["url"]).content)
    assert path.stat().st_size == file["bytes"]
    again = wait(client, post(client, "/score", video=path))
    assert abs(again["result"]["details"]["offset_ms"]) <= 20
    assert client.delete(corrected["links"]["self"]).status_code == 204
    assert client.get(file["url"]).status_code == 404


@pytest.mark.slow
def test_bad_files_fail_with_a_sentence(client, late_clip, tmp_path):
    text, long, listed = tmp_path / "talk.mp4", tmp_path / "long.mp4", tmp_path / "list.mp4"
    text.write_text("no video " * 1000)
    listed.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    make_clip(long, SEED, 10.0)
    jobs = [post(client, "/score", headers=CHINESE, video=text),
            post(client, "/correct", video=listed), post(client, "/score", video=long),
            post(client, "/score", {"face": "99"}, video=late_clip)]  # fmt: skip
    texts = [wait(client, job)["error"] for job in jobs]
    assert "talk.mp4" in texts[0] and re.search("[一-鿿]", texts[0])
    assert texts[1] == "cannot read list.mp4: it is a list of files, not a media file"
    assert texts[2].startswith("long.mp4 is longer than 0.15 min:")
    assert "99" in texts[3]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
def test_cancelling_ends_the_work_at_once(client, late_clip):
    first, second = (post(client, "/score", video=late_clip) for _ in range(2))
    job = first
    while job["stage"] != "detecting faces":
        assert job["state"] in ("waiting", "running")
        job = client.get(first["links"]["self"]).json()
    assert client.get(second["links"]["self"]).json()["state"] == "waiting"
    assert client.delete(first["links"]["self"]).json()["state"] == "cancelled"
    assert wait(client, second)["state"] == "done"  # by the next process


@pytest.mark.slow
def test_an_upload_stops_where_it_is_too_large(client):
    sent = 0

    def endless():
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="video"; filename="v.mp4"\r\n\r\n'
        while sent < 200_000_000:
            sent += 1 << 16
            yield bytes(1 << 16)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/score", content=endless(), headers=kind)
    assert answer.status_code == 413 and f"{MAX_MB} MB" in answer.json()["error"]
    assert sent < 100_000_000


@pytest.mark.slow
def test_nobody_is_let_in_without_the_token(address):
    assert httpx.get(address + "/health", trust_env=False).json()["status"] == "ok"
    assert httpx.get(address + "/presenters", trust_env=False).status_code == 401
