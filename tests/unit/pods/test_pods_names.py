"""Names within Kubernetes' limits, image references and quantities."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesched.core.pods import ImageRef, instance_name, parse_image, pod_name
from edgesched.core.pods.names import container_name, is_label_value, label_value
from edgesched.core.pods.quantity import in_units, parse_quantity

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@given(st.text(max_size=100), st.text(max_size=100))
def test_names_are_valid_for_any_plugin_and_key(plugin: str, key: str) -> None:
    """Whatever a plugin is called, its pods, containers and labels have names that Kubernetes takes."""
    assert DNS_LABEL.match(pod_name(plugin, key))
    assert DNS_LABEL.match(container_name(plugin))
    assert re.match(r"[a-z0-9][a-z0-9-]{0,55}-[0-9a-f]{6}\Z", instance_name(plugin, key))
    assert is_label_value(label_value(plugin))


@given(st.from_regex(r"[a-z0-9-]{1,80}\Z"), st.text(max_size=20), st.text(max_size=20))
def test_names_tell_runs_apart(plugin: str, one: str, other: str) -> None:
    """The same run always has the same pod name, and two runs of one plugin never share it."""
    assert (pod_name(plugin, one) == pod_name(plugin, other)) == (one == other)
    assert (instance_name(plugin, one) == instance_name(plugin, other)) == (one == other)


def test_a_short_name_is_kept_and_a_long_one_is_cut_at_the_limit() -> None:
    """A pod's name begins with the plugin's and never exceeds 63 characters."""
    assert pod_name("sampler", "k") == "sampler-8254c329a9"
    assert len(pod_name("x" * 80, "k")) == 63
    assert len(instance_name("x" * 80, "k")) == 63
    assert pod_name("-lead-", "k").startswith("lead-")
    assert pod_name("---", "k").startswith("plugin-")


def test_two_long_plugins_do_not_share_a_container_name() -> None:
    """Names that are equal in their first 63 characters stay apart after the cut."""
    assert container_name("x" * 80 + "a") != container_name("x" * 80 + "b")
    assert label_value("x" * 80 + "a") != label_value("x" * 80 + "b")
    assert label_value("") == ""


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("busybox", ImageRef("docker.io", "library/busybox")),
        ("waggle/plugin-iio:0.6.0", ImageRef("docker.io", "waggle/plugin-iio", "0.6.0")),
        ("localhost/edgetest/busybox:1", ImageRef("localhost", "edgetest/busybox", "1")),
        ("localhost:5000/x", ImageRef("localhost:5000", "x")),
        ("registry.sagecontinuum.org/a/b:v1-base", ImageRef("registry.sagecontinuum.org", "a/b", "v1-base")),
        ("Registry.Example.org/a__b--c.d:1", ImageRef("registry.example.org", "a__b--c.d", "1")),
        ("a/b@sha256:" + "0f" * 32, ImageRef("docker.io", "a/b", "", "sha256:" + "0f" * 32)),
        ("a/b:1@sha256:" + "0f" * 32, ImageRef("docker.io", "a/b", "1", "sha256:" + "0f" * 32)),
    ],
)
def test_image_references_are_taken_apart(text: str, ref: ImageRef) -> None:
    """Registry ports, missing tags and digests do not confuse the parser."""
    assert parse_image(text) == ref


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", Fraction(1, 2)),
        ("2", Fraction(2)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("300Mi", Fraction(300 * 2**20)),
        ("1Gi", Fraction(2**30)),
        ("1G", Fraction(10**9)),
        ("1k", Fraction(1000)),
        ("1e3", Fraction(1000)),
        ("1E", Fraction(10**18)),
        ("-1", Fraction(-1)),
        ("100n", Fraction(1, 10**7)),
    ],
)
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    """A quantity has the value that Kubernetes gives it."""
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "1 Gi", "1gi", "lots", "1.2.3", "1e9999", "9" * 40, "1m\n", "٣"])
def test_other_texts_are_no_quantities(text: str) -> None:
    """What Kubernetes refuses, and what would make a number of a million digits, is refused."""
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


def test_amounts_are_counted_in_whole_units() -> None:
    """CPU counts in millicores, everything else in bytes or pieces, rounded up."""
    assert in_units("cpu", "1") == 1000
    assert in_units("cpu", "0.1m") == 1
    assert in_units("memory", "1Ki") == 1024
    assert in_units("nvidia.com/gpu", "1") == 1
