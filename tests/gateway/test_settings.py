"""Settings say the same in a file, in the environment and as flags."""

import argparse
import dataclasses
import re
from pathlib import Path

import pytest

from semcore import ConfigError
from semcore.gateway.config import Serving, Settings, Upstream
from semcore.gateway.settings import OPTIONS, add_flags, load
from semcore.wire.question import Terms

URL = "https://api.example.com/v1"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "gateway.md"

# For each setting: as text, as TOML, and what comes of it, which is not the default.
SAID = {
    "upstreams": (URL, f'["{URL}"]', {"default": Upstream("default", URL)}),
    "host": ("0.0.0.0", '"0.0.0.0"', "0.0.0.0"),
    "port": ("9000", "9000", 9000),
    "workers": ("1", "1", 1),
    "drain": ("5", "5", 5),
    "log_level": ("info", '"info"', "info"),
    "cache": ("a.semcore", '"a.semcore"', "a.semcore"),
    "max_bytes": ("64 MiB", '"64 MiB"', 64 << 20),
    "max_entries": ("1000", "1000", 1000),
    "embed": ("none", '"none"', "none"),
    "store_text": ("true", "true", True),
    "threshold": ("0.8", "0.8", 0.8),
    "ttl": ("60", "60", 60.0),
    "stale_while_revalidate": ("5.5", "5.5", 5.5),
    "stale_if_error": ("3600", "3600", 3600.0),
    "temperature_max": ("0.5", "0.5", 0.5),
    "allow_stored": ("true", "true", True),
    "shared": ("true", "true", True),
    "salt": ("pepper", '"pepper"', b"pepper"),
    "mode": ("paced", '"paced"', "paced"),
    "pace": ("20", "20", 20.0),
    "largest_body": ("2 MiB", '"2 MiB"', 2 << 20),
    "most_body": ("1024", "1024", 1024),
    "largest_answer": ("1 MiB", '"1 MiB"', 1 << 20),
    "stream_usage": ("false", "false", False),
    "complete": ("true", "true", True),
    "metrics": ("false", "false", False),
    "admin_token": ("a token of some length", '"a token of some length"', "a token of some length"),
    "show_texts": ("true", "true", True),
    "log_format": ("json", '"json"', "json"),
    "retries": ("3", "3", 3),
    "deadline": ("30", "30", 30.0),
    "breaker_failures": ("0", "0", 0),
    "breaker_pause": ("1", "1", 1.0),
    "rate": ("2.5", "2.5", 2.5),
    "burst": ("4", "4", 4.0),
    "embed_timeout": ("0.1", "0.1", 0.1),
    "connect_timeout": ("1", "1", 1.0),
    "read_timeout": ("90", "90", 90.0),
}


def flags_of(*argv):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return vars(parser.parse_args(argv))


def value_of(option, loaded):
    holder, name = option.target
    found = {Settings: loaded.settings, Serving: loaded.serving, Terms: loaded.settings.terms}[holder]
    return getattr(found, name)


def written(tmp_path, *lines):
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(lines))
    return str(path)


def test_every_field_is_an_option():
    derived = {"terms", "local", "together"}  # from other settings
    fields = {(Settings, field.name) for field in dataclasses.fields(Settings) if field.name not in derived}
    fields |= {(Serving, field.name) for field in dataclasses.fields(Serving)}
    fields |= {(Terms, name) for name in Terms._fields}
    assert sorted(map(str, fields)) == sorted(str(option.target) for option in OPTIONS)
    assert set(SAID) == {option.name for option in OPTIONS}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_file_a_variable_and_a_flag_say_the_same(option, tmp_path):
    text, toml, expected = SAID[option.name]
    base = {} if option.name == "upstreams" else {"SEMCORE_GATEWAY_UPSTREAMS": URL}
    flag = [option.flag, text]
    if not option.kind.metavar:
        flag = [option.flag if expected else "--no-" + option.flag[2:]]
    path = written(tmp_path, f"{option.name} = {toml}")
    for flags, environ in (
        (["--config", path], {}),
        ([], {option.variable: text}),
        (flag, {}),
    ):
        assert value_of(option, load(flags_of(*flags), base | environ)) == expected


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    path = written(tmp_path, "threshold = 0.5", "ttl = 5", "pace = 5", f'upstreams = ["{URL}"]')
    environ = {"SEMCORE_GATEWAY_CONFIG": path, "SEMCORE_GATEWAY_TTL": "6", "SEMCORE_GATEWAY_PACE": "6"}
    settings = load(flags_of("--pace", "7"), environ).settings
    assert (settings.threshold, settings.ttl, settings.pace) == (0.5, 6.0, 7.0)


def test_none_takes_back_what_the_file_says(tmp_path):
    path = written(tmp_path, "ttl = 5", f'upstreams = ["{URL}"]')
    assert load(flags_of("--config", path, "--ttl", "none"), {}).settings.ttl is None


def test_defaults_are_those_of_the_settings():
    loaded = load(flags_of("--upstream", URL), {})
    assert loaded.settings == Settings({"default": Upstream("default", URL)})
    assert loaded.serving == Serving()


# ---- upstreams ----

TWO = {
    "openai": Upstream("openai", "https://api.example.com", ("azure",)),
    "azure": Upstream("azure", "https://x.example.com/openai", (), "AZURE_KEY"),
}
KEYS = {"AZURE_KEY": "sk-1"}


