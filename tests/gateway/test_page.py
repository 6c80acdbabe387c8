"""The page, in headless Chromium."""

import os
import re
import shutil
import subprocess
from importlib.resources import files

import pytest
from chats import chat
from clients import ask, until
from upstream import Model, gateway

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def chromium(url, directory, *options):
    """The page's document after its scripts have run for a while."""
    profile = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory}/profile"]
    command = [CHROMIUM, *profile, "--virtual-time-budget=3000", *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def rows(dom, id):
    """A table's cells."""
    table = re.search(rf'id="{id}".*?</table>', dom, re.S).group()
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]


@needs_chromium
def test_it_shows_what_was_saved(tmp_path):
    with gateway(Model(chat), threshold=0.97, local=True) as running:
        for text in ("What is my order status?", "what's the status of my order?", "Tell me a joke"):
            ask(running, text)
            ask(running, text, model="<b>stub-2</b>")
        for _ in range(6):
            ask(running, "Tell me a joke")
        until(
            lambda: (
                sum(cell[0] for key, cell in running.gateway.tally.series().items() if key[0] == "request")
                == 12
            )
        )
        until(running.gateway.tally.nearest)
        page = running.url + "/_semcore/"
        dom = chromium(page, tmp_path, "--dump-dom")
        if directory := os.environ.get("SEMCORE_SCREENSHOTS"):
            for mode in ("", "--force-dark-mode"):
                picture = f"--screenshot={directory}/page{mode[2:7]}.png"
                chromium(page, tmp_path, picture, "--window-size=1200,1600", *([mode] if mode else []))
    cards = re.findall(r"<strong>(.*?)</strong>", dom)
    assert cards[0] == "12"
    answers = {name: (count, share) for name, count, share in rows(dom, "layers")}
    assert answers["exact hit"][0] == "6"
    assert "<b>stub-2" not in dom  # a client's text is never markup
    assert "&lt;b&gt;stub-2&lt;/b&gt;" in {row[0] for row in rows(dom, "models")}
    near = rows(dom, "near")[0]
    assert (near[2], 0.9 < float(near[3]) < 0.97) == ("chat.completions", True)
    assert "as of" in dom
    assert re.search(r'id="purge" hidden', dom)


@needs_chromium
def test_with_a_token_it_asks_for_it_and_shows_nothing(tmp_path):
    with gateway(Model(chat), admin_token="t0ken") as running:
        dom = chromium(running.url + "/_semcore/", tmp_path, "--dump-dom")
    assert 'id="enter">' in dom
    assert 'id="main" hidden' in dom
    assert "locked" in dom


def test_it_asks_nobody_else():
    page = files("semcore.gateway").joinpath("page/index.html").read_text()
    assert set(re.findall(r"https?://[^\"']+", page)) == {"http://www.w3.org/2000/svg"}  # a namespace's name
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?!data:)", page)
    assert ".innerHTML" not in page
