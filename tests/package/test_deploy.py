"""What deploy/ says to the gateway is understood by it."""

import argparse
import configparser
import re
import shlex
from pathlib import Path

from semcore.gateway.settings import BY_NAME, OPTIONS, PREFIX, add_flags, load

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "gateway-deploy.md"
URL = {"SEMCORE_GATEWAY_UPSTREAMS": "https://api.example.com"}


def unit():
    found = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    found.optionxform = str
    found.read(DEPLOY / "semcore-gateway.service")
    return found["Service"]


def test_the_units_command_is_understood(tmp_path):
    (tmp_path / "gateway.toml").write_text("threshold = 0.8")
    line = unit()["ExecStart"].replace("/etc/semcore", str(tmp_path)).replace("${STATE_DIRECTORY}", "/state")
    command, *argv = shlex.split(line)[1:]
    assert command == "serve"
    parser = argparse.ArgumentParser()
    add_flags(parser)
    loaded = load(vars(parser.parse_args(argv)), URL)
    assert (loaded.settings.threshold, loaded.serving.cache) == (0.8, "/state/cache.semcore")


def test_the_unit_waits_for_the_drain():
    assert int(unit()["TimeoutStopSec"]) > load({}, URL).serving.drain


def test_the_images_variables_are_settings():
    said = dict(re.findall(r"\b(SEMCORE_GATEWAY_\w+)=(\S+)", (DEPLOY / "Containerfile").read_text()))
    assert said.keys() <= {option.variable for option in OPTIONS}
    assert load({}, said | URL).serving.host == "0.0.0.0"


def test_the_pages_file_is_understood(tmp_path):
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "gateway.toml").write_text(toml)
    keys = dict.fromkeys(re.findall(r'key_env = "(\w+)"', toml), "sk")
    assert load({"config": str(tmp_path / "gateway.toml")}, keys).serving.workers > 1


def test_the_pages_variables_are_settings():
    for page in (PAGE, PAGE.with_name("gateway.md")):
        for name in re.findall(rf"{PREFIX}([A-Z_]+)", page.read_text()):
            assert name == "CONFIG" or name.lower() in BY_NAME
