"""Faults of meaning: warnings, places inside values, and what is not said twice."""

import pytest

from edgesched.core.jobs import check_job

JOB = """\
name: j
plugins:
- name: p
  pluginSpec:
    image: waggle/x:1.0.0
nodes:
  W023:
scienceRules:
- "schedule(p): cronjob('p', '*/10 * * * *')"
successCriteria:
- WallClock(1d)
"""
LONG_NAME = (
    JOB.replace("name: p\n", f"name: {'p' * 57}\n").replace("(p)", f"({'p' * 57})").replace("'p'", f"'{'p' * 57}'")
)


def found(text: str) -> list[tuple[str, str, int, int]]:
    """Return severity, code and place of each finding."""
    return [(finding.severity, finding.code, finding.line, finding.column) for finding in check_job(text)]


def with_spec(lines: str) -> str:
    """Return the job with more lines under pluginSpec."""
    return JOB.replace("waggle/x:1.0.0\n", f"waggle/x:1.0.0\n{lines}\n")


def test_a_sound_job_has_no_findings() -> None:
    """The base of the other tests is sound."""
    assert check_job(JOB) == []


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        (JOB.replace("x:1.0.0", "x"), "plugin.image.version", 5, 12),
        (JOB.replace("x:1.0.0", "x:main"), "plugin.image.upload", 5, 12),
        (JOB.replace("x:1.0.0", f"x@sha256:{'0' * 64}"), "plugin.image.digest", 5, 12),
        (LONG_NAME, "plugin.name.long", 3, 9),
        (with_spec("    env: {HOST: x}"), "plugin.env.ours", 6, 11),
        (with_spec("    env: {A: '{ secret.a.b }'}"), "plugin.env.secret", 6, 11),
        (with_spec("    args: ['http://<CAMERA_IP>/x']"), "plugin.args.placeholder", 6, 20),
        (JOB.replace("W023:", "W023: false"), "job.node.value", 7, 9),
        (JOB.replace("W023:", "W023: [p]"), "job.node.value", 7, 9),
        (JOB.replace("  W023:", "  W023: {a: 1}"), "job.node.value", 7, 9),
        (JOB.replace("WallClock(1d)", "Repeat(3)"), "criterion.ignored", 11, 3),
        (JOB.replace("WallClock(1d)", "Runs(q, 3)"), "criterion.ignored", 11, 3),
        (JOB.replace("WallClock(1d)", "Until(avg(v('a')) > tomorow)"), "criterion.ignored", 11, 23),
        (JOB.replace("successCriteria:", "- \"schedule(p): cronjob('p', '*/10 * * * *')\"\nsuccessCriteria:"),
         "rule.duplicate", 10, 3),
        (JOB.replace("*/10 * * * *", "* * * * * *"), "rule.cron", 9, 17),
        (JOB.replace("schedule(p)", "publish(a.b)"), "plugin.unscheduled", 3, 9),
        (JOB.replace("cronjob('p'", "cronjob('lock'"), "rule.plugin", 9, 17),
        (JOB + "---\nname: k\n", "yaml.documents", 1, 1),
    ],
)  # fmt: skip
def test_warnings(text: str, code: str, line: int, column: int) -> None:
    """What works otherwise than meant is one warning at its place."""
    assert found(text) == [("warning", code, line, column)]


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("\"schedule(p): cronjb('p', '* * * * *')\"", 9, 17),
        ('\'schedule(p): cronjb("p", "* * * * *")\'', 9, 17),
        ("'schedule(p): time(''hour'') > 3 and cronjb(\"p\", \"* * * * *\")'", 9, 40),
        ("schedule(p): cronjb('p', '* * * * *')", 9, 4),
        (">-\n  schedule(p):\n  time('hour') > 3 and\n  cronjb('p', '* * * * *')", 12, 3),
        ("|-\n  schedule(p): cronjb('p', '* * * * *')", 10, 16),
        ("\"schedule(p): cronjob('p', '* * *\n  * *') and\n  cronjb('p', '* * * * *')\"", 11, 3),
        ("\"schedule(p): \\u0074ime('hour') > 3 and cronjb('p', '* * * * *')\"", 9, 43),
    ],
)
def test_faults_of_rules_are_placed_in_the_file(written: str, line: int, column: int) -> None:
    """The place is that of the wrong name, whatever YAML style the rule is written in."""
    text = JOB.replace("\"schedule(p): cronjob('p', '*/10 * * * *')\"", written)
    if written.startswith("schedule"):
        # without quotes the colon makes a map of it, which is said at the item
        assert found(text) == [("error", "job.type", 9, 3)]
        return
    assert found(text) == [("error", "rule.name", line, column)]


def test_a_misspelt_key_is_the_only_thing_said() -> None:
    """That the plugins are missing is the consequence, not a second fault."""
    assert found(JOB.replace("plugins:", "plugin:")) == [
        ("error", "job.key.unknown", 2, 1),
        ("error", "rule.plugin", 9, 13),
        ("warning", "rule.plugin", 9, 17),
    ]
    assert found(JOB.replace("nodes:", "node:")) == [("error", "job.key.unknown", 6, 1)]


def test_each_field_of_a_pod_is_judged() -> None:
    """Faults of several fields are all found, each at its own place."""
    text = with_spec(
        "    selector: {zone: 'a b'}\n    node: 'c d'\n    job: ../../etc\n    env: {1A: b, B: '{secret.x}'}\n"
        "    resource: {limit.cpu: 1x, limit.memry: 1Gi}\n    volume: {/a: b, c: /d}"
    )
    assert found(text) == [
        ("error", "plugin.selector", 6, 16),
        ("error", "plugin.node", 7, 11),
        ("error", "plugin.job", 8, 10),
        ("error", "plugin.env", 9, 11),
        ("error", "plugin.env", 9, 18),
        ("error", "plugin.resource", 10, 16),
        ("error", "plugin.resource", 10, 31),
        ("error", "plugin.volume", 11, 14),
        ("error", "plugin.volume", 11, 21),
    ]


def test_a_large_job_is_checked_quickly() -> None:
    """A hundred plugins and rules are no reason to wait: bounded work a field, no repeated whole passes."""
    plugins = "".join(f"- name: p{n}\n  pluginSpec: {{image: 'x:1.0.0', env: {{A: b, C: d}}}}\n" for n in range(300))
    rules = "".join(f"- \"schedule(p{n}): cronjob('p{n}', '{n % 60} * * * *')\"\n" for n in range(300))
    assert check_job(f"name: j\nnodes: {{W023: }}\nplugins:\n{plugins}scienceRules:\n{rules}") == []
