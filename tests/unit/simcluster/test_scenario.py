"""Scenario files: what they mean and how mistakes in them are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesched.errors import ConfigError
from edgesched.simcluster import Outcome, load_scenario, parse_scenario

FULL = """
node:
  name: edge
  labels: {resource.gpu: "true"}
  capacity: {nvidia.com/gpu: 1, cpu: 8}
images:
- image: "*/sampler:*"
  start_delay_s: 0.5
  run_s: 3
  exit_code: [1, 0]
  log: |
    first
    second
  publish:
  - {name: upload, value: "file:///a", meta: {n: 1}, after_s: 1}
- plugin: "endless-*"
  run_s: null
  on_term: ignore
"""


def _pod(image: str, name: str) -> dict[str, object]:
    return {"spec": {"containers": [{"image": image, "name": name}]}}


def test_every_key_has_its_meaning() -> None:
    """Numbers, lists, texts of several lines and publications are read."""
    scenario = parse_scenario(FULL)
    first, second = scenario.outcomes
    assert (first.start_delay_s, first.run_s, first.exit_code) == (0.5, 3.0, (1, 0))
    assert first.log == ("first", "second")
    assert first.publish[0].meta == {"n": "1"}
    assert (second.run_s, second.on_term) == (None, "ignore")
    assert scenario.node.labels == {"zone": "core", "resource.gpu": "true"}
    assert scenario.node.capacity == {"cpu": "8", "memory": "8Gi", "pods": "110", "nvidia.com/gpu": "1"}


def test_the_first_match_decides() -> None:
    """By image, by the container's name, and a plain success for the rest."""
    scenario = parse_scenario(FULL)
    assert scenario.outcome(_pod("r/sampler:1", "endless-x")).run_s == 3.0
    assert scenario.outcome(_pod("r/other:1", "endless-x")).run_s is None
    assert scenario.outcome(_pod("r/other:1", "x")) == Outcome()


def test_the_default_serves_the_tutorial() -> None:
    """The tutorial's image-sampler publishes an upload."""
    outcome = load_scenario().outcome(_pod("registry.sagecontinuum.org/theone/imagesampler:0.3.0", "image-sampler"))
    assert [publication.name for publication in outcome.publish] == ["upload"]
    assert outcome.run_s is not None
    assert outcome.publish[0].after_s < outcome.run_s


MISTAKES = {
    "no YAML": ("images: [", "is not YAML"),
    "a list": ("- a", "must be a mapping"),
    "unknown key": ("image: []", "unknown key 'image'"),
    "unknown key of an image": ("images: [{runs: 1}]", "images[0]: unknown key 'runs'"),
    "images is text": ("images: x", "images must be a list"),
    "time is text": ("images: [{run_s: soon}]", "images[0].run_s must be a number of seconds"),
    "time is negative": ("images: [{start_delay_s: -1}]", "images[0].start_delay_s must be a number of seconds"),
    "exit code is too large": ("images: [{exit_code: 256}]", "images[0].exit_code must be an exit code"),
    "oom is a flag": ("images: [{oom: true}]", "images[0].oom must be one of child, main"),
    "a publication without a name": ("images: [{publish: [{value: 1}]}]", "publish[0]: the measurement's name"),
    "capacity is a word": ("node: {capacity: {cpu: many}}", "node.capacity.cpu: 'many' is no quantity"),
    "image is a number": ("images: [{image: 1}]", "images[0].image must be text"),
    "log is a number": ("images: [{log: 1}]", "images[0].log must be a list of lines"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    """One line that names file, place and what is wanted."""
    with pytest.raises(ConfigError) as caught:
        parse_scenario(text, "my.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("my.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_scenario(tmp_path / "nowhere.yaml")
