"""The password of the page, and whom it lets in."""

import pytest

pytest.importorskip("gradio", reason="gradio is not installed (requirements-web.txt)")
pytestmark = pytest.mark.slow  # gradio takes seconds to import

OTHER = {"Origin": "http://example.org"}


@pytest.fixture(scope="module")
def client():
    """A browser at a page with a password, without the model."""
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from src.web.server import Gate, Options, Server
    from src.web.visitors import Visitors

    server = Server.__new__(Server)  # without its processes
    server.options = Options(host="0.0.0.0", password="open sesame")
    server.visitors = Visitors()
    app = FastAPI()
    app.get("/")(lambda: "in")
    app.get("/login")(server._login_page)
    app.post("/login")(server._login)
    yield TestClient(Gate(app, server.visitors, server.options), follow_redirects=False)
    server.visitors.close()


def test_nobody_is_let_in_without_the_password(client):
    assert client.get("/").headers["location"] == "/login"
    assert client.post("/en/gradio_api/queue/join").status_code == 401
    assert 'type="password"' in client.get("/login").text
    wrong = client.post("/login", data={"password": "x"})
    assert wrong.status_code == 401 and "Wrong password." in wrong.text
    client.post("/login", data={"password": "open sesame"}, headers=OTHER)
    assert client.get("/").headers["location"] == "/login"  # not by a form of another site
    assert client.post("/login", data={"password": "open sesame"}).headers["location"] == "/"
    assert client.get("/").json() == "in"
    client.cookies.clear()
    assert client.get("/").headers["location"] == "/login"
