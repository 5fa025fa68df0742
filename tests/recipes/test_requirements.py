"""Requirements of recipes: looked for in folders, in a local Hub cache, and on a local Hub server."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sonovid import recipes
from sonovid.cli import main
from sonovid.recipes import requirements

# What the Hub answers to a request of a repository's file, by the owner's name.
ANSWERS = {
    "gated": (403, {"X-Error-Code": "GatedRepo"}),
    "private": (404, {"X-Error-Code": "RepoNotFound"}),
    "part": (404, {"X-Error-Code": "EntryNotFound"}),
    "open": (200, {"ETag": '"1"', "X-Repo-Commit": "0" * 40, "Content-Length": "2"}),
}


class Answers(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self):
        self.asked.append(self.path)
        status, headers = ANSWERS[self.path.split("/")[1]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub on this machine, and an empty cache."""
    import huggingface_hub.constants as constants

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    Answers.asked.clear()
    yield tmp_path / "cache"
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_hub(monkeypatch, hub):
    """The same cache, and nobody who answers."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}")
    return hub


def cached(cache, repository, *files):
    """Files of a repository as the Hub's cache keeps them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40)
    for name in files:
        path = folder / "snapshots" / ("0" * 40) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def test_without_a_network_the_error_lists_all_missing_parts(no_hub, tmp_path, capsys):
    assert main(["train", "svg.paper", f"out={tmp_path / 'run'}", "data=scenes:bounces:8:seed=0", "codecs.audio=audioldm"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for part in (
        "svg.paper: 7 of its parts are neither in a folder nor in the Hub's cache, and cannot be loaded: codecs.video=",
        "SG161222/Realistic_Vision_V5.1_noVAE (vae/; 0.33 GB; licence: CreativeML OpenRAIL-M): the Hub was not reached (",
        "codecs.audio=audioldm (vae/, vocoder/): no such folder",
        "network.adapter=guoyww/animatediff-motion-adapter-v1-5-2 (config.json and weights; 1.82 GB",
        "codecs.video=FOLDER",
        "sonovid recipes svg.paper --needs",
    ):
        assert part in message, part
    # Nothing was rendered, or begun.
    assert not (tmp_path / "run").exists()


def test_an_unreachable_hub_is_asked_once(no_hub):
    client = requirements.HubClient()
    assert "not reached" in client.find_problem("open/model", "config.json")
    first = client.connection_problem
    client.find_problem("other/model", "config.json")
    assert client.connection_problem == first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gated/model", "accept its terms"),
        ("private/model", "no such repository, or it is private; nor is there a folder"),
        ("part/model", "has no vae/config.json"),
        ("open/model", ""),
    ],
)
def test_the_first_problem_is_reported(hub, source, message):
    recipe = recipes.get("cmmd.paper", {"codecs.video": source})
    (need,) = requirements.find_requirements(recipe)
    assert message in need.problem
    assert bool(need.problem) == bool(message)
    assert not need.is_local
    if message:
        with pytest.raises(ValueError, match=f"cmmd.paper: 1 of its parts .*{message}"):
            requirements.check_requirements("cmmd.paper", recipe)
    else:
        requirements.check_requirements("cmmd.paper", recipe)


def test_a_cached_repository_is_local_only_if_complete(no_hub):
    def need(**values):
        return requirements.find_requirements(
            recipes.get("cmmd.paper", {key.replace("_", "."): value for key, value in values.items()})
        )[0]

    cached(no_hub, "one/alone", "config.json", "diffusion_pytorch_model.safetensors")
    cached(no_hub, "one/pipeline", "vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors")
    cached(no_hub, "one/half", "config.json")
    assert [need(codecs_video=f"one/{name}").is_local for name in ("alone", "pipeline", "half")] == [True, True, False]
    assert need(codecs_video="one/pipeline").subfolders == ("vae",)
    assert requirements.locate_source("codecs.video", "one/pipeline") == ("one/pipeline", "vae")
    cached(
        no_hub, "one/text", *(f"{part}_2/{name}" for part in ("text_encoder",) for name in ("config.json", "model.safetensors"))
    )
    assert requirements.locate_source("codecs.text", "one/text:text_encoder_2") == ("one/text", "text_encoder_2")


def test_requirements_are_listed_with_sizes_and_licences(no_hub, tmp_path, capsys):
    (tmp_path / "vae").mkdir()
    assert main(["recipes", "uniform.paper", f"codecs.video={tmp_path}", "--needs"]) == 0
    message = capsys.readouterr().out
    assert f"codecs.video={tmp_path}\n    vae/\n    available" in message
    assert "network.pixart=PixArt-alpha/PixArt-XL-2-512x512\n    transformer/; 2.44 GB; licence:" in message
    assert "to download: 21.93 GB" in message
    assert main(["recipes", "uniform.scenes", "--needs"]) == 0
    assert "needs no pretrained parts" in capsys.readouterr().out
    assert main(["recipes", "--needs"]) == 2


def test_every_repository_of_a_recipe_has_a_known_size():
    for name in recipes.RECIPES:
        for key, source in requirements.list_sources(recipes.get(name)):
            assert source in requirements.REPOSITORIES, f"{name}: {key}={source}"
            assert any(set(way) <= set(requirements.REPOSITORIES[source].gigabytes) for way in requirements.LAYOUTS[key]), (
                f"{name}: {key}"
            )
