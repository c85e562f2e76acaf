"""No secret of the agent's configuration comes out of it, whatever goes wrong with what it is for."""

from __future__ import annotations

import urllib.request

from edgesched.adapters.broker import free_port
from tests.e2e.processes import Command
from tests.e2e.world import CRON, World
from tests.waiting import wait_until

TOKEN, MQTT, AMQP, HTTP = "cloud-hunter2-token", "mqtt-hunter2-word", "amqp-hunter2-word", "http-hunter2-token"


def test_secrets_stay_inside(world: World) -> None:
    """Every peer that has a password is away; log at debug, page, JSON and metrics do not hold one."""
    password = world.folder / "rabbitmq.password"
    password.write_text(AMQP + "\n")
    password.chmod(0o600)
    env = {
        "EDGESCHED_GOALSTREAM_TOKEN": TOKEN,
        "EDGESCHED_MQTT_PASSWORD": MQTT,
        "EDGESCHED_HTTP_TOKEN": HTTP,
        "EDGESCHED_RABBITMQ_PASSWORD_FILE": str(password),
    }
    away = f"127.0.0.1:{free_port()}"
    flags = ["-nodename", "W023", "--kube-server", world.cluster.url, "--wes=false", "--debug", "--log-format", "json"]
    flags += ["--http-listen", f"127.0.0.1:{world.http_port}", f"--job={world.job(CRON)}"]
    flags += ["--mqtt-uri", f"mqtt://me@{away}", "--rabbitmq-uri", away, "--goalstream-url", f"http://{away}"]
    with Command("run", *flags, "--events", "cloud", env=env) as agent:
        agent.await_event("mqtt.unreachable", 60)
        agent.await_event("amqp.unreachable", 60)
        agent.await_event("cloud.unavailable", 60)
        shown = []
        for path in (
            "/",
            "/metrics",
            "/api/v1/status",
            "/api/v1/goals",
            "/api/v1/plugins",
            "/api/v1/explain?plugin=sampler",
        ):
            with urllib.request.urlopen(f"http://127.0.0.1:{world.http_port}{path}", timeout=10) as response:
                shown.append(response.read().decode())
        agent.end()
        told = agent.text
    with Command("config", "--show", *flags[:6], env=env) as config:
        wait_until(lambda: "goalstream-token" in config.text or "goalstream_token" in config.text, 30)
        assert "***" in config.text
        shown.append(config.text)
    assert [secret for secret in (TOKEN, MQTT, AMQP, HTTP) for text in (told, *shown) if secret in text] == []
