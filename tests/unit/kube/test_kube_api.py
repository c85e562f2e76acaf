"""The connection to the Kubernetes API: every answer and every silence becomes one of two errors."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from edgesched.adapters.kube import KubeApi, KubeTarget
from edgesched.errors import ConfigError, KubeRefusedError, KubeUnavailableError
from tests.unit.kube.script import Exchange, Script, refuse, scripted


def failure(answer: object) -> KubeUnavailableError | KubeRefusedError:
    """Return the error that a scripted answer to a GET becomes."""
    script = Script()
    script.other = answer  # type: ignore[assignment]
    with scripted(script) as api, pytest.raises((KubeUnavailableError, KubeRefusedError)) as caught:
        api.get("/api/v1/x")
    return caught.value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_refusal_keeps_status_and_reason(status: int) -> None:
    """An answer of 4xx is final and carries the server's machine word and message."""
    error = failure(refuse(status, "SomeReason"))
    assert isinstance(error, KubeRefusedError)
    assert (error.status, error.reason, error.message) == (status, "SomeReason", "SomeReason by script")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_unavailable(status: int) -> None:
    """Time-outs, overload and server errors are tried again, when the server says so after its pause."""
    error = failure(refuse(status, "Trouble", {"Retry-After": "7"}))
    assert isinstance(error, KubeUnavailableError)
    assert error.retry_after_s == 7
    assert str(status) in error.message


def test_retry_after_in_the_status_object_counts() -> None:
    """A server that puts the pause into the body only is heard too."""
    body = {"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 3}}
    error = failure(lambda exchange: exchange.reply(429, body))
    assert isinstance(error, KubeUnavailableError)
    assert error.retry_after_s == 3


@pytest.mark.parametrize("header", ["soon", "-5", "99999", ""])
def test_a_strange_retry_after_is_ignored(header: str) -> None:
    """A pause that is no number, or an absurd one, does not become ours."""
    error = failure(refuse(429, "", {"Retry-After": header}))
    assert isinstance(error, KubeUnavailableError)
    assert error.retry_after_s is None


def test_foreign_bodies_are_cut() -> None:
    """A proxy's page does not flood the log: 256 characters are kept."""
    error = failure(lambda exchange: exchange.reply(404, b"<html>" + b"x" * 10_000))
    assert isinstance(error, KubeRefusedError)
    assert len(error.message) == 256


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b"\xff\xfe"])
def test_an_answer_that_is_no_object_is_unavailable(body: bytes) -> None:
    """A captive portal that answers 200 with a page is a cluster that is away, not an empty object."""
    assert isinstance(failure(lambda exchange: exchange.reply(200, body)), KubeUnavailableError)


def _half(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Length", "100")
    exchange.end_headers()
    exchange.wfile.write(b"{")
    exchange.close_connection = True


def _silent(exchange: Exchange) -> None:
    exchange.script.closing.wait(10)


def _gone(exchange: Exchange) -> None:
    exchange.connection.shutdown(socket.SHUT_RDWR)
    exchange.close_connection = True


@pytest.mark.parametrize("answer", [_half, _silent, _gone])
def test_a_broken_or_missing_answer_is_unavailable(answer: object) -> None:
    """An answer that is cut, never comes, or ends with the connection is tried again, and nothing waits for ever."""
    error = failure(answer)
    assert isinstance(error, KubeUnavailableError)
    assert error.message.startswith("Kubernetes does not answer: ")


def test_a_refused_connection_is_unavailable_at_once() -> None:
    """Without a server the message says so and no retry happens inside the client."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    api = KubeApi.connect(KubeTarget(server=f"http://127.0.0.1:{port}"), (1.0, 1.0))
    with pytest.raises(KubeUnavailableError, match="connection refused"):
        api.get("/version")


def test_redirects_are_not_followed() -> None:
    """A token is not carried to another server by a redirect."""
    script = Script()
    script.other = lambda exchange: exchange.reply(307, {}, {"Location": "/elsewhere"})
    with scripted(script) as api, pytest.raises(KubeRefusedError) as caught:
        api.get("/api/v1/x")
    assert caught.value.status == 307
    assert script.count("/elsewhere") == 0


def test_a_server_below_a_path_is_asked_below_it() -> None:
    """Cluster managers serve many clusters under one name: `https://HOST/k8s/clusters/ID`."""
    script = Script()
    script.other = lambda exchange: exchange.reply(200, {})
    with scripted(script) as near:
        api = KubeApi.connect(KubeTarget(server=f"{near.host}/k8s/clusters/c-1/"))
        api.get("/api/v1/x", {"limit": 5})
        api.close()
    assert script.requests == [("GET", "/k8s/clusters/c-1/api/v1/x?limit=5")]


def test_a_kubeconfig_with_a_proxy_goes_through_it(tmp_path: Path) -> None:
    """The proxy is asked, and is told which server is meant."""
    script = Script()
    script.other = lambda exchange: exchange.reply(200, {})
    path = tmp_path / "kubeconfig"
    with scripted(script) as proxy:
        cluster = {"server": "http://cluster.example:6443", "proxy-url": proxy.host}
        path.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "c",
                }
            )
        )
        api = KubeApi.connect(KubeTarget(kubeconfig=str(path)))
        api.get("/version")
        api.close()
    assert script.requests == [("GET", "http://cluster.example:6443/version")]


def test_requests_run_side_by_side() -> None:
    """A request that waits for its answer does not hold up those of other threads."""
    script = Script()
    release = threading.Event()

    def answer(exchange: Exchange) -> None:
        if "slow" in exchange.path:
            assert release.wait(5)
        else:
            release.set()
        exchange.reply(200, {"ok": True})

    script.other = answer
    with scripted(script) as api:
        slow: list[object] = []
        thread = threading.Thread(target=lambda: slow.append(api.get("/slow")))
        thread.start()
        assert api.get("/quick") == {"ok": True}
        thread.join(5)
        assert slow == [{"ok": True}]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no: [yaml",
        "just text",
        "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\ncurrent-context: nowhere\n",
        "apiVersion: v1\nkind: Config\nclusters: 7\ncontexts: 8\ncurrent-context: [x]\n",
    ],
)
def test_a_bad_kubeconfig_is_one_clear_line(tmp_path: Path, text: str | None) -> None:
    """A missing, empty, broken or incomplete kubeconfig names the file and the remedy."""
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        KubeApi.connect(KubeTarget(kubeconfig=str(path)))
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)
    assert "--kubeconfig" in caught.value.hint


def test_outside_a_pod_in_cluster_says_so() -> None:
    """`--in-cluster` on a host names what is missing instead of connecting to localhost."""
    with pytest.raises(ConfigError, match="service account"):
        KubeApi.connect(KubeTarget(in_cluster=True))
