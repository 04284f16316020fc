"""Publishing: a dry run sends nothing, --push sends exactly the staged files, errors are clear.

The real huggingface_hub client talks to a server on the loopback that speaks as much of the hub as an upload needs.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import ROOT, Ran
from huggingface_hub import constants

import publish
from data.corpus_hub import stage_corpus
from data.hub import stage

TOKEN = "hf_secret_test"


@dataclass
class Hub:
    """A hub on the loopback and what it was sent.

    ``refuse`` answers every request with this status instead.
    """

    endpoint: str = ""
    refuse: int = 0
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    committed: dict[str, bytes] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @property
    def commit_url(self) -> str:
        """Where the hub says that the commit stands."""
        return f"{self.endpoint}/someone/khabar-test/commit/{'c' * 40}"

    def bodies(self, method: str, path: str) -> list[Any]:
        """What came for one method and path."""
        return [body for m, p, body in self.requests if (m, p) == (method, path)]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON for a request."""
        large = method == "PUT" or not body
        lines = [] if large else [json.loads(line) for line in body.splitlines()]
        self.requests.append((method, path, None if large else lines if path.find("/commit/") > 0 else lines[0]))
        if self.refuse:
            return self.refuse, {"error": "refused"}
        if (method, path) == ("POST", "/api/repos/create"):
            name = f"{lines[0].get('organization') or 'tester'}/{lines[0]['name']}"
            return 200, {"url": f"{self.endpoint}/{name}", "id": name, "name": name}
        if (method, path) == ("GET", "/api/whoami-v2"):
            return 200, {"name": "tester", "type": "user", "orgs": []}
        if (method, path) == ("POST", "/api/validate-yaml"):
            return 200, {"errors": [], "warnings": []}
        if method == "POST" and "/branch/" in path:
            return 200, {}
        if method == "POST" and "/preupload/" in path:
            files = lines[0]["files"]
            modes = [{"path": f["path"], "uploadMode": self.mode(f["path"]), "shouldIgnore": False} for f in files]
            return 200, {"files": modes}
        if method == "POST" and path.endswith(".git/info/lfs/objects/batch"):
            found = [{"oid": o["oid"], "size": o["size"], "actions": self.actions(o["oid"])} for o in lines[0]["objects"]]
            return 200, {"transfer": "basic", "objects": found}
        if method == "PUT" and path.startswith("/upload/"):
            self.objects[path.removeprefix("/upload/")] = body
            return 200, {}
        if (method, path) == ("POST", "/verify"):
            return 200, {}
        if method == "POST" and "/commit/" in path:
            for line in lines:
                if line["key"] == "file":
                    self.committed[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    self.committed[line["value"]["path"]] = self.objects[line["value"]["oid"]]
            return 200, {"success": True, "commitOid": "c" * 40, "commitUrl": self.commit_url}
        if method == "GET" and path.startswith("/api/models/"):
            return 200, {"id": path.removeprefix("/api/models/"), "siblings": [], "private": False}
        if (method, path) != ("GET", "/api/agent-harnesses"):  # the client asks, and needs no answer
            self.unknown.append(f"{method} {path}")
        return 404, {"error": "not known to this test"}

    def actions(self, oid: str) -> dict[str, Any]:
        """Where a large file is to be sent."""
        return {"upload": {"href": f"{self.endpoint}/upload/{oid}"}, "verify": {"href": f"{self.endpoint}/verify"}}

    @staticmethod
    def mode(name: str) -> str:
        """How a file is sent; the hub knows that of the binary formats."""
        return "lfs" if name.endswith(".safetensors") else "regular"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A running hub."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.tokens.add(self.headers.get("Authorization", ""))
            status, answer = state.answer(self.command, urlsplit(self.path).path, body)
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def published(hub: Hub, place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs publish.py in a fresh process that knows no hub but this one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING")) and k != "PYTHONPATH"}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(place / "home")}
    environment |= {"OMP_NUM_THREADS": "1"} | {"HF_TOKEN": TOKEN}
    return subprocess.run(
        [sys.executable, ROOT / "publish.py", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip


def expected_files(folder: Path, target: Path, repo_id: str) -> dict[str, bytes]:
    stage(folder, target, repo_id=repo_id)
    return {path.name: path.read_bytes() for path in target.iterdir()}


# A dry run


def test_a_dry_run_opens_no_connection_and_lists_the_staged_files(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Ran]
) -> None:
    tried: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError(address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ran = call(publish.main, "someone/khabar-test", "--model", run_folder)
    assert ran.code == 0, ran.err
    assert "nothing was uploaded; --push uploads to someone/khabar-test" in ran.err
    assert "equal logits, buffers and weights" in ran.err
    for name, content in expected_files(run_folder, tmp_path / "stage", "someone/khabar-test").items():
        assert f"{len(content):12d}  {name}" in ran.err
    assert tried == []


# Uploads


def test_push_uploads_the_staged_files_byte_for_byte_to_a_private_repository_and_branch(
    hub: Hub, own_run: Path, tmp_path: Path
) -> None:
    (own_run / "checkpoints").mkdir()
    (own_run / "checkpoints/optimizer.pt").write_bytes(b"not for the hub")
    (own_run / "notes.txt").write_text("not for the hub")
    repo = "someone/khabar-test"
    done = published(hub, tmp_path, repo, "--model", own_run, "--push", "--private", "--revision", "trial")
    assert done.returncode == 0, done.stderr[-3000:]
    assert hub.unknown == []
    assert hub.committed == expected_files(own_run, tmp_path / "stage", repo)
    assert sha256((own_run / "model.safetensors").read_bytes()).hexdigest() in hub.objects
    (created,) = hub.bodies("POST", "/api/repos/create")
    assert (created["organization"], created["name"]) == ("someone", "khabar-test")
    assert created.get("private") is True or created.get("visibility") == "private"
    assert len(hub.bodies("POST", f"/api/models/{repo}/branch/trial")) == 1
    assert len(hub.bodies("POST", f"/api/models/{repo}/commit/trial")) == 1
    assert not hub.bodies("POST", f"/api/models/{repo}/commit/main")
    order = [path for method, path, _ in hub.requests if method != "GET"]
    assert order.index("/api/repos/create") < order.index(f"/api/models/{repo}/branch/trial")
    assert order[-1] == f"/api/models/{repo}/commit/trial"
    assert f"Bearer {TOKEN}" in hub.tokens
    assert f"uploaded: {hub.commit_url}" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not [name for name, content in hub.committed.items() if TOKEN.encode() in content]
    assert not [path for path in own_run.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_push_uploads_the_corpus_as_a_dataset(hub: Hub, tmp_path: Path) -> None:
    repo = "someone/khabar-corpus"
    done = published(hub, tmp_path, repo, "--dataset", "--push")
    assert done.returncode == 0, done.stderr[-3000:]
    assert hub.unknown == []
    stage_corpus(tmp_path / "stage", repo_id=repo)
    assert hub.committed == {path.name: path.read_bytes() for path in (tmp_path / "stage").iterdir()}
    (created,) = hub.bodies("POST", "/api/repos/create")
    assert created["type"] == "dataset"
    assert len(hub.bodies("POST", f"/api/datasets/{repo}/commit/main")) == 1
    assert f"uploaded: {hub.endpoint}" in done.stderr


@pytest.fixture
def hub_here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A running hub that the client in this process talks to."""
    for name, value in (("ENDPOINT", hub.endpoint), ("HF_HUB_DISABLE_XET", True), ("HF_HUB_OFFLINE", False)):
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def test_without_private_and_revision_the_repository_is_public_and_main_is_used(
    hub_here: Hub, run_folder: Path, tmp_path: Path
) -> None:
    files = expected_files(run_folder, tmp_path / "stage", "someone/khabar-test")
    publish._upload(tmp_path / "stage", "someone/khabar-test", kind="model", revision="main", private=False)
    (created,) = hub_here.bodies("POST", "/api/repos/create")
    assert not created.get("private")
    assert created.get("visibility", "public") == "public"
    assert not [path for _, path, _ in hub_here.requests if "/branch/" in path]
    assert len(hub_here.bodies("POST", "/api/models/someone/khabar-test/commit/main")) == 1
    assert hub_here.committed == files


# Errors


def test_a_hub_that_refuses_the_token_is_a_clear_error_without_it(
    hub_here: Hub, run_folder: Path, call: Callable[..., Ran]
) -> None:
    hub_here.refuse = 401
    ran = call(publish.main, "someone/khabar-test", "--model", run_folder, "--push")
    assert ran.code == 1
    assert "401" in ran.err
    assert TOKEN not in ran.out + ran.err
    assert f"Bearer {TOKEN}" in hub_here.tokens
    assert hub_here.committed == {}


@pytest.mark.parametrize("repo_id", ["khabar", "a/b/c", "me/", "me/kha bar", "-me/khabar", "me/khabar.git"])
def test_a_bad_repository_id_is_a_clear_error(run_folder: Path, call: Callable[..., Ran], repo_id: str) -> None:
    parts = ["--model", run_folder, "--", repo_id]
    ran = call(publish.main, *parts)
    assert ran.code == 1
    assert repo_id in ran.err
    assert "loads in a clean" not in ran.err


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "decoding.py"])
def test_an_incomplete_model_folder_is_a_clear_error(own_run: Path, call: Callable[..., Ran], name: str) -> None:
    (own_run / name).unlink()
    ran = call(publish.main, "someone/khabar-test", "--model", own_run)
    assert ran.code == 1
    assert f"{own_run}: not a complete model folder, lacks {name}" in ran.err


def test_a_missing_model_folder_is_a_clear_error(tmp_path: Path, call: Callable[..., Ran]) -> None:
    ran = call(publish.main, "someone/khabar-test", "--model", tmp_path / "nowhere")
    assert ran.code == 1
    assert str(tmp_path / "nowhere") in ran.err


def test_code_that_computes_something_else_than_ours_is_found_before_the_upload(
    own_run: Path, call: Callable[..., Ran]
) -> None:
    code = (own_run / "modeling_khabar.py").read_text(encoding="utf-8")
    changed = code.replace("take(pieces, word_last)) / 2", "take(pieces, word_last)) / 3")
    assert changed != code
    (own_run / "modeling_khabar.py").write_text(changed, encoding="utf-8")
    ran = call(publish.main, "someone/khabar-test", "--model", own_run)
    assert ran.code == 1
    assert "the staged model differs in: " in ran.err
    assert "tag_logits" in ran.err
