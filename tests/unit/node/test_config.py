"""The configuration: precedence, the reference's spellings, and one clear line for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesched.core.model import Site
from edgesched.core.pods import AdmissionSettings, PodSettings
from edgesched.node.config import Config, ConfigProblemsError, load_config, show_config
from edgesched.node.settings import SETTINGS


def write(folder: Path, text: str, name: str = "agent.yaml") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(arguments: list[str], environment: dict[str, str] | None = None) -> ConfigProblemsError:
    """Load a configuration that is wrong and return what is said about it."""
    with pytest.raises(ConfigProblemsError) as caught:
        load_config(arguments, environment or {})
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value


def test_every_field_is_in_the_table_and_the_other_way_round() -> None:
    """A setting without a field, or a field that nothing can set, is a defect."""
    names = {setting.name for setting in SETTINGS}
    fields = set(Config.__dataclass_fields__) - {"origins", "notes", "pods", "admission"}
    fields |= {f"pods.{name}" for name in PodSettings.__dataclass_fields__ if name != "vsn"}
    fields |= {f"admission.{name}" for name in AdmissionSettings.__dataclass_fields__}
    assert names == fields


def test_defaults_name_no_broker_and_no_redis() -> None:
    """What is not named is not used."""
    config = load_config()
    assert (config.mqtt_uri, config.rabbitmq_uri, config.scoreboard_uri, config.goalstream_url) == ("", "", "", "")
    assert config.vsn == "W000"
    assert config.cluster == "kubeconfig"
    assert config.http_listen == "127.0.0.1:8080"


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    """Each value comes from the highest place that has it, and says which."""
    path = write(tmp_path, "nodeName: WFILE\npolicy: roundrobin\ndebug: true\nmqttURI: mqtt://file:1883\n")
    environment = {"WAGGLE_NODE_VSN": "WENV", "EDGESCHED_MQTT_URI": "mqtt://env:1883"}
    config = load_config(["--config", str(path), "--node", "WFLAG"], environment)
    assert (config.vsn, config.mqtt_uri, config.policy, config.debug) == (
        "WFLAG",
        "mqtt://env:1883",
        "roundrobin",
        True,
    )
    assert config.origins["vsn"] == "flag --node"
    assert config.origins["mqtt_uri"] == "environment EDGESCHED_MQTT_URI"
    assert config.origins["policy"] == f"file {path}:2"
    assert "kubeconfig" not in config.origins


def test_the_reference_command_line_works() -> None:
    """The arguments of the reference's DaemonSet mean what they mean there."""
    config = load_config(
        [
            "-in-cluster",
            "-policy",
            "gpuaware",
            "-nodename=W023",
            "-goalstream-url",
            "https://es.example.org/api/v1/goals/W023/stream",
            "-debug=true",
            "-simulate=false",
            "-rabbitmq-uri=wes-rabbitmq:5672",
            "-no-rabbitmq",
        ],
        {"WAGGLE_APP_ID": "uid-1", "RABBITMQ_USERNAME": "agent", "WAGGLE_SCOREBOARD": "redis:6379"},
    )
    assert (config.cluster, config.policy, config.vsn) == ("in-cluster", "gpuaware", "W023")
    assert config.goalstream_url == "https://es.example.org/api/v1/goals/W023/stream"
    assert (config.debug, config.simulate, config.no_rabbitmq) == (True, False, True)
    assert (config.app_id, config.rabbitmq_username, config.scoreboard_uri) == ("uid-1", "agent", "redis:6379")


def test_the_reference_file_works(tmp_path: Path) -> None:
    """Keys of the reference's configuration file count, its misspelt one included."""
    path = write(
        tmp_path,
        "nodeName: W07A\nkubeConfig: /etc/kube\ninCluster: true\nnoRabbitMQ: true\nrabbimqURI: r:5672\n"
        "rabbitMQUsername: u\nrabbitMQPassword: p4ssw0rd\ngoalStreamURL: http://cloud/api\n"
        "ruleCheckerURI: http://checker:5000\nscoreboardURI: s:6379\npolicy: default\nsimulate: false\ndebug: false\n",
    )
    config = load_config(["--config", str(path)])
    assert (config.vsn, config.rabbitmq_uri, config.rabbitmq_password) == ("W07A", "r:5672", "p4ssw0rd")
    assert config.cluster == "in-cluster"
    assert [note for note in config.notes if "rules are evaluated by the agent itself" in note]


