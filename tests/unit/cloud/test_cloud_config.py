"""The configuration of the cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesched.cloud.config import CloudConfig, load_config, shown_config
from edgesched.errors import ConfigError


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    """Each layer covers the one below; keys of the file may be spelt as the reference does."""
    file = tmp_path / "cloud.yaml"
    file.write_text("port: 1\nname: from-file\ndata_dir: /a\nkeepalive-s: 7\necrURL: http://ecr\n", encoding="utf-8")
    environment = {"EDGESCHED_CLOUD_PORT": "2", "EDGESCHED_CLOUD_NAME": "from-env"}
    config = load_config({"port": "3"}, environment, file)
    assert (config.port, config.name, config.data_dir) == (3, "from-env", Path("/a"))
    assert (config.keepalive_s, config.plugins) == (7, "http://ecr")


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    """Unknown keys with their line, wrong values with their place."""
    file = tmp_path / "cloud.yaml"
    file.write_text("prot: 1\nkeepalive_s: [1]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_config({"port": "70000", "uplink": "http://x"}, {}, file)
    for part in (f"{file}:1: unknown key 'prot' (did you mean port?)", f"{file}:2", "--port", "--uplink"):
        assert part in refused.value.message


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """A secret from a file is used and hidden."""
    secret = tmp_path / "token"
    secret.write_text("very-secret\n", encoding="utf-8")
    variables = {"EDGESCHED_DATABASE_URL": "postgresql://u:p@h/d"}
    config = load_config({"auth_token_file": str(secret)}, variables)
    assert config.auth_token == "very-secret"
    shown = shown_config(config)
    assert shown["auth_token"] == shown["database_url"] == "***"


@pytest.mark.parametrize(
    ("host", "is_open"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("h", False)]
)
def test_goals_are_open_on_loopback_only(host: str, is_open: bool) -> None:
    """From elsewhere a node needs its token."""
    assert CloudConfig(host=host).goals_are_open is is_open
    assert CloudConfig(host=host, open_goals=True).goals_are_open
