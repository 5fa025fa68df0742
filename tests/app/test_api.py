"""The API from a client: every route, all three tasks, and rejected requests."""

import base64
import io
import json
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from sonovid import media
from sonovid.app.server import create_app


def saved(content, path):
    path.write_bytes(content)
    return path


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_words_become_a_video_with_its_exact_extent(client, ended, tmp_path):
    made = client.post("/v1/videos", json={"prompt": "a stick hits a can", "seed": 3, "num_inference_steps": 2}).json()
    assert (made["object"], made["status"], made["progress"], made["model"]) == ("video", "queued", 0, "tiny")
    told = ended(client, made["id"])
    assert told["status"] == "completed", told["error"]
    assert (told["progress"], told["seed"], told["size"]) == (100, 3, "16x16")
    assert (told["fps"], told["num_frames"], told["sample_rate"], told["num_samples"]) == ("8", 8, 8000, 8000)
    assert told["expires_at"] > told["completed_at"] >= told["created_at"]
    answer = client.get(f"/v1/videos/{made['id']}/content")
    assert answer.headers["content-type"] == "video/mp4"
    info = media.probe(saved(answer.content, tmp_path / "a.mp4"))
    assert (info.num_frames, info.fps, info.has_audio) == (8, Fraction(8), True)
    assert media.read(tmp_path / "a.mp4").waveform.shape == (1, 8000)
    assert answer.headers["content-disposition"].startswith("inline")
    part = client.get(f"/v1/videos/{made['id']}/content", headers={"range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    preview = client.get(f"/v1/videos/{made['id']}/content?variant=preview&download=true")
    assert Image.open(io.BytesIO(preview.content)).width > 200
    assert preview.headers["content-disposition"].startswith("attachment")
    assert client.get(f"/v1/videos/{made['id']}/content?variant=source").status_code == 404


def test_the_same_seed_gives_the_same_clip_and_clips_have_seeds_of_their_own(client, ended, tmp_path):
    ids = [
        client.post("/v1/videos", json={"prompt": "a can", **more}).json()["id"] for more in ({"seed": 5, "n": 2}, {"seed": 6})
    ]
    two, one = (ended(client, one) for one in ids)
    assert [clip["seed"] for clip in two["clips"]] == [5, 6]
    first, second = (client.get(f"/v1/videos/{ids[0]}/content?index={i}").content for i in range(2))
    # The files may differ in their signature, and their clips by the rounding of a batch.
    again = client.get(f"/v1/videos/{ids[1]}/content").content
    first, second, again = (media.read(saved(content, tmp_path / "clip.mp4")) for content in (first, second, again))
    assert np.allclose(again.frames.astype(int), second.frames.astype(int), rtol=0, atol=1)
    assert np.allclose(again.waveform, second.waveform, rtol=0, atol=1e-6)
    assert not np.array_equal(first.frames, second.frames)
    assert one["n"] == 1
    assert client.get(f"/v1/videos/{ids[0]}/content?index=2").status_code == 404


def test_a_video_gets_its_sound_and_keeps_its_pictures_by_form_and_by_json(client, ended, film, tmp_path):
    form = client.post("/v1/videos", data={"seed": "1"}, files={"source_video": ("my film.mp4", film.read_bytes(), "video/mp4")})
    url = "data:video/mp4;base64," + base64.b64encode(film.read_bytes()).decode()
    text = client.post("/v1/videos", json={"seed": 1, "source_video": url})
    for answer in (form, text):
        told = ended(client, answer.json()["id"])
        assert told["status"] == "completed", told
        assert (told["source"], told["size"], told["fps"], told["num_frames"]) == ("source_video", "32x24", "12", 18)
        assert told["num_samples"] == 12000
        made = saved(client.get(f"/v1/videos/{told['id']}/content").content, tmp_path / "made.mp4")
        assert packets(made) == packets(film)
        assert media.probe(made).has_audio
        assert client.get(f"/v1/videos/{told['id']}/content?variant=source").content == film.read_bytes()


def test_a_sound_gets_its_pictures_and_is_kept(client, tone, tmp_path):
    answer = client.post(
        "/v1/videos/sync", files={"source_audio": ("tone.wav", tone.read_bytes(), "audio/wav")}, data={"seed": 2}
    )
    assert answer.status_code == 200, answer.text
    made = media.read(saved(answer.content, tmp_path / "made.mp4"))
    given = media.read(tone)
    assert made.sample_rate == given.sample_rate
    middle = slice(5000, 20000)
    error = made.waveform[0, middle] - given.waveform[0, middle]
    assert (error**2).mean() < 1e-3 * (given.waveform**2).mean()
    assert answer.headers["x-fps"] == "8"
    assert int(answer.headers["x-num-frames"]) == len(made.frames)
    assert answer.headers["x-model"] == "tiny"


def test_more_than_a_window_is_made_window_by_window(client, ended):
    made = client.post("/v1/videos", json={"prompt": "a ball", "seconds": "5/2", "seed": 1}).json()
    told = ended(client, made["id"])
    assert told["status"] == "completed", told
    assert (told["num_frames"], told["num_samples"]) == (20, 20000)


def test_files_say_what_made_them(client, tmp_path):
    answer = client.post("/v1/videos/sync", json={"prompt": "a drum", "seed": 9, "num_inference_steps": 2})
    with av.open(str(saved(answer.content, tmp_path / "a.mp4"))) as container:
        comment = container.metadata["comment"]
    assert "AI-generated pictures and sound" in comment
    assert "model tiny" in comment
    assert "seed 9" in comment
    assert str(tmp_path) not in comment


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        ({"json": {"prompt": "x", "sede": 1}}, 400, "unknown field"),
        ({"json": {"prompt": "x", "model": "/etc"}}, 400, "not offered here"),
        ({"json": {}}, 400, "nothing to generate from"),
        ({"json": ["prompt"]}, 400, "not a JSON object"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not valid JSON"),
        ({"content": b"[" * 100000, "headers": {"content-type": "application/json"}}, 400, "not valid JSON"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "expected application/json"),
        ({"content": b"x"}, 415, "absent"),
        ({"json": {"source_video": "/etc/passwd"}}, 400, "not read"),
        ({"json": {"source_video": "http://127.0.0.1:9/x.mp4"}}, 400, "not read"),
        ({"json": {"source_video": 5}}, 400, "expected a file"),
        ({"data": {"source_audio": "file:///etc/passwd"}}, 400, "not read"),
        ({"json": {"prompt": "x", "video_path": "/etc/passwd"}}, 400, "unknown field"),
        ({"files": {"input_reference": ("a.png", b"x", "image/png")}}, 400, "files are accepted as"),
        ({"files": {"source_video": ("a.mp4", b"x", "video/mp4")}}, 400, "unsupported"),
        ({"files": [("source_video", ("a", b"x")), ("source_audio", ("b", b"x"))]}, 400, "nothing to generate"),
        ({"files": [("source_video", ("a", b"x")), ("source_video", ("b", b"x"))]}, 400, "more than once"),
        ({"files": [("source_video", ("a", b"x"))] * 3}, 400, "files"),
    ],
)
def test_what_is_not_accepted_is_a_line_and_leaves_nothing(client, settings, sent, status, why):
    for path in ("/v1/videos", "/v1/videos/sync"):
        answer = client.post(path, **sent)
        assert answer.status_code == status, answer.text
        message = answer.json()["error"]["message"]
        assert why.lower() in message.lower()
        assert "\n" not in message
    assert client.get("/v1/videos").json()["data"] == []
    assert not list((settings.folder / "incoming").iterdir())
    assert not list((settings.folder / "jobs").iterdir())


def test_what_the_pipeline_refuses_fails_the_job_with_its_line(client, settings, ended, tmp_path):
    import numpy as np

    from sonovid.core.clip import Clip

    silent = media.write(tmp_path / "silent.wav", Clip(None, np.zeros((1, 8000), np.float32), sample_rate=8000))
    sent = {"files": {"source_audio": ("silent.wav", silent.read_bytes(), "audio/wav")}}
    told = ended(client, client.post("/v1/videos", **sent).json()["id"])
    assert told["status"] == "failed"
    assert "silent throughout" in told["error"]["message"]
    assert not list((settings.folder / "jobs").iterdir())
    answer = client.get(f"/v1/videos/{told['id']}/content")
    assert (answer.status_code, "silent" in answer.json()["error"]["message"]) == (409, True)
    assert client.post("/v1/videos/sync", **sent).status_code == 400


def test_jobs_are_listed_page_by_page(client, ended):
    ids = [client.post("/v1/videos", json={"prompt": "x", "num_inference_steps": 1}).json()["id"] for _ in range(3)]
    page = client.get("/v1/videos?limit=2").json()
    assert [one["id"] for one in page["data"]] == [ids[2], ids[1]]
    assert page["has_more"]
    rest = client.get(f"/v1/videos?limit=2&after={page['last_id']}").json()
    assert [one["id"] for one in rest["data"]] == [ids[0]]
    assert not rest["has_more"]
    assert client.get("/v1/videos?order=asc&limit=1").json()["data"][0]["id"] == ids[0]
    for wrong in ("limit=0", "limit=many", "order=up"):
        answer = client.get(f"/v1/videos?{wrong}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    for one in ids:
        ended(client, one)


def test_deleting_cancels_and_removes(client, settings, ended):
    running = client.post("/v1/videos", json={"prompt": "x", "num_inference_steps": 900}).json()["id"]
    waiting = client.post("/v1/videos", json={"prompt": "x"}).json()["id"]
    while client.get(f"/v1/videos/{running}").json()["progress"] < 1:
        pass
    assert client.get(f"/v1/videos/{waiting}").json()["queue_position"] == 0
    for one in (waiting, running):
        assert client.delete(f"/v1/videos/{one}").json() == {"id": one, "object": "video.deleted", "deleted": True}
        assert client.get(f"/v1/videos/{one}").status_code == 404
        assert client.delete(f"/v1/videos/{one}").status_code == 404
    after = ended(client, client.post("/v1/videos", json={"prompt": "x", "num_inference_steps": 1}).json()["id"])
    assert after["status"] == "completed"
    assert [path.name for path in (settings.folder / "jobs").iterdir()] == [after["id"]]


def test_a_full_queue_answers_429(settings):
    with TestClient(create_app(replace(settings, max_queue=1), page=False), base_url="http://127.0.0.1:7860") as client:
        ask = {"prompt": "x", "num_inference_steps": 900}
        answers = [client.post("/v1/videos", json=ask) for _ in range(4)]
        assert [one.status_code for one in answers].count(429) >= 2
        full = next(one for one in answers if one.status_code == 429)
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["error"]["type"] == "rate_limit_error"
        for one in answers:
            if one.status_code == 200:
                client.delete(f"/v1/videos/{one.json()['id']}")


def test_models_health_and_documentation(client):
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["id"], model["size"], model["fps"], model["seconds"]) == ("tiny", "16x16", "8", "1")
    assert model["longer_than_seconds"]
    told = client.get("/health").json()
    assert (told["status"], told["queued"], told["in_progress"]) == ("ok", 0, 0)
    schema = client.get("/openapi.json").json()
    posted = schema["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(posted) == {"multipart/form-data", "application/json"}
    assert posted["multipart/form-data"]["schema"]["properties"]["source_video"]["format"] == "binary"
    assert set(schema["paths"]) >= {
        "/v1/videos/sync",
        "/v1/videos/{video_id}",
        "/v1/videos/{video_id}/content",
        "/v1/models",
        "/health",
    }
    page = client.get("/docs").text
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert "https://" not in page
    for path in ("/static-offline-docs/swagger-ui-bundle.js", "/static-offline-docs/swagger-ui.css"):
        assert client.get(path).status_code == 200
    answer = client.get("/v1/nothing")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert json.loads(client.put("/v1/videos").content)["error"]["code"] == 405


def test_a_place_outside_the_folder_is_never_read(client):
    for one in ("..%2F..%2Fjobs.sqlite", "%2e%2e", "../jobs.sqlite", "/etc/passwd"):
        assert client.get(f"/v1/videos/{one}/content").status_code == 404
        assert client.get(f"/v1/videos/{one}").status_code == 404