@pytest.mark.parametrize("key", ["mqttTopicPrefix", "mqtt_topic_prefix", "mqtt-topic-prefix", "MQTTtopicPREFIX"])
def test_keys_may_be_written_in_several_ways(tmp_path: Path, key: str) -> None:
    """camelCase, snake_case and dashes are one key."""
    assert load_config(["-config", str(write(tmp_path, f"{key}: a/b\n"))]).mqtt_topic_prefix == "a/b"


@pytest.mark.parametrize(
    ("word", "value"),
    [("-debug", True), ("--debug=T", True), ("-debug=1", True), ("-debug=false", False), ("--debug=F", False)],
)
def test_booleans_are_those_of_go(word: str, value: object) -> None:
    """`-flag`, `-flag=true` and Go's short forms."""
    assert load_config([word]).debug is value


def test_lists_add_up_within_a_place_and_replace_across_places(tmp_path: Path) -> None:
    """`--job` may be repeated; the environment separates by commas; a flag replaces what the file says."""
    path = write(tmp_path, "jobs: [a.yaml, b.yaml]\npods:\n  requests: {cpu: 100m, memory: 1Gi}\n")
    assert load_config(["--config", str(path)]).jobs == (Path("a.yaml"), Path("b.yaml"))
    assert load_config(["--config", str(path)], {"EDGESCHED_JOBS": "c,d"}).jobs == (Path("c"), Path("d"))
    config = load_config(["--config", str(path), "--job", "e", "-job=f"])
    assert config.jobs == (Path("e"), Path("f"))
    assert config.pods.requests == {"cpu": "100m", "memory": "1Gi"}


def test_sections_reach_pods_and_admission(tmp_path: Path) -> None:
    """Pod and admission settings come from the file, the reference's environment and flags of their own."""
    path = write(tmp_path, 'admission:\n  privileged: ["waggle/*"]\n  develop: yes\npods:\n  namespace: ses2\n')
    config = load_config(
        ["--config", str(path), "--admission-max-cpu", "4", "--node", "W1"], {"APP_META_CACHE_IMAGE": "cache:1"}
    )
    assert config.admission == AdmissionSettings(privileged=("waggle/*",), develop=True, max_cpu="4")
    assert config.pods == PodSettings(vsn="W1", namespace="ses2", meta_cache_image="cache:1")


def test_secrets_come_from_files_and_are_shown_as_stars(tmp_path: Path) -> None:
    """A password file is read, its content is hidden in `config --show` and known to the log."""
    path = write(tmp_path, "hunter2hunter2\n", "password")
    config = load_config(["--mqtt-password-file", str(path)], {"EDGESCHED_HTTP_TOKEN": "0123456789"})
    assert config.mqtt_password == "hunter2hunter2"
    assert set(config.secrets) == {"hunter2hunter2", "0123456789"}
    rows = {name: (value, origin) for name, value, origin in show_config(config)}
    assert rows["mqtt_password"] == ("***", f"file {path}")
    assert rows["http_token"] == ("***", "environment EDGESCHED_HTTP_TOKEN")
    assert "hunter2" not in repr(rows)


def test_a_secret_on_the_command_line_is_warned_about() -> None:
    """The reference's flag works; the operator is told who can read it."""
    config = load_config(["-rabbitmq-password", "s3cret-word"])
    assert config.rabbitmq_password == "s3cret-word"
    (note,) = config.notes
    assert "RABBITMQ_PASSWORD" in note
    assert "s3cret" not in note


def test_the_way_to_the_cluster_with_the_highest_precedence_wins(tmp_path: Path) -> None:
    """A flag for one way undoes what file or environment say of another."""
    path = write(tmp_path, "inCluster: true\n")
    assert load_config(["--config", str(path)]).cluster == "in-cluster"
    assert load_config(["--config", str(path), "--kube-server", "http://127.0.0.1:1"]).cluster == "server"
    assert load_config(["--config", str(path), "--kubeconfig", "k"]).cluster == "kubeconfig"
    assert load_config(["--in-cluster"], {"KUBECONFIG": "k"}).cluster == "in-cluster"


def test_a_site_is_a_position() -> None:
    """South and west are negative."""
    assert load_config(["--site", "41.71,-87.98"]).site == Site(41.71, -87.98)


