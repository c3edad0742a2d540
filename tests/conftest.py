"""What every test may rest on: no network, no shared cache, the global state put back."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate_server import GateServer

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests run side by side
os.environ["TOKENIZERS_PARALLELISM"] = "false"
MANY_MODULES = 100
_imported = [0]
"""How many modules were imported, each time that there were many more."""
SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """What imported modules hold is looked through for garbage once, not with each plan and each training of the tests after."""
    if len(sys.modules) > _imported[-1] + MANY_MODULES:
        _imported.append(len(sys.modules))
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection to another machine fails the test; loopback may be used."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches are made anew for each test: nothing is met that another test left."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def _gate() -> Iterator[None]:
    """Runs that tests make pass the reload gate in forks of one process; `tests/test_api.py` takes the gate's own."""
    server = GateServer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", server.run)
        yield
    server.end()


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a BERT of two layers, width 32."""
    from tests.tiny_models import bert

    return bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a ViT of three layers for images of 32 x 32 pixels."""
    from tests.tiny_images import make

    return make(tmp_path_factory.mktemp("models") / "tiny-vit", "vit")


@pytest.fixture(scope="session")
def tiny_wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a wav2vec 2.0 of two layers, width 32, a hundred frames a second."""
    from tests.tiny_sounds import make

    return make(tmp_path_factory.mktemp("models") / "tiny-wav2vec2", "wav2vec2")


@pytest.fixture(scope="session")
def tiny_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a voice of our own kind, width 16."""
    from tests.tiny_voices import voice

    return voice(tmp_path_factory.mktemp("models") / "tiny-voice")


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a T5 of one layer each, width 32."""
    from tests.tiny_pairs import pair

    return pair(tmp_path_factory.mktemp("models") / "tiny-t5", "t5")


@pytest.fixture(scope="session")
def tiny_translators(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two encoder-decoders for the rows of `tests.runs`: what they are about, in two words, and a sentence that says so."""
    from tests.runs import BAD, FILL, GOOD
    from tests.tiny_pairs import taught

    folder = tmp_path_factory.mktemp("models")
    rows = [(f"{fill} {word}", f"{told} {thing}") for words, told in ((GOOD, "one"), (BAD, "two"))
            for word, fill in zip(words, FILL) for thing in ("film", "book")]  # fmt: skip  # of either thing: what is drawn varies
    marks = ("one", "good"), ("two", "bad")
    back = [(f"{mark} {thing}", f"a {word} {thing} again") for mark, word in marks for thing in ("film", "book")]
    return taught(folder / "there", rows), taught(folder / "back", back)


@pytest.fixture(scope="session")
def tiny_warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a BERT of one layer, width 32: what an encoder-decoder is made of."""
    from tests.tiny_models import bert

    return bert(tmp_path_factory.mktemp("models") / "tiny-warm", layers=1)


@pytest.fixture(scope="session")
def tiny_denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's folder with a UNet of two levels for pictures of 8 x 8 pixels."""
    from tests.tiny_pipelines import pixels

    return pixels(tmp_path_factory.mktemp("models") / "tiny-denoiser")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a Llama of two layers, width 32, that has a language-model head and a chat template."""
    from tests.tiny_models import writer

    return writer(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the project; tests that need it are skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data sets (../shared/data) are not beside the project")
    return SHARED / "data"


@pytest.fixture(autouse=True)
def _own_precision() -> Iterator[None]:
    """Accelerate keeps a precision for the whole process: a test in bf16 must not leave it to the next."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state()