def test_named_upstreams_in_a_file(tmp_path):
    path = written(
        tmp_path,
        "[upstreams.openai]", 'url = "https://api.example.com"', 'fallback = ["azure"]',
        "[upstreams.azure]", 'url = "https://x.example.com/openai"', 'key_env = "AZURE_KEY"',
    )  # fmt: skip
    assert load(flags_of("--config", path), KEYS).settings.upstreams == TWO


def test_named_upstreams_as_text():
    specs = [
        "openai=https://api.example.com fallback=azure",
        "azure=https://x.example.com/openai key_env=AZURE_KEY",
    ]
    flags = flags_of("--upstream", specs[0], "--upstream", specs[1])
    assert load(flags, KEYS).settings.upstreams == TWO
    environ = KEYS | {"SEMCORE_GATEWAY_UPSTREAMS": "; ".join(specs)}
    found = load(flags_of(), environ).settings.upstreams
    assert list(found.items()) == list(TWO.items())


# ---- errors ----


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("thresold = 0.8", "unknown setting thresold; is it threshold?"),
        ("threshold = 2", "threshold: expected a number from -1 to 1, got 2"),
        ("threshold = true", "threshold: expected a number"),
        ("threshold = nan", "threshold: expected a number"),
        ("port = 80.5", "port: expected a whole number from 0 to 65535, got 80.5"),
        ("port = inf", "port: expected a whole number"),
        ("largest_body = 0", "largest_body: expected bytes, or a size such as '1 MiB', got 0"),
        ("shared = 2", "shared: expected true or false, got 2"),
        ("mode = []", "mode: expected one of coalesced, faithful, paced"),
        ("cache = 1", "cache: expected a text, got 1"),
        ("ttl = -1", "ttl: expected a number from 0.001 to 1e+09, got -1 (or none)"),
        ("threshold = ", "Invalid value"),
        ("upstreams = 1", "upstreams: expected a table of upstreams by name"),
        ("[upstreams.a]", "upstreams: a: expected a table with url"),
        ("[upstreams.a]\nurl = 'https://h'\nkey = 'k'", "a: expected url, fallback, key_env, got 'key'"),
        ("[upstreams.a]\nurl = 'https://h'\nfallback = 'b'", "a: expected a list of names as fallback"),
        ("[upstreams.a]\nurl = 'https://h'\nfallback = ['b']", "upstream's name as fallback, got 'b'"),
        ("[upstreams.a]\nurl = 'https://h'\nfallback = ['a']", "upstream's name as fallback, got 'a'"),
        ("[upstreams.a]\nurl = 'https://h'\nfallback = ['b']\n[upstreams.b]\nurl = 'https://i'",
         "b: expected key_env, since it is the fallback of a on another host"),
        ("[upstreams.a]\nurl = 'https://h'\nfallback = ['b']\n[upstreams.b]\nurl = 'http://h'",
         "b: expected key_env"),
        ("[upstreams.a]\nurl = 'ftp://h'", "a: expected a URL http(s)://HOST"),
        ("[upstreams.a]\nurl = 'https://h/v1?x=1'", "a: expected a URL http(s)://HOST"),
        ("[upstreams.a]\nurl = 'https://user:word@h'", "a: expected a URL without a user"),
        ("[upstreams.v1]\nurl = 'https://h'", "and no version, got 'v1'"),
        ("[upstreams.a]\nurl = 'https://h'\nkey_env = 'UNSET'", "the variable UNSET is not set"),
    ],
)  # fmt: skip
def test_a_file_is_told_what_is_wrong_with_it(line, says, tmp_path):
    path = written(tmp_path, line)
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        load(flags_of("--config", path), {})
    assert path in str(caught.value) or "UNSET" in line


def test_errors_name_the_variable_and_the_flag():
    with pytest.raises(ConfigError, match=r"^SEMCORE_GATEWAY_PORT: expected .* got 'tcp://10.0.0.1:8080'$"):
        load(flags_of(), {"SEMCORE_GATEWAY_PORT": "tcp://10.0.0.1:8080"})
    with pytest.raises(ConfigError, match=r"^--largest-body: expected bytes"):
        load(flags_of("--largest-body", "much"), {})


def test_an_upstream_is_needed():
    with pytest.raises(ConfigError, match=r"--upstream URL, SEMCORE_GATEWAY_UPSTREAMS or \[upstreams.NAME\]"):
        load(flags_of(), {})


@pytest.mark.parametrize("specs", [["a b=c"], ["a=https://h", "a=https://i"], ["https://h", "https://i"]])
def test_upstreams_that_are_not_understood(specs):
    with pytest.raises(ConfigError, match=r"^--upstream: expected"):
        load({"upstreams": specs}, {})


@pytest.mark.parametrize(("flag", "value"), [("--salt", "pepper" * 20), ("--admin-token", "pepper")])
def test_secrets_are_not_shown(flag, value):
    with pytest.raises(ConfigError, match=f"^{flag}: expected a text of 1") as caught:
        load(flags_of(flag, value), {})
    assert "pepper" not in str(caught.value)


def test_workers_need_a_file():
    with pytest.raises(ConfigError, match="workers: 2 of them need a cache file"):
        load(flags_of("--upstream", URL, "--workers", "2"), {})


# ---- docs ----


def row(option):
    takes = f"`{option.kind.metavar}`" if option.kind.metavar else "true, false"
    cells = (f"`{option.name}`", takes, option.default or "-", option.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def test_the_page_lists_all_settings():
    page = PAGE.read_text()
    assert "\n".join(map(row, OPTIONS)) in page