def test_service_variables_of_kubernetes_are_no_settings() -> None:
    """A Service named edgesched puts EDGESCHED_PORT and its kind into every pod; a near miss is told."""
    config = load_config([], {"EDGESCHED_PORT": "tcp://10.0.0.1:80", "EDGESCHED_SERVICE_HOST": "10.0.0.1"})
    assert config.notes == ()
    (note,) = load_config([], {"EDGESCHED_MQTT_URL": "mqtt://x"}).notes
    assert "EDGESCHED_MQTT_URI" in note


BAD_FLAGS = [
    (["--nodenam", "W023"], "unknown flag --nodenam (did you mean --nodename?)"),
    (["-polcy=default"], "unknown flag --polcy (did you mean --policy?)"),
    (["run.yaml"], "unexpected argument 'run.yaml'"),
    (["-in-cluster", "true"], "unexpected argument 'true' (a boolean is written --flag=true)"),
    (["--job"], "--job: a value is missing"),
    (["--in-cluster=maybe"], "--in-cluster: expected true or false, not 'maybe'"),
    (["--policy", "fifo"], "--policy: expected default, roundrobin, gpuaware or resourceaware, not 'fifo'"),
    (["--nodename", "W 023"], "--nodename: expected letters, digits, '-', '_' or '.'"),
    (["--nodename", ""], "--nodename: expected letters"),
    (["--site", "91,0"], "--site: expected a latitude from -90 to 90"),
    (["--site", "north"], "--site: expected LAT,LON in degrees"),
    (["--mqtt-uri", "http://x"], "--mqtt-uri: expected mqtt://USER@HOST:PORT"),
    (["--mqtt-uri", "mqtt://u:secret@h"], "--mqtt-uri: a password does not belong here"),
    (["--mqtt-uri", "mqtt://h:99999"], "--mqtt-uri: expected mqtt://USER@HOST:PORT"),
    (["--mqtt-version", "4"], "--mqtt-version: expected 3.1.1 or 5, not '4'"),
    (["--kube-server", "127.0.0.1:8001"], "--kube-server: expected an address such as http://127.0.0.1:8001"),
    (["--kube-server", "http://u:p@h"], "--kube-server: expected an address without a password"),
    (["--kube-workers", "0"], "--kube-workers: expected a whole number from 1 to 32, not '0'"),
    (["--kube-workers", "many"], "--kube-workers: expected a whole number from 1 to 32, not 'many'"),
    (["--goalstream-url", "ftp://x"], "--goalstream-url: expected an address such as"),
    (["--http-listen", "8080"], "--http-listen: expected HOST:PORT, such as 127.0.0.1:8080, or off, not '8080'"),
    (["--http-listen", "localhost:99999"], "--http-listen: expected HOST:PORT"),
    (["--log-format", "xml"], "--log-format: expected auto, text or json, not 'xml'"),
    (["--grace", "soon"], "--grace: expected a duration such as 90s, 10m or 1h30m, not 'soon'"),
    (["--keep-finished", "1h30"], "--keep-finished: expected a duration"),
    (["--measurement-limit", "1"], "--measurement-limit: expected a whole number from 100"),
    (["--pods-requests", "cpu"], "--pods-requests: expected KEY=VALUE, not 'cpu'"),
    (["--pods-config-mounts", "a:b"], "--pods-config-mounts: expected CONFIGMAP:KEY:PATH"),
    (["--admission-develop=perhaps"], "--admission-develop: expected true or false"),
    (["--app-id", "a\x1bb"], "--app-id: control characters are not allowed, not 'a\\x1bb'"),
]


@pytest.mark.parametrize(("arguments", "line"), BAD_FLAGS, ids=[" ".join(arguments) for arguments, _ in BAD_FLAGS])
def test_bad_flags_are_wrong_usage_with_one_line(arguments: list[str], line: str) -> None:
    """A mistake on the command line names the flag, what is expected, and is exit code 2."""
    error = problems_of(arguments)
    assert error.usage
    assert len(error.problems) == 1
    assert error.problems[0].startswith(line)
    assert "secret" not in error.problems[0]


