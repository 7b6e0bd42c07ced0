"""The page to try a row by hand: off by default, one file, no network."""

import re
import shutil
import subprocess

import pytest

from shipway.components.lib.model_package import load_package

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def served(binary, serving):
    with serving(binary.path, "--page", "true", "--model_version", "7") as served:
        yield served


def test_there_is_no_page_unless_asked_for(server):
    assert server.get("/").headers["content-type"] == "application/json"


def test_the_page_needs_nothing_from_elsewhere(served, binary):
    answer = served.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"https?://", answer.text)
    assert all(f'"name":"{name}"' in answer.text for name in binary.names)
    assert answer.headers["x-shipway-model-digest"] == binary.digest


def test_a_column_cannot_end_the_script(tmp_path, train):
    from shipway.components.predictor.documents import page
    from shipway.components.predictor.engine import Engine

    engine = Engine(load_package(train("binary", tmp_path / "m").path), name="</script><b>")
    text = page(engine).decode()
    assert text.count("</script>") == 1 and "\\u003c/script>" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("verb", ["predict", "explain"])
def test_the_page_asks_in_a_browser(served, binary, verb, tmp_path):
    expected = served.post(f"/v1/models/trips:{verb}", json={"instances": binary.rows[:1]}).json()[
        {"predict": "predictions", "explain": "explanations"}[verb]
    ][0]
    text = browse(f"{served.url}/#{verb}", tmp_path)
    assert f'<p class="answer">{expected["label"]}</p>' in text
    assert f"/v1/models/trips:{verb}'" in text and "curl" in text
    label = load_package(binary.path).signature.label
    assert (
        f">predicts {label} \u00b7 binary \u00b7 version 7 \u00b7 digest {binary.digest[:12]}<"
        in text
    )
    for name in expected.get("contributions", {}):
        assert f'<th scope="row">{name}</th>' in text


def browse(url, profile) -> str:
    """The page as it stands once its scripts have run."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=4000", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
