"""The whole server with its page: what is served, and that no other host is contacted."""

import socket

import pytest
from starlette.testclient import TestClient

pytest.importorskip("gradio", reason="pip install 'sonovid[app]'")
from sonovid.app.server import bind_socket, create_app
from sonovid.app.settings import Settings, is_loopback


@pytest.fixture
def asked(monkeypatch):
    """Addresses outside this machine that anything here tried to reach. The environment is put back as it was."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "")
    found = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connecting(self, address):
        if isinstance(address, tuple) and not is_loopback(str(address[0])):
            found.append(address)
            raise OSError("no network in this test")
        return connect(self, address)

    def resolving(host, *rest, **more):
        if host is not None and not is_loopback(str(host)):
            found.append(host)
            raise OSError("no network in this test")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    return found


def test_the_page_and_the_api_are_one_server_that_asks_no_other_host(settings, asked):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:7860") as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "Sonovid" in page.text
        fetched = [part for part in page.text.split('"') if part.startswith(("http://", "https://"))]
        # Only what a page says of itself to search engines; no script, style or font.
        assert not [one for one in fetched if one.endswith((".js", ".css", ".woff", ".woff2")) or "font" in one]
        assert "googleapis" not in client.get("/theme.css").text
        config = client.get("/config").json()
        assert not config.get("analytics_enabled")
        assert {"prompt", "go", "cancel", "result", "history", "measure", "figures"} <= {
            one["props"].get("elem_id") for one in config["components"]
        }
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/docs").status_code == 200
        assert client.get("/gradio_api/vibe-code/").status_code == 404
        for place in ("/etc/passwd", str(settings.folder / "jobs.sqlite"), str(settings.folder / "jobs" / "x")):
            assert client.get(f"/gradio_api/file={place}").status_code in (403, 404)
        film = settings.folder / "examples" / "ball.mp4"
        assert client.get(f"/gradio_api/file={film}").status_code == 200
    assert asked == []


def test_uploads_of_the_page_lie_in_the_servers_folder_and_are_bounded(settings, asked):
    from dataclasses import replace

    with TestClient(create_app(replace(settings, max_upload=1000)), base_url="http://127.0.0.1:7860") as client:
        (place,) = client.post("/gradio_api/upload", files={"files": ("../../x.mp4", b"x" * 900)}).json()
        assert place.startswith(str(settings.folder / "page"))
        assert client.post("/gradio_api/upload", files={"files": ("x.mp4", b"x" * 2**21)}).status_code == 413
        assert client.post("/gradio_api/upload", files={"files": ("x.mp4", b"x" * 5000)}).status_code == 413
    assert asked == []


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port}: cannot listen there"):
            bind_socket(Settings(folder=tmp_path, port=port))
    with bind_socket(Settings(folder=tmp_path, port=0)) as listening:
        assert listening.getsockname()[1] > 0


def test_two_servers_do_not_work_in_one_folder(settings):
    wrong = pytest.raises(ValueError, match="another sonovid app uses this folder")
    with TestClient(create_app(settings, page=False)), wrong:
        create_app(settings, page=False)
    with TestClient(create_app(settings, page=False), base_url="http://127.0.0.1:7860") as client:
        assert client.get("/health").status_code == 200