BAD_FILES = [
    ("nodName: W1\n", ":1: unknown key 'nodName' (did you mean nodeName?)"),
    ("a: 1\nnodeName: W1\n", ":1: unknown key 'a'"),
    ("debug: [1]\n", ":1: debug: expected one value"),
    ("nodeName: W1\nvsn: W2\n", ":2: vsn is given twice (first at "),
    ("nodeName: {a: 1}\n", ":1: nodeName: expected one value"),
    ("- nodeName\n", ":1: expected keys and values, such as nodeName: W023"),
    ("just text\n", ":1: expected keys and values"),
    ("nodeName: 'W1\n", "not YAML"),
    ("nodeName: W1\n\tpolicy: x\n", "not YAML"),
    ("policy: fifo\n", ":1: expected default, roundrobin, gpuaware or resourceaware, not 'fifo'"),
    ("pods:\n  namespce: x\n", ":2: unknown key 'pods.namespce' (did you mean pods.namespace?)"),
    ("admission: true\n", ":1: unknown key 'admission'"),
    ("pods:\n  requests: cpu\n", ":2: expected KEY=VALUE, not 'cpu'"),
    ("site: 1,2,3\n", ":1: expected LAT,LON in degrees"),
    ("mqttURI: mqtt://u:pw@host\n", ":1: a password does not belong here: name a file with --mqtt-password-file"),
]


@pytest.mark.parametrize(("text", "line"), BAD_FILES, ids=[text.strip() for text, _ in BAD_FILES])
def test_bad_files_are_refused_with_file_and_line(tmp_path: Path, text: str, line: str) -> None:
    """A mistake in the file names file and line, and is exit code 1."""
    path = write(tmp_path, text)
    error = problems_of(["--config", str(path)])
    assert not error.usage
    assert len(error.problems) == 1
    assert error.problems[0].startswith(str(path))
    assert line in error.problems[0]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder, and bytes that are no text are one line each."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    large = write(tmp_path, "#" * 300_000, "large")
    for path, line in (
        (tmp_path / "missing.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "not UTF-8 text"),
        (large, "larger than 256 KiB"),
    ):
        assert problems_of(["--config", str(path)]).problems == (f"{path}: {line}",)


BAD_ENVIRONMENTS = [
    ({"WAGGLE_NODE_VSN": "W 1"}, "WAGGLE_NODE_VSN: expected letters"),
    ({"EDGESCHED_DEBUG": "si"}, "EDGESCHED_DEBUG: expected true or false, not 'si'"),
    ({"EDGESCHED_MQTT_URI": "mqtt://u:hush@h"}, "EDGESCHED_MQTT_URI: a password does not belong here"),
    ({"EDGESCHED_MQTT_PASSWORD": "hush\x00"}, "EDGESCHED_MQTT_PASSWORD: control characters are not allowed"),
    ({"EDGESCHED_CONFIG": "/nowhere/agent.yaml"}, "/nowhere/agent.yaml: No such file or directory"),
    ({"EDGESCHED_HTTP_TOKEN_FILE": "/nowhere/token"}, "environment EDGESCHED_HTTP_TOKEN_FILE: cannot read /nowhere"),
]


@pytest.mark.parametrize(("environment", "line"), BAD_ENVIRONMENTS, ids=[line for _, line in BAD_ENVIRONMENTS])
def test_bad_environments_are_refused_with_the_variable(environment: dict[str, str], line: str) -> None:
    """A mistake in the environment names the variable, never a secret."""
    error = problems_of([], environment)
    assert not error.usage
    assert len(error.problems) == 1
    assert error.problems[0].startswith(line)
    assert "hush" not in error.problems[0].replace("/nowhere", "")


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    """An empty token would let everybody in."""
    path = write(tmp_path, "\n", "token")
    assert problems_of(["--http-token-file", str(path)]).problems == (f"flag --http-token-file: {path} is empty",)


def test_two_ways_to_the_cluster_contradict() -> None:
    """Which cluster is meant must not be a guess."""
    error = problems_of(["--kube-server", "http://127.0.0.1:1", "--kubeconfig", "k"])
    assert error.problems == ("flag --kubeconfig and flag --kube-server: name one way to the cluster, not 2",)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Who has three mistakes to mend is not sent round three times."""
    path = write(tmp_path, "nodName: W1\npolicy: x\n")
    assert len(problems_of(["--config", str(path), "--grace=x"], {"EDGESCHED_DEBUG": "?"}).problems) == 4


def test_an_empty_list_in_the_file_replaces_the_default(tmp_path: Path) -> None:
    """A cluster without the edge stack has no ConfigMaps to mount, and no other way to say so."""
    path = tmp_path / "agent.yaml"
    path.write_text("pods: {config_mounts: [], requests: null, limits: {}}\n")
    config = load_config([], {"EDGESCHED_CONFIG": str(path)})
    assert config.pods.config_mounts == ()
    assert config.pods.limits == {}
