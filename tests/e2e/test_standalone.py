"""`edgesched standalone` as a user sees it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.processes import Command, kubectl
from tests.waiting import wait_until

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial" / "myjob.yaml"

HEAT = """\
name: heat
plugins:
- name: sampler
  pluginSpec:
    image: registry.sagecontinuum.org/theone/imagesampler:0.3.0
- name: broken
  pluginSpec:
    image: registry.example.org/broken:exit-1
nodes:
  W023:
scienceRules:
- "schedule(sampler): any(v('env.temperature') > 30)"
- "schedule(broken): any(v('env.pressure') > 1)"
- "publish(env.event.heat, value=1): any(v('env.temperature') > 30)"
- "set(hot, value=1): any(v('env.temperature') > 30)"
"""


@pytest.fixture
def heat(tmp_path: Path) -> Path:
    """A job with measurement rules."""
    path = tmp_path / "heat.yaml"
    path.write_text(HEAT)
    return path


def publish(port: str, topic: str, value: str) -> None:
    """Publish a measurement as a person would."""
    assert shutil.which("mosquitto_pub"), "mosquitto_pub is missing: apt-get install mosquitto-clients"
    subprocess.run(["mosquitto_pub", "-p", port, "-t", topic, "-m", value], check=True, timeout=10)


def ports(command: Command) -> dict[str, str]:
    """The addresses that it printed."""
    match = command.await_line(r"agent (?P<http>\S+), cluster (?P<kube>\S+), MQTT broker \(\w+\) \S+:(?P<mqtt>\d+)$")
    command.await_line("edgesched explain PLUGIN")
    return match.groupdict()


def test_the_tutorial_job_runs_and_ends_by_itself(tmp_path: Path) -> None:
    """The cron plugin is launched in its open slot and completes; `--for` ends everything with exit code 0."""
    with Command("standalone", "--job", str(TUTORIAL), "--for", "14s", env={"TMPDIR": str(tmp_path)}) as command:
        ports(command)
        children = command.descendants()
        assert list(tmp_path.iterdir())
        command.await_line(r"job myjob is in force \(job id 1\)")
        command.await_line(r"image-sampler: its time has come, slot \d\d:\d\d:00 of cronjob")
        command.await_line(r"image-sampler: launched as pod image-sampler-")
        command.await_line(r"image-sampler: completed after \d")
        assert command.ended(30) == 0
        # two when the minute turned meanwhile
        assert re.search(r"^image-sampler: [12] launched, [12] completed", command.text, re.MULTILINE), command.text
    assert not [child for child in children if psutil.pid_exists(child.pid) and child.is_running()]
    assert not list(tmp_path.iterdir())


def test_a_published_measurement_fires_a_rule_within_100_ms(heat: Path) -> None:
    """From the measurement's arrival to the create request; the values that made it fire are told."""
    with Command("standalone", "--job", str(heat), "--for", "60s") as command:
        port = ports(command)["mqtt"]
        command.await_line("job heat is in force")
        began = len(command.lines)

        def launched() -> bool:
            # the subscription follows the goals by a moment, so the first value may come before it
            publish(port, "env/temperature", "31.5")
            return any("sampler: launched" in line for line in command.lines[began:])

        wait_until(launched, 20)
        match = command.await_line(r"sampler: launched as pod \S+, ([\d.]+) ms after the measurement came", after=began)
        assert float(match.group(1)) < 100
        for what in (r"sampler: its rule fires", r"published env\.event\.heat = 1 to all", r"set hot = 1"):
            wait_until(lambda what=what: re.search(rf"{what}:\n .*env\.temperature.*31\.5", command.text), what=what)


