"""What the namespace must hold: made where the agent may, else told with the remedy."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgesched.adapters.kube import KubeApi, KubeBootstrap
from edgesched.adapters.kube.bootstrap import FORWARDED, prepare
from tests.kube.adapter.runs import SES, SETTINGS
from tests.kube.adapter.worlds import World
from tests.unit.kube.script import Notices, running
from tests.waiting import wait_until

DEFAULT = "/api/v1/namespaces/default"


def make_edge_stack(world: World) -> None:
    """Make the services and ConfigMaps of the edge stack in `default`."""
    for number, name in enumerate(FORWARDED):
        ports = [{"name": "main", "port": 5672 + number, "targetPort": 1}, {"name": "other", "port": 15672}]
        world.call("POST", f"{DEFAULT}/services", {"metadata": {"name": name}, "spec": {"ports": ports}})
    for mount in SETTINGS.config_mounts:
        body = {"metadata": {"name": mount.config_map}, "data": {mount.key: "[]"}}
        world.call("POST", f"{DEFAULT}/configmaps", body)


def content(world: World, path: str) -> dict[str, Any]:
    """Return name to object of a collection."""
    return {item["metadata"]["name"]: item for item in world.items(path)}


def test_services_are_forwarded_and_config_maps_copied(world: World, api: KubeApi) -> None:
    """With the edge stack in place nothing is missing, and plugins find its services and files in their namespace."""
    make_edge_stack(world)
    assert prepare(api, SETTINGS) == ()
    services = content(world, f"{SES}/services")
    assert set(services) == set(FORWARDED)
    spec = services["wes-rabbitmq"]["spec"]
    assert (spec["type"], spec["externalName"]) == ("ExternalName", "wes-rabbitmq.default.svc.cluster.local")
    assert [(port["name"], port["port"]) for port in spec["ports"]] == [("main", 5672), ("other", 15672)]
    assert content(world, f"{SES}/configmaps")["waggle-data-config"]["data"] == {"data-config.json": "[]"}
    assert world.items(f"{SES}/pods") == []


def test_a_second_look_writes_only_what_changed(world: World, api: KubeApi) -> None:
    """Forwards and copies follow their sources, and are left alone when nothing changed."""
    make_edge_stack(world)
    prepare(api, SETTINGS)

    def versions() -> dict[str, str]:
        objects = content(world, f"{SES}/services") | content(world, f"{SES}/configmaps")
        return {name: item["metadata"]["resourceVersion"] for name, item in objects.items()}

    before = versions()
    assert prepare(api, SETTINGS) == ()
    assert versions() == before
    body = {"metadata": {"name": "waggle-data-config"}, "data": {"data-config.json": '["camera"]'}}
    world.call("PUT", f"{DEFAULT}/configmaps/waggle-data-config", body)
    service = world.call("GET", f"{DEFAULT}/services/wes-scoreboard")
    service["spec"]["ports"][0]["port"] = 6380
    world.call("PUT", f"{DEFAULT}/services/wes-scoreboard", service)
    assert prepare(api, SETTINGS) == ()
    assert {name for name, version in versions().items() if before.get(name) != version} == {
        "waggle-data-config",
        "wes-scoreboard",
    }
    assert content(world, f"{SES}/configmaps")["waggle-data-config"]["data"] == body["data"]
    assert content(world, f"{SES}/services")["wes-scoreboard"]["spec"]["ports"][0]["port"] == 6380


def test_each_missing_piece_is_one_warning_with_its_remedy(world: World, api: KubeApi) -> None:
    """Without the edge stack every service and file is named once, and what is found later is told too."""
    notices = Notices()
    bootstrap = KubeBootstrap(api, SETTINGS, notice=notices)
    with running(bootstrap):
        wait_until(lambda: bootstrap.done)
    whats = [line["what"] for line in notices.named("kube.missing")]
    assert whats == [
        *(f"Service {name} in ses" for name in FORWARDED),
        *(f"ConfigMap {mount.config_map} in ses" for mount in SETTINGS.config_mounts),
    ]
    assert all(line["level"] == "warning" and line["hint"] for line in notices.named("kube.missing"))
    bootstrap.look()
    assert len(notices.named("kube.missing")) == len(whats)
    make_edge_stack(world)
    bootstrap.look()
    assert [line["what"] for line in notices.named("kube.found")] == whats
    assert bootstrap.missing == ()


def test_what_an_administrator_put_there_by_hand_is_enough(world: World, api: KubeApi) -> None:
    """A file that exists in the plugins' namespace only is used as it is."""
    for mount in SETTINGS.config_mounts:
        body = {"metadata": {"name": mount.config_map}, "data": {mount.key: "by hand"}}
        world.call("POST", f"{SES}/configmaps", body)
    assert prepare(api, SETTINGS, services=()) == ()
    assert content(world, f"{SES}/configmaps")["waggle-data-config"]["data"] == {"data-config.json": "by hand"}


def test_a_missing_priority_class_is_found_before_the_first_run(world: World, api: KubeApi) -> None:
    """The dry run of a pod tells what would refuse every plugin."""
    settings = dataclasses.replace(SETTINGS, priority_class="nobody-made-it", config_mounts=())
    [missing] = prepare(api, settings, services=())
    assert "nobody-made-it" in missing.reason
    assert "pods.priority_class" in missing.remedy


def test_a_missing_namespace_is_made(world: World, api: KubeApi) -> None:
    """With the right to do so the namespace is created."""
    settings = dataclasses.replace(SETTINGS, namespace="made-by-agent", config_mounts=())
    assert prepare(api, settings, services=()) == ()
    assert world.call("GET", "/api/v1/namespaces/made-by-agent")["metadata"]["name"] == "made-by-agent"
    assert prepare(api, settings, services=()) == ()


def test_an_api_that_is_away_is_tried_again(world: World, api: KubeApi) -> None:
    """The agent starts without a cluster and prepares it when it comes."""
    world.wire.pull()
    bootstrap = KubeBootstrap(api, dataclasses.replace(SETTINGS, config_mounts=()), notice=Notices(), services=())
    with running(bootstrap):
        wait_until(lambda: world.wire.port)
        assert not bootstrap.done
        world.wire.plug()
        wait_until(lambda: bootstrap.done, 15)
