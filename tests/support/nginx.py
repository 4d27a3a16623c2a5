"""Run nginx for the tests, in front of apps."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.servers import find_free_port
from support.waiting import wait_until


@contextmanager
def run_nginx(site: str, folder: Path) -> Iterator[int]:
    """Run nginx with *site*, a file of conf.d, on the port that the block gets instead of port 80."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port = find_free_port()
    site = site.replace("listen 80", f"listen 127.0.0.1:{port}")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f" http {{ access_log off; client_body_temp_path {folder}/body; {paths} {site} }}"
    )
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: process.poll() is not None or (folder / "pid").exists())

            assert process.returncode is None, process.stderr and process.stderr.read()
            yield port
        finally:
            process.terminate()