def test_kubectl_sees_the_pods_come_and_go(heat: Path) -> None:
    """The embedded cluster answers kubectl; a plugin that fails is told with its exit code and its last words."""
    with Command("standalone", "--job", str(TUTORIAL), "--job", str(heat), "--for", "90s") as command:
        addresses = ports(command)
        command.await_line("image-sampler: launched")
        listing = wait_until(lambda: kubectl(addresses["kube"], "get", "pods", "-n", "ses"))
        assert "image-sampler-" in listing
        wait_until(lambda: publish(addresses["mqtt"], "env/pressure", "2") or "broken: launched" in command.text, 20)
        command.await_line(r"broken: failed: Error, exit code 1; its last words: .*sensor does not answer")
        wait_until(lambda: "Completed" in kubectl(addresses["kube"], "get", "pods", "-n", "ses"), 20)


def test_status_and_explain_answer_while_it_runs(heat: Path) -> None:
    """A second terminal can ask how it is and why a plugin did not run."""
    with Command("standalone", "--job", str(heat), "--for", "60s") as command:
        http = ports(command)["http"]
        command.await_line("job heat is in force")
        status = ask_edgesched("status", "--url", http)
        assert re.search(r"^sampler +1 ", status, re.MULTILINE)
        assert max(map(len, status.splitlines())) <= 80
        explained = ask_edgesched("explain", "sampler", "--url", http)
        assert "any(v('env.temperature') > 30)" in explained
        wrong = subprocess.run(
            [*edgesched(), "explain", "samper", "--url", http], check=False, capture_output=True, text=True, timeout=30
        )
        assert wrong.returncode == 1
        assert wrong.stderr == "edgesched: no plugin samper on this node (did you mean sampler?)\n"


def test_ctrl_c_ends_all_of_it(heat: Path) -> None:
    """SIGINT ends agent, cluster, player and broker; no process is left."""
    with Command("standalone", "--job", str(heat)) as command:
        ports(command)
        children = command.descendants()
        assert children
        assert command.end(signal.SIGINT) == 0
        assert "Traceback" not in command.text
    wait_until(lambda: not any(child.is_running() for child in children))


