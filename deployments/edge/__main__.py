"""`continuum-edge --config FILE`: run the agent in the foreground until SIGTERM."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path


def main() -> None:
    """Exit 1 with one line where the agent cannot start."""
    parser = argparse.ArgumentParser(
        prog="continuum-edge", description="Serve models at an edge, as its hub wants them."
    )
    parser.add_argument("--config", type=Path, required=True, help="TOML file; see deployments/edge/README.md")
    parser.add_argument("--check", action="store_true", help="read the file, say whether it is well, and end")
    asked = parser.parse_args()
    # Before numpy is imported: one thread, so that training is the same on any number of cores and memory stays small.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    import asyncio

    from blocks.errors import ContinuumError
    from deployments.edge.agent import Agent, serve
    from deployments.edge.config import read_config

    try:
        config = read_config(asked.config)
        if asked.check:
            print(json.dumps({"edge": config.edge, "ok": True}))
            return
        asyncio.run(serve(Agent(config), lambda url: print(json.dumps({"edge": config.edge, "url": url}), flush=True)))
    except (ContinuumError, OSError) as error:
        print(f"continuum-edge: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
