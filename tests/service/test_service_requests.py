"""What the service answers, with a worker that does as the test says."""

import json
import re
import threading
import time

import pytest

from tests.support.limits import HANG_S

pytest.importorskip("fastapi", reason="fastapi is not installed (requirements-service.txt)")

from jsonschema import Draft202012Validator
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from src.core.errors import LipSyncError
from src.media.stream_choice import StreamChoice
from src.pipeline.new_speech import new_consent
from src.presenter.presenting import Presented
from src.presenter.store import ModelRecord, PresenterRecord, write_presenter_record
from src.service import gate, uploads
from src.service.app import Service
from src.service.models import PresentOutput
from src.service.options import ServiceOptions
from src.service.storage import Storage
from src.service.tasks import Finished, correct, present, score
from src.web.access import Prefixed
from src.web.jobs import Queue
from src.web.worker import CancelledError, FailedError

ADDRESS = "http://127.0.0.1:8000"
MEDIA = b"frames" * 100
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.1"}


class ScriptedWorker:
    """Takes the place of a ``Worker``: it waits until the test lets it go on.

    Attributes:
        calls: (task, inputs, names of the files it was given) of each job.
        go: set: jobs come to their ends.
        error: what they fail with; None: they succeed.
    """

    def __init__(self):
        self.calls, self.go, self.error = [], threading.Event(), None

    def start(self):
        pass

    def kill(self):
        self.go.set()

    def run(self, task, inputs, folder, language, report, is_cancelled, on_part):
        given = sorted(path.name for path in folder.parent.iterdir() if path.is_file())
        self.calls.append((task, inputs, given))
        report("detecting faces", 0.5)
        while not self.go.wait(0.01):
            if is_cancelled():
                raise CancelledError
        if self.error is not None:
            raise self.error
        (folder / "speech.wav").write_bytes(b"for work only")
        (folder / "v_synced.mp4").write_bytes(b"corrected")
        return Finished({"score": 0.5, "details": {}}, ("v_synced.mp4",))


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


class Running:
    """A service without a process of its own.

    Attributes:
        client: asks it.
        worker: its ``ScriptedWorker``.
        clock: its ``Clock``.
        root: the temporary folder.
    """

    def __init__(self, root, **options):
        self.root, self.worker, self.clock = root, ScriptedWorker(), Clock()
        options = ServiceOptions(**{"max_mb": 0.01, "max_jobs": 2, **options})
        storage = Storage(options.max_jobs, 3600 * options.keep_h, self.clock)
        self.queue = Queue(lambda: self.worker)
        self.service = Service(options, self.queue, storage)
        self.client = TestClient(self.service.app, ADDRESS, raise_server_exceptions=False)

    def post(self, path="/score", texts=None, headers=None, **files):
        """Send a form; files as (name, content)."""
        form = {name: (None, text) for name, text in (texts or {}).items()} | files
        return self.client.post(path, files=form, headers=headers)

    def score(self, **texts):
        """A new job, as JSON."""
        answer = self.post(texts=texts, video=("v.mp4", MEDIA))
        assert answer.status_code == 202, answer.text
        return answer.json()

    def wait(self, job):
        """The job once it has ended."""
        done = self.client.get(job["links"]["self"], params={"wait": 60}).json()
        until = time.monotonic() + HANG_S
        while done["expires_at"] is None and time.monotonic() < until:
            done = self.client.get(job["links"]["self"]).json()
        return done

    def kept(self):
        """Names of the files that the service has on disk."""
        return sorted(
            path.name for path in self.root.rglob("*") if path.is_file() and path.name != ".lock"
        )

    def close(self):
        self.queue.close()
        self.service.close()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a service with options; nothing of it stays."""
    root = tmp_path / "temporary"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    started = []

    def call(**options):
        started.append(Running(root, **options))
        return started[-1]

    yield call
    for running in started:
        running.close()
    assert list(root.iterdir()) == []


# ---------------------------------------------------------------------------- jobs


def test_a_job_says_how_far_it_is_and_then_what_it_has_found(start):
    running = start()
    answer = running.post(video=("v.mp4", MEDIA))
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    assert job["kind"] == "score" and job["result"] is job["expires_at"] is None
    while job["state"] == "waiting" or job["share"] is None:
        job = running.client.get(job["links"]["self"]).json()
    assert (job["state"], job["stage"], job["share"]) == ("running", "detecting faces", 0.5)
    assert job["left_s"] >= 0 and running.kept() == ["v.mp4"]
    running.worker.go.set()
    job = running.wait(job)
    assert job["state"] == "done" and job["result"] == {"score": 0.5, "details": {}}
    assert job["error"] is job["share"] is job["left_s"] is None
    assert (job["created_at"], job["expires_at"]) == (
        "2027-01-15T08:00:00+00:00", "2027-01-15T09:00:00+00:00",
    )  # fmt: skip
    assert job["links"]["files"] == [
        {"name": "v_synced.mp4", "bytes": 9, "url": f"/jobs/{job['id']}/files/v_synced.mp4"}
    ]
    file = running.client.get(job["links"]["files"][0]["url"])
    assert file.content == b"corrected" and file.headers["content-type"] == "video/mp4"
    assert file.headers["content-disposition"] == 'attachment; filename="v_synced.mp4"'
    assert running.kept() == ["v_synced.mp4"]  # neither what was sent nor what was for work only


def test_the_fields_of_a_form_reach_the_work(start):
    running = start()
    running.worker.go.set()
    running.wait(running.score())
    texts = {"face": "3", "fit": "trim", "audio_stream": "2", "report": "true"}
    files = {"video": ("../../a.mp4", MEDIA), "audio": ("a.mp4/", MEDIA)}
    running.wait(running.post("/correct", texts, **files).json())
    (task, inputs, given), (other_task, other, names) = running.worker.calls
    assert task is score and given == ["v.mp4"] and inputs == {
        "video": "v.mp4", "audio": None, "face": "speaking", "streams": StreamChoice(),
        "with_report": False, "max_minutes": 60.0,
    }  # fmt: skip
    assert other_task is correct and other == {
        "video": "_.._a.mp4", "audio": "a.mp4_", "face": "3", "fit": "trim",
        "streams": StreamChoice(None, 2), "with_report": True, "max_minutes": 60.0,
    }  # fmt: skip
    assert names == ["_.._a.mp4", "a.mp4_"]


def test_two_files_of_one_name_are_both_there(start):
    running = start()
    files = {"video": ("out", MEDIA), "audio": ("out", MEDIA + b"2")}  # "out" is a folder there
    running.post(**files)
    assert running.kept() == ["out_2", "out_3"]


def test_a_failed_job_says_why_and_keeps_nothing(start):
    running = start()
    running.worker.error = FailedError("v.mp4 is bad")
    running.worker.go.set()
    job = running.wait(running.score())
    assert (job["state"], job["error"], job["result"]) == ("failed", "v.mp4 is bad", None)
    assert running.kept() == [] and job["links"]["files"] == []


def test_a_running_job_is_cancelled_and_an_ended_one_deleted(start):
    running = start()
    job, waiting = running.score(), running.score()
    for one in (waiting, job):
        answer = running.client.delete(one["links"]["self"])
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert running.wait(job)["state"] == "cancelled" and running.kept() == []
    running.worker.go.set()
    done = running.wait(running.score())
    for one in (done, job):
        assert running.client.delete(one["links"]["self"]).status_code == 204
        assert running.client.get(one["links"]["self"]).status_code == 404
        assert running.client.delete(one["links"]["self"]).status_code == 404
    assert running.kept() == []


def test_what_has_ended_is_forgotten_after_its_time(start):
    running = start(keep_h=2)
    job = running.score()
    running.clock.now += 100 * 3600  # work may take its time
    running.service._storage.sweep()
    running.worker.go.set()
    job = running.wait(job)
    running.clock.now += 2 * 3600 - 1
    running.service._storage.sweep()
    assert running.client.get(job["links"]["files"][0]["url"]).status_code == 200
    running.clock.now += 1
    for path in (job["links"]["self"], job["links"]["files"][0]["url"]):
        assert running.client.get(path).status_code == 404  # even before it is swept
    running.service._storage.sweep()
    assert running.kept() == []


def test_a_full_queue_refuses_before_anything_arrives(start):
    running = start()
    jobs = [running.score(), running.score()]
    answer = running.post(video=("v.mp4", MEDIA))
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    assert answer.json() == {"error": "2 jobs are waiting or running already: try again later"}
    assert running.client.get(jobs[1]["links"]["self"]).json()["before"] == 0
    running.client.delete(jobs[0]["links"]["self"])
    running.score()


def test_a_job_is_known_to_those_who_know_its_name_only(start):
    running = start()
    running.worker.go.set()
    anna, ben = running.wait(running.score()), running.wait(running.score())
    assert len({anna["id"], ben["id"]}) == 2 and len(anna["id"]) >= 32
    assert running.client.get("/jobs").status_code == 404
    assert running.client.get("/jobs/").status_code == 404
    for name in (anna["id"][:-1], anna["id"] + "x", "x%00y"):
        assert running.client.get(f"/jobs/{name}").status_code == 404
    for name in ("../../v.mp4", "..%2f..%2fv.mp4", "%2fetc%2fpasswd", "speech.wav", "v.mp4", "."):
        assert running.client.get(f"/jobs/{anna['id']}/files/{name}").status_code == 404


# ---------------------------------------------------------------------------- what is refused


VIDEO = {"video": ("v.mp4", MEDIA)}


@pytest.mark.parametrize(
    ("path", "texts", "files", "status", "words"),
    [
        ("/score", {}, {"audio": ("a.wav", MEDIA)}, 422, "the field video is missing"),
        ("/score", {"video": "v.mp4"}, {}, 422, "curl -F video=@FILE"),
        ("/score", {}, {**VIDEO, "face": ("f", b"1")}, 422, "face must be a text"),
        ("/score", {"face": "left"}, VIDEO, 422, "speaking, largest, 0, 1, 2 …"),
        ("/score", {"video_stream": "0"}, VIDEO, 422, "one of: 1, 2, 3 …"),
        ("/score", {"report": "yes"}, VIDEO, 422, "true, false"),
        ("/score", {"fit": "pad"}, VIDEO, 422, "unknown field fit"),
        ("/correct", {"fit": "x"}, VIDEO, 422, "fit = x: must be one of: pad, trim, loop"),
        ("/score", {}, {"video": ("v.mp4", b"")}, 422, "video: the file is empty"),
        ("/score", {}, {"video": ("v.mp4", b"x" * 10_001)}, 413, "larger than 0.01 MB"),
        ("/score", {"face": "9" * 200_000}, VIDEO, 413, "face is too long"),
        ("/score", {}, {"video": ("v.mp4", b"x" * 2_000_000)}, 413, "larger than 0.01 MB"),
        ("/present", {"presenter": "x", "text": "hi"}, {}, 404, "--presenters FOLDER"),
        ("/nothing", {}, VIDEO, 404, "GET / shows"),
        ("/health", {}, VIDEO, 405, "POST is not possible here"),
    ],
)
def test_a_wrong_form_is_refused_in_one_sentence(start, path, texts, files, status, words):
    running = start()
    for headers, pattern in (({}, re.escape(words)), (CHINESE, "[一-鿿]")):
        answer = running.post(path, texts, headers, **files)
        assert answer.status_code == status
        assert list(answer.json()) == ["error"] and re.search(pattern, answer.json()["error"])
        assert "\n" not in answer.json()["error"]
    assert running.worker.calls == [] and running.kept() == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=x", b"abc", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=" + "x" * 300, b"", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: a/b\r\n\r\n1\r\n--x--", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A" * 5000 + b": 1\r\n", 400),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="video"; filename="v.mp4"\r\n\r\nabc', 400),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(start, kind, body, status):
    running = start()
    answer = running.client.post("/score", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status and "curl -F" in answer.json()["error"]
    assert running.kept() == []
    assert running.post(video=("v.mp4", MEDIA)).status_code == 202  # its place is free again


def test_a_field_that_is_there_twice_is_refused(start):
    files = [("video", ("v.mp4", MEDIA)), ("video", ("w.mp4", MEDIA))]
    answer = start().client.post("/score", files=files)
    assert answer.status_code == 422 and "twice" in answer.json()["error"]


@pytest.mark.parametrize("wait", ["x", "-1", "nan"])
def test_a_wait_that_is_no_number_is_refused(start, wait):
    answer = start().client.get("/jobs/x", params={"wait": wait})
    assert answer.status_code == 422
    assert answer.json() == {"error": "wait: must be a number of seconds, 0 or more"}


def test_a_full_disk_is_said(start, monkeypatch):
    running = start()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads._FormWriter, "_take_data", full)
    answer = running.post(video=("v.mp4", MEDIA))
    assert answer.status_code == 503 and "disk" in answer.json()["error"]
    assert running.kept() == []


def test_a_client_that_sends_nothing_more_is_given_up(start, monkeypatch):
    running = start()

    async def silent(*_):
        raise TimeoutError

    monkeypatch.setattr(uploads.asyncio, "wait_for", lambda chunk, _: (chunk.close(), silent())[1])
    assert running.post(video=("v.mp4", MEDIA)).status_code == 408 and running.kept() == []


def test_an_error_of_the_program_shows_nothing_of_it(start, monkeypatch):
    running = start()
    monkeypatch.setattr(running.queue, "add", lambda job: 1 / 0)
    answer = running.post(video=("v.mp4", MEDIA))
    assert answer.status_code == 500 and "console" in answer.json()["error"]
    assert "ZeroDivisionError" not in answer.text


# ---------------------------------------------------------------------------- who may ask


def test_a_token_is_asked_for_where_there_is_one(start, monkeypatch):
    monkeypatch.setattr(gate, "WRONG_TOKEN_S", 0)
    client = start(token="open-sesame", host="0.0.0.0").client
    assert client.get("/health").status_code == client.get("/openapi.json").status_code == 200
    wrong = ("open-sesame", "Bearer open-sesam", "Bearer ", "Basic open-sesame", "Bearer é")
    for headers in ({}, *({"Authorization": text.encode()} for text in wrong)):
        answer = client.get("/jobs/x", headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert "token" in answer.json()["error"]
    right = {"Authorization": "Bearer open-sesame"}
    assert client.get("/jobs/x", headers=right).status_code == 404
    assert client.get("/presenters", headers=right).json() == {"presenters": []}


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "[::1"}, {"Origin": "http://evil.example"}]
)
def test_other_sites_are_refused(start, headers):
    running = start()
    assert running.post(headers=headers, video=("v.mp4", MEDIA)).status_code == 403
    assert running.worker.calls == []
    assert running.post(headers={"Origin": ADDRESS}, video=("v.mp4", MEDIA)).status_code == 202


def test_it_answers_below_a_path_of_the_page_as_it_does_alone(start):
    async def page(scope, receive, send):
        await PlainTextResponse("the page")(scope, receive, send)

    running = start(token="open-sesame")
    running.worker.go.set()
    app = Prefixed("/api", running.service.app, page)
    right = {"Authorization": "Bearer open-sesame"}
    client = TestClient(app, ADDRESS, headers=right)
    assert client.get("/").text == client.get("/apis").text == "the page"
    answer = client.post("/api/score", files={"video": ("v.mp4", MEDIA)})
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/api/jobs/{job['id']}"
    job = client.get(job["links"]["self"], params={"wait": 60}).json()
    assert client.get(job["links"]["files"][0]["url"]).content == b"corrected"
    assert f"{ADDRESS}/api/score" in client.get("/api").text
    client.headers.clear()
    assert client.get("/api/health").status_code == 200
    assert client.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]
    assert client.get("/api/presenters").status_code == 401


# ---------------------------------------------------------------------------- presenters


@pytest.fixture
def presenters(tmp_path):
    """Two presenters; nobody confirmed that the second agreed."""
    folder = tmp_path / "presenters"
    model = ModelRecord(file="m.pth", sha256="0" * 64)
    for name, consent in (("anna", new_consent("option")), ("ben", None)):
        write_presenter_record(folder / name, PresenterRecord(model=model, consent=consent))
    (folder / "notes").mkdir()
    (folder / "bad").mkdir()
    (folder / "bad" / "presenter.json").write_text("{")
    return folder


def test_a_presenter_is_one_of_those_that_are_there(start, presenters):
    running = start(presenters=presenters)
    running.worker.go.set()
    assert running.client.get("/presenters").json() == {"presenters": ["anna", "bad", "ben"]}
    for name, status in (("ben", 422), ("bad", 422), ("notes", 404), ("../presenters/anna", 404),
                         (str(presenters / "anna"), 404), ("", 404), ("anna/", 404)):  # fmt: skip
        answer = running.post("/present", {"presenter": name, "text": "hi"})
        assert answer.status_code == status, answer.text
        assert name.startswith("/") or str(presenters) not in answer.text
    speech = {"audio": ("new.wav", MEDIA)}
    for texts, files in (({}, {}), ({"text": " "}, {}), ({"text": "hi"}, speech)):
        answer = running.post("/present", {"presenter": "anna", **texts}, **files)
        assert answer.status_code == 422 and "either audio or text" in answer.json()["error"]
    running.wait(running.post("/present", {"presenter": "anna", "text": "你好"}).json())
    ((task, inputs, _),) = running.worker.calls
    assert task is present and inputs == {
        "presenter": str(presenters / "anna"), "audio": None, "text": "你好", "video": None,
        "label": False, "with_report": False, "max_minutes": 60.0,
    }  # fmt: skip


def test_an_error_names_a_presenter_without_its_folder(presenters):
    with pytest.raises(LipSyncError, match="presenter") as error:
        present(None, str(presenters / "bad"), None, "hi", None, False, False, 60)
    assert str(presenters) not in str(error.value)


# ---------------------------------------------------------------------------- what is said of it


def test_the_openapi_document_describes_every_field(start):
    running = start(token="x")
    document = running.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert references <= schemas.keys()
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    result = schemas["SyncResult"]["properties"]
    assert {"offset_ms", "verdict", "timeline", "tracks"} <= result.keys()
    assert "HTTPValidationError" not in schemas
    body = document["paths"]["/correct"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert body["schema"]["required"] == ["video"] and "fit" in body["schema"]["properties"]
    assert set(document["paths"]) == {
        "/score", "/correct", "/present", "/jobs/{id}", "/jobs/{id}/files/{name}", "/presenters",
        "/health",
    }  # fmt: skip
    assert "HTTPBearer" in document["components"]["securitySchemes"]


def test_what_is_answered_is_what_the_openapi_document_says(start):
    running = start()
    document = running.client.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/JobOutput", "components": document["components"]}
    job = running.score()
    Draft202012Validator(schema).validate(job)
    running.worker.error = FailedError("bad")
    running.worker.go.set()
    Draft202012Validator(schema).validate(running.wait(job))


def test_the_result_of_a_new_speech_has_the_fields_of_the_command():
    fields = Presented.model_fields.keys() | {"closeness", "notes"}
    assert PresentOutput.model_fields.keys() == fields


def test_the_page_of_the_service_needs_no_other_host(start):
    client = start(presenters=None).client
    page, chinese = client.get("/"), client.get("/", headers=CHINESE)
    assert "POST /present" in page.text and "curl -F video=@v.mp4" in page.text
    assert "要更换口型的视频" in chinese.text
    assert re.findall(r'(?:src|href)="([^"]+)"', page.text) == [f"{ADDRESS}/openapi.json"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_health_says_when_nothing_is_done_any_more(start):
    running = start()
    assert running.client.get("/health").json()["status"] == "ok"
    running.queue.close()
    until = time.monotonic() + HANG_S
    while running.queue.is_working and time.monotonic() < until:
        time.sleep(0.01)
    assert running.client.get("/health").status_code == 503