def test_a_killed_parent_leaves_nothing_for_long(heat: Path, tmp_path: Path) -> None:
    """Even kill -9 leaves no orphan, and the next start clears the folders away, but not those of the living."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    with Command("standalone", "--job", str(heat), env={"TMPDIR": str(folder)}) as command:
        ports(command)
        children = command.descendants()
        assert children
        command.process.kill()
        command.process.wait(10)
    wait_until(lambda: not any(child.is_running() for child in children))
    left = {path.name for path in folder.iterdir()}
    assert sorted(name.partition(".")[0] for name in left) == ["edgesched-broker", "edgesched-cloud"]
    _grow_old(folder)
    with Command("standalone", "--job", str(heat), env={"TMPDIR": str(folder)}) as living:
        ports(living)
        _grow_old(folder)
        with Command("standalone", "--job", str(heat), env={"TMPDIR": str(folder)}) as command:
            ports(command)
            now = {path.name for path in folder.iterdir()}
            assert not left & now
            assert len(now) == 4
            assert command.end(signal.SIGINT) == living.end(signal.SIGINT) == 0
    assert not list(folder.iterdir())


def _grow_old(folder: Path) -> None:
    """Let folders look as if they were there for an hour."""
    for path in folder.iterdir():
        os.utime(path, (path.stat().st_atime - 3600, path.stat().st_mtime - 3600))


def test_a_second_terminal_that_knows_nothing_is_told_where_the_programs_are(heat: Path) -> None:
    """What is printed, typed into a bare shell, makes `sesctl` work."""
    with Command("standalone", "--job", str(heat), "--for", "60s", env={"PATH": "/usr/bin:/bin"}) as command:
        command.await_line(r"jobs and their runs: ")
        typed = [line.strip() for line in command.lines if line.startswith("  export ")]
        assert [line.split("=")[0] for line in typed] == ["export SES_HOST", "export SES_USER_TOKEN", "export PATH"]
        script = "; ".join([*typed, "sesctl stat"])
        done = subprocess.run(
            ["bash", "-c", script],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "heat" in done.stdout


def test_troubles_of_the_cloud_are_told(heat: Path) -> None:
    """A line of its log that is no routine is shown, and so is its end."""
    with Command("standalone", "--job", str(heat), "--for", "60s") as command:
        mqtt = ports(command)["mqtt"]
        command.await_line("job heat is in force")
        cloud = next(child for child in command.descendants() if "cloud" in child.cmdline())
        cloud.kill()
        command.await_line(r"cloud: the cloud scheduler ended with code -9")
        command.await_line(r"warning: cloud\.unavailable ")
        wait_until(lambda: publish(mqtt, "env/temperature", "31.5") or "sampler: launched" in command.text, 20)
        assert "INFO" not in command.text
        assert command.end(signal.SIGINT) == 0


def test_an_edited_job_file_is_taken_over(heat: Path, tmp_path: Path) -> None:
    """The file is read again when it changes: pods of unchanged plugins go on; a slip of the pen keeps all."""
    slow = tmp_path / "slow.yaml"
    slow.write_text('images: [{image: "*", run_s: 50}]\n')
    heat.write_text(
        HEAT.replace("any(v('env.temperature') > 30)\"\n- \"schedule(broken)", 'True"\n- "schedule(broken)')
    )
    with Command("standalone", "--job", str(heat), "--scenario", str(slow), "--for", "60s") as command:
        kube = ports(command)["kube"]
        command.await_line("sampler: running")

        def sampler_pod() -> str:
            label = "sagecontinuum.org/plugin-task=sampler"
            return kubectl(kube, "get", "pods", "-n", "ses", "-l", label, "-o", "jsonpath={.items[*].metadata.uid}")

        before = sampler_pod()
        text = heat.read_text()
        heat.write_text(text.replace("plugins:", "plugin:"))
        command.await_line(rf"{re.escape(str(heat))}:2:1: ")
        heat.write_text(text.replace("> 1", "> 4").replace("> 30", "> 40"))
        command.await_line("job heat has changed")
        assert "job heat is removed" not in command.text
        assert not re.search("sampler: (failed|completed)", command.text)
        assert sampler_pod() == before != ""


def test_without_the_clouds_packages_the_agent_reads_the_files(heat: Path, tmp_path: Path) -> None:
    """One line says what is missing; jobs run from their files, and an edited one is taken over."""
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "aiohttp.py").write_text("raise ModuleNotFoundError(name='aiohttp')\n")
    absent = {"PYTHONPATH": str(tmp_path / "absent")}
    with Command("standalone", "--job", str(heat), "--for", "60s", env=absent) as command:
        command.await_line(r"^without a cloud scheduler, which needs aiohttp: pip install 'edgesched\[cloud\]'$")
        command.await_line(r"job heat is in force \(job id f-[0-9a-f]{8}\)")
        heat.write_text(HEAT.replace("> 30", "> 40"))
        command.await_line("job heat has changed")
        assert "SES_HOST" not in command.text


def test_a_job_that_the_cloud_refuses_is_told_and_taken_when_mended(heat: Path) -> None:
    """The rest runs on; the mended file is submitted."""
    heat.write_text(HEAT.replace("schedule(sampler)", "schedule(samper)"))
    with Command("standalone", "--job", str(TUTORIAL), "--job", str(heat), "--for", "60s") as command:
        command.await_line(rf"^not taken: {re.escape(str(heat))}: \[line 12, column 13: .*samper")
        command.await_line("job myjob is in force")
        heat.write_text(HEAT)
        command.await_line("job heat is in force")


def edgesched() -> list[str]:
    """The command line of another terminal."""
    import sys

    return [sys.executable, "-m", "edgesched.cli.main"]


def ask_edgesched(*arguments: str) -> str:
    """Run a command to its end and return what it prints."""
    done = subprocess.run([*edgesched(), *arguments], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout
