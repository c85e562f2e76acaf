"""`edgesched run`: the node agent."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace, _SubParsersAction

from edgesched.cli.lastwords import forget_last_words, write_last_words
from edgesched.errors import EdgeSchedError
from edgesched.node import log
from edgesched.node.config import Config, load_config
from edgesched.node.systemd import Notifier


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Run the node agent until SIGTERM or SIGINT."
    commands.add_parser("run", description=about, usage="edgesched run [--config FILE] [FLAGS]", raw=True)


def run(arguments: Namespace) -> int:
    """Read the configuration, run the agent, return its exit code."""
    try:
        return _run(load_config(arguments.rest, os.environ))
    except EdgeSchedError as error:
        write_last_words(str(error))
        Notifier(os.environ).status(f"refused to start: {error}")
        raise


def _run(config: Config) -> int:
    sink = log.set_up(config.log_format, debug=config.debug, secrets=config.secrets, monotonic_s=time.monotonic)
    if config.simulate:
        return _simulate(config, sink)
    return _serve(config, sink)


def _serve(config: Config, sink: log.LogSink) -> int:
    # late: everything above must be right before the heavy libraries are loaded
    from edgesched.node.main import build

    agent = build(config)
    forget_last_words()
    try:
        return agent.serve(lambda: sink.flush_repeats(time.monotonic()))
    finally:
        sink.flush_repeats()


def _simulate(config: Config, sink: log.LogSink) -> int:
    """Run against an embedded cluster of this process."""
    import dataclasses

    from edgesched.simcluster import SimCluster

    cluster = SimCluster()
    url = cluster.start()
    try:
        log.notice("cluster.embedded", url=url)
        return _serve(dataclasses.replace(config, kube_server=url, in_cluster=False, lease=False), sink)
    finally:
        cluster.stop()
