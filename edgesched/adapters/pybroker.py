"""`python -m edgesched.adapters.pybroker PORT`: amqtt on 127.0.0.1, until standard input ends.

The parent holds the other end of standard input: when it dies, in whatever way, so does this process.
"""

from __future__ import annotations

import asyncio
import logging
import sys


async def _serve(port: int) -> None:
    from amqtt.broker import Broker

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


def main() -> int:
    """Run the broker; the only argument is its port."""
    logging.basicConfig(level=logging.ERROR)
    try:
        asyncio.run(_serve(int(sys.argv[1])))
    except ImportError:
        print("amqtt is not installed: pip install 'edgesched[standalone]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
