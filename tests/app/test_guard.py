"""Access control by host, origin, token and size, and the allowed routes."""

import asyncio
import json
from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from sonovid.app.guard import GRADIO_ROUTES, Guard, remote_paths

TOKEN = "a-token-of-some-length"


async def inner(scope, receive, send):
    """An application that reads the whole body and says how long it was."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"served {len(body)}")(scope, receive, send)


def ask(settings, method, path, **rest):
    async def talk():
        transport = httpx.ASGITransport(app=Guard(inner, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            return await client.request(method, path, **rest)

    return asyncio.run(talk())


def test_a_name_of_another_site_that_leads_to_this_machine_is_not_answered(settings):
    assert ask(settings, "GET", "/v1/videos").status_code == 200
    assert ask(settings, "GET", "/v1/videos", headers={"host": "localhost:7860"}).status_code == 200
    assert ask(settings, "GET", "/v1/videos", headers={"host": "evil.example:7860"}).status_code == 403
    named = {"host": "video.example", "authorization": f"Bearer {TOKEN}"}
    for host in ("0.0.0.0", "127.0.0.1"):
        guarded = replace(settings, host=host, token=TOKEN)
        assert ask(guarded, "GET", "/v1/videos", headers=named).status_code == 200
        assert ask(guarded, "GET", "/v1/videos", headers={"host": "video.example"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_may_not_post(settings, headers, status):
    assert ask(settings, "POST", "/v1/videos", headers=headers).status_code == status
    assert ask(settings, "GET", "/v1/videos", headers=headers).status_code == 200


def test_a_token_is_asked_for_where_there_is_one(settings):
    guarded = replace(settings, token=TOKEN)
    refused = ask(guarded, "GET", "/v1/videos")
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"
    assert refused.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer "):
        assert ask(guarded, "GET", "/v1/videos", headers={"authorization": wrong}).status_code == 401
    assert ask(guarded, "GET", "/v1/videos", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200
    assert ask(guarded, "GET", "/health").status_code == 200
    for path in ("/gradio_api/queue/data", "/config", "/assets/x.js", "/docs", "/openapi.json"):
        assert ask(guarded, "GET", path).status_code == 401


def test_browsers_sign_in_once(settings):
    guarded = replace(settings, token=TOKEN)
    sent = ask(guarded, "GET", "/", headers={"accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert 'name="token"' in ask(guarded, "GET", "/login").text
    wrong = ask(guarded, "POST", "/login", data={"token": "wrong"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    right = ask(guarded, "POST", "/login", data={"token": TOKEN})
    assert right.status_code == 303
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    given = {"cookie": cookie.split(";")[0]}
    assert ask(guarded, "GET", "/", headers=given).status_code == 200
    assert ask(replace(guarded, token=TOKEN + "2"), "GET", "/", headers=given).status_code == 401


def test_no_more_bytes_are_taken_than_allowed_however_they_are_sent(settings):
    small = replace(settings, max_upload=1000)
    fits = b"x" * (2**20 + 1000)
    assert ask(small, "POST", "/v1/videos", content=fits).text == f"served {len(fits)}"
    assert ask(small, "POST", "/v1/videos", content=fits + b"x").status_code == 413

    async def pieces():
        for _ in range(3):
            yield b"x" * 2**19

    with pytest.raises(Exception, match="larger than the limit"):  # The application answers it: this one lets it through.
        ask(small, "POST", "/v1/videos", content=pieces())
    assert ask(small, "POST", "/login", content=b"x" * 5000).status_code in (303, 413)
    for wrong in ("-1", "many"):
        assert ask(small, "POST", "/v1/videos", content=b"x", headers={"content-length": wrong}).status_code == 413


def test_of_gradio_only_what_the_page_uses_is_there(settings):
    for path in ("/", "/config", "/assets/index.js", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/file=/tmp/x"):
        assert ask(settings, "GET" if "join" not in path else "POST", path).status_code == 200
    for path in (
        "/gradio_api/proxy=http://evil.example/",
        "/gradio_api/vibe-edit/",
        "/gradio_api/run/predict",
        "/gradio_api/call/predict",
        "/gradio_api/mcp/",
        "/gradio_api/component_server",
        "/gradio_api/deep_link",
        "/gradio_api/stream/x",
        "/gradio_api/process_recording",
        "/monitoring",
        "/etc/passwd",
        "/v2/videos",
    ):
        assert ask(settings, "GET", path).status_code == 404, path
    assert "proxy=" not in GRADIO_ROUTES


def test_a_message_of_the_page_names_no_address(settings):
    def message(path):
        return json.dumps({"data": [None, {"video": {"path": path, "meta": {"_type": "gradio.FileData"}}}], "fn_index": 0})

    for path in ("http://127.0.0.1:9/x.mp4", "HTTPS://evil.example/x", "file:///etc/passwd", "//evil.example/x"):
        answer = ask(settings, "POST", "/gradio_api/queue/join", content=message(path))
        assert (answer.status_code, "URLs are not fetched" in answer.text) == (400, True)
    plain = message("/tmp/gradio/x.mp4")
    assert ask(settings, "POST", "/gradio_api/queue/join", content=plain).text == f"served {len(plain)}"
    assert ask(settings, "POST", "/gradio_api/queue/join", content=b"x" * (2**20 + 1)).status_code == 413
    assert remote_paths(b"no json") == []


def test_browsers_are_told_to_ask_no_other_host(settings):
    headers = ask(settings, "GET", "/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
