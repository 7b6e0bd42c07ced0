"""Processes by fork of one that has imported what they need: imports are most of a short life."""

import json
import os
import select
import signal
import socket
import subprocess
import sys

MESSAGE_BYTES = 1 << 20


class Forked:
    """What `subprocess.Popen` offers, for a process that the forking process is the parent of."""

    def __init__(self, pid: int, status: socket.socket, output: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = open(output, encoding="utf-8", buffering=1)
        self._status = status

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = _told(self._status)
            self._status.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def read(self, timeout: float) -> str:
        """What it has written, standard error too, once it has ended; little enough for a pipe."""
        self.wait(timeout)
        with self.stdout:
            return self.stdout.read()


def _told(status: socket.socket) -> int:
    told = status.recv(16)
    if not told:
        raise RuntimeError("The process that forks or watches has ended; its words are above.")
    return int(told)


class Forking:
    """A process that has run `imports`; it ends when its caller does."""

    def __init__(self, imports: str) -> None:
        self._control, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno()), imports]
            subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def start(self, code: str, *arguments: object) -> Forked:
        """Run code as `python -c` would, with the environment and the folder of this moment."""
        asked = {"code": code, "arguments": list(map(str, arguments))}
        asked |= {"environ": dict(os.environ), "folder": os.getcwd()}
        status, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        output, written = os.pipe()
        fds = [theirs.fileno(), written]
        socket.send_fds(self._control, [json.dumps(asked).encode()], fds)
        for fd in (theirs.detach(), written):
            os.close(fd)
        return Forked(_told(status), status, output)


def _serve(control: socket.socket) -> str:
    """Fork for each request; returns the code to run in a fork, and nothing in the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that watch leave no zombies
    while True:
        message, fds, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not message:
            return ""
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _watched(json.loads(message), socket.socket(fileno=fds[0]), fds[1])
        for fd in fds:
            os.close(fd)


def _watched(asked: dict, status: socket.socket, output: int) -> str:
    """Fork once more: one tells how the other ended, which goes on here."""
    pid = os.fork()
    if pid:
        os.close(output)
        status.send(str(pid).encode())
        status.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
        os._exit(0)
    status.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    sys.argv[:] = ["-c", *asked["arguments"]]
    return asked["code"]


if __name__ == "__main__":
    asking = socket.socket(fileno=int(sys.argv[1]))
    exec(sys.argv.pop(2), {"__name__": "imports"})
    exec(_serve(asking), {"__name__": "__main__"})
