"""Debian's PostgreSQL 15 on a folder of its own: the oldest version that is supported."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")


class DebianPostgres:
    """Starts and stops a server that listens on a socket in its folder, and for anybody on `host` if there is one."""

    def __init__(self, folder: Path, host: str = "") -> None:
        self._host = host
        self._data = folder / "data"
        self._folder = folder

    @staticmethod
    def is_installed() -> bool:
        return (BINARIES / "postgres").exists()

    def start(self) -> str:
        """Make the cluster and start it; return its DSN."""
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root; Debian's package made this user.
            owner = pwd.getpwnam("postgres")
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            for parent in [self._folder, *self._folder.parents]:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        if self._host:
            with (self._data / "pg_hba.conf").open("a", encoding="ascii") as rules:
                rules.write("host all all all trust\n")
        options = f"-c listen_addresses='{self._host}' -c unix_socket_directories='{self._folder}' -c fsync=off"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._data / "log"), "-o", options, "start")
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def stop(self) -> None:
        """Stop the server."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(BINARIES / program), *arguments]
        if os.geteuid() == 0:
            command = [shutil.which("runuser") or "runuser", "-u", "postgres", "--", *command]
        # Not a pipe: the server would inherit it and keep it open.
        with (self._folder / "pg_ctl.log").open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self._folder)
