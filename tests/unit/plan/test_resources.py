"""Policy `resourceaware`: what fits goes, what does not says what it lacks."""

from __future__ import annotations

from typing import Any

from edgesched.core.model import PodView, ScienceGoal
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.events import NodesObserved, PodObserved
from edgesched.core.pods import NodeView
from tests.unit.plan.driver import Driver, goal, launches, payload, plugin, run_ids

ROOM = {"cpu": 1000, "memory": 2**30, "pods": 10}


def _driver(*nodes: NodeView) -> Driver:
    driver = Driver(PlanSettings(vsn="W023", policy="resourceaware"))
    driver.start()
    if nodes:
        driver.send(NodesObserved(nodes))
    return driver


def _node(name: str = "n", labels: dict[str, str] | None = None, *, usable: bool = True, **room: int) -> NodeView:
    return NodeView(name, labels or {}, {**ROOM, **room}, usable)


def _job(**asks: dict[str, Any]) -> ScienceGoal:
    """A job of plugins that run at every minute; each with fields of its spec."""
    rules = [f"schedule({name}): cronjob('{name}', '* * * * *')" for name in asks]
    return goal(*rules, plugins=[plugin(name, **spec) for name, spec in asks.items()])


def _cpu(amount: str, **selector: str) -> dict[str, Any]:
    return {"resource": {"request.cpu": amount}, "selector": selector}


def _why(driver: Driver) -> dict[str, str]:
    return {run.plugin.name: run.why for run in driver.state.runs.values() if run.run_id in driver.state.waiting}


def test_what_fits_goes_and_the_rest_waits_with_the_reason() -> None:
    """Requests are counted, the oldest first; the reason names the resource, the node and who has it."""
    driver = _driver(_node())
    effects = driver.goals(_job(a=_cpu("600m"), b=_cpu("500m"), c=_cpu("300m")))
    assert launches(effects) == ["a"]
    assert _why(driver)["b"] == "waiting for cpu: asks for 500m, 400m of 1000m free on n, held by a of job 7"
    # c would fit into what is left now, but b waits for it
    assert _why(driver)["c"].endswith("held by a of job 7, b of job 7, which waits")


def test_a_run_that_ends_makes_room() -> None:
    """The waiting runs go when the holder has ended."""
    driver = _driver(_node())
    (first,) = run_ids(driver.goals(_job(a=_cpu("600m"), b=_cpu("500m"), c=_cpu("300m"))))
    driver.created(first)
    driver.runs(first)
    assert launches(driver.ends(first)) == ["b", "c"]


def test_the_meta_container_and_the_limit_count_as_kubernetes_counts_them() -> None:
    """A limit without a request is the request; the largest init container counts where it is more."""
    driver = _driver(_node(memory=100 * 2**20))
    limit = {"resource": {"limit.memory": "60Mi"}}
    assert launches(driver.goals(_job(a=limit, b=limit))) == ["a"]
    assert _why(driver)["b"].startswith("waiting for memory: asks for 60Mi, ")
    small = _driver(_node(cpu=250))
    assert launches(small.goals(_job(a={}, b={}, c={}))) == ["a", "b"]
    assert _why(small)["c"].startswith("waiting for cpu: asks for 100m, 50m of 250m free on n")


def test_a_run_that_no_node_can_ever_hold_says_so() -> None:
    """More than the node has in all: it waits, the reason is plain, and nobody waits behind it."""
    driver = _driver(_node())
    assert launches(driver.goals(_job(a=_cpu("8"), b=_cpu("100m")))) == ["b"]
    assert _why(driver)["a"] == "waiting for cpu: asks for 8000m, node n has 1000m in all"
    missed = driver.advance(60.0)
    assert payload(missed, "plugin.missed")["reason"].startswith("waiting for cpu")


def test_what_is_not_known_holds_nobody() -> None:
    """Without a node, with an unusable one, and with labels that none has, Kubernetes is asked."""
    assert launches(_driver().goals(_job(a=_cpu("8")))) == ["a"]
    assert launches(_driver(_node(usable=False)).goals(_job(a=_cpu("8")))) == ["a"]
    assert launches(_driver(_node()).goals(_job(a=_cpu("8", zone="moon")))) == ["a"]


def test_each_plugin_is_counted_on_a_node_with_its_labels() -> None:
    """Two nodes: a full one holds back only those that want its labels."""
    core, shield = _node("core", {"zone": "core"}), _node("shield", {"zone": "shield"})
    driver = _driver(core, shield)
    effects = driver.goals(_job(a=_cpu("900m", zone="core"), b=_cpu("900m", zone="core"), c=_cpu("900m")))
    assert launches(effects) == ["a", "c"]
    assert "on core" in _why(driver)["b"]


def test_pods_of_others_count() -> None:
    """A pod of another scheduler holds what it asks for until it has gone."""
    driver = _driver(_node())
    pod = PodView("theirs", "u1", "Running", plugin="x", node_name="n", requests={"cpu": 900})
    driver.send(PodObserved(pod))
    assert launches(driver.goals(_job(a=_cpu("500m")))) == []
    assert _why(driver)["a"].endswith("held by pod theirs")
    assert launches(driver.send(PodObserved(pod, gone=True))) == ["a"]


def test_a_pod_on_its_way_out_still_counts() -> None:
    """A run ended by the removal of its job keeps its place until the pod is gone."""
    driver = _driver(_node())
    (first,) = run_ids(driver.goals(_job(a=_cpu("900m"))))
    driver.created(first)
    driver.runs(first)
    other = _job(b=_cpu("900m"))
    assert launches(driver.goals(other)) == []
    assert launches(driver.vanishes(first)) == ["b"]


def test_a_node_holds_only_so_many_pods() -> None:
    """The number of pods is a resource, too."""
    driver = _driver(_node(pods=2))
    assert launches(driver.goals(_job(a={}, b={}, c={}))) == ["a", "b"]
    assert _why(driver)["c"].startswith("waiting for pods: asks for 1, 0 of 2 free on n")


def test_a_node_that_grows_lets_waiting_runs_go() -> None:
    """A change of the nodes is looked at as soon as it is told."""
    driver = _driver(_node())
    assert launches(driver.goals(_job(a=_cpu("8")))) == []
    assert launches(driver.send(NodesObserved((_node(cpu=16_000),)))) == ["a"]


def test_the_gpu_is_for_one_at_a_time() -> None:
    """Plugins that select a GPU node wait for each other as under `gpuaware`."""
    driver = _driver(_node("g", {"resource.gpu": "true"}))
    wants = {"selector": {"resource.gpu": "true"}}
    assert launches(driver.goals(_job(a=wants, b=wants, c={}))) == ["a", "c"]
    assert _why(driver)["b"].startswith("waiting for GPU: held by a of job 7")
