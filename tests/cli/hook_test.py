"""seawall-wal itself: exit statuses, fallback and messages, against a scripted server.

The program is copied into a folder of its own, so that the tests decide what lies beside it.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SEAWALL_BIN", ROOT / "build/release")) / "seawall-wal"
SEGMENT = "000000010000000000000001"
DEADLINE_S = 60
NOBODY = 65534


def answer(result, body=b"", status=200):
    head = f"HTTP/1.1 {status} X\r\nSeawall-Result: {result}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Host:
    """A folder with seawall-wal in bin/, a data directory and a place for sockets."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.data = self.root / "data dir"
        self.bin = self.root / "bin"
        self.socket = self.root / "s"
        (self.data / "pg_wal").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(PROGRAM, self.bin / "seawall-wal")
        self.config = self.root / "seawall.conf"
        self.config.write_text(f"[server]\nsocket = {self.socket}\n")
        self.threads = []
        self.requests = []

    def start(self, *args, program=None, path="/usr/bin:/bin", **more):
        environment = {"PATH": path, "SEAWALL_CONFIG": str(self.config)}
        return subprocess.Popen([program or self.bin / "seawall-wal", *args], cwd=self.data,
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, **more)

    def run(self, *args, **more):
        hook = self.start(*args, **more)
        out, err = hook.communicate(timeout=DEADLINE_S)
        return hook.returncode, out, err

    def push(self):
        return self.run("push", "pg_wal/" + SEGMENT)

    def fetch(self, *options):
        return self.run(*options, "fetch", SEGMENT, "pg_wal/RECOVERYXLOG")

    def serve(self, *answers, path=None, before=None):
        """Answers a request with each of answers, None: not at all; then waits for the hook's end."""
        self.end()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path or self.socket))
        listener.listen(1)
        listener.settimeout(DEADLINE_S)
        thread = threading.Thread(target=self.play, args=(listener, answers, before))
        thread.start()
        self.threads.append(thread)

    def play(self, listener, answers, before):
        with listener, listener.accept()[0] as connection:
            connection.settimeout(DEADLINE_S)
            for one in answers:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    piece = connection.recv(1000)
                    if not piece:
                        return
                    request += piece
                self.requests.append(request.decode())
                if before:
                    before()
                if one is not None:
                    connection.sendall(one)
            while connection.recv(1000):
                pass

    def seawall(self, status):
        """A `seawall` beside the hook that shows how it was called."""
        program = self.bin / "seawall"
        program.write_text(f'#!/bin/sh\nprintf "<%s>" "$@"\nexit {status}\n')
        program.chmod(0o755)

    def end(self):
        for thread in self.threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        self.threads.clear()
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def host():
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        made = Host(root)
        yield made
        made.end()


def test_without_a_server_and_without_seawall_a_push_is_1_and_a_fetch_255(host):
    status, out, err = host.push()
    assert (status, out) == (1, "")
    assert err.startswith("seawall-wal: ") and f'could not run "{host.bin}/seawall"' in err
    status, out, err = host.fetch()
    assert (status, out) == (255, "")
    assert f'could not run "{host.bin}/seawall"' in err and "hint:" in err


def test_a_standby_that_cannot_know_is_told_1(host):
    (host.data / "standby.signal").touch()
    status, _, err = host.fetch()
    assert status == 1
    assert "the standby will ask again" in err


@pytest.mark.parametrize("status", [0, 1, 255])
def test_without_a_server_seawall_beside_does_it_and_its_status_holds(host, status):
    host.seawall(status)
    plan = host.root / "plan"
    plan.write_text(f"[restore]\nsocket = {host.root}/gone\n")
    assert host.push() == (min(status, 1), f"<wal><push><pg_wal/{SEGMENT}>", "")
    got = host.fetch("--config", str(host.config), "--cluster", "a b", "--restore", str(plan))
    assert got == (status, f"<--config><{host.config}><wal><fetch><--cluster><a b><--restore><{plan}>"
                   f"<{SEGMENT}><pg_wal/RECOVERYXLOG>", "")


@pytest.mark.parametrize("end", ["exit 127", "exit 126", "exit 3", "kill -9 $$", "kill -ABRT $$"])
def test_however_the_fallback_ends_postgresql_hears_a_status_of_the_hook(host, end):
    program = host.bin / "seawall"
    program.write_text(f"#!/bin/sh\n{end}\n")
    program.chmod(0o755)
    assert host.push()[0] == 1
    status, _, err = host.fetch()
    assert status == 255 and f'"{program}" ' in err
    (host.data / "standby.signal").touch()
    assert host.fetch()[0] == 1


def test_a_missing_library_is_an_ordinary_failure(host):
    program = host.bin / "seawall"
    program.write_text("#!/nowhere/interpreter\n")
    program.chmod(0o755)
    assert host.push()[0] == 1
    assert host.fetch()[0] == 255


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGQUIT])
def test_the_fallback_never_outlives_the_hook(host, how):
    program = host.bin / "seawall"
    program.write_text('#!/bin/sh\necho $$; exec sleep 600\n')
    program.chmod(0o755)
    hook = host.start("push", "pg_wal/" + SEGMENT)
    assert int(hook.stdout.readline()) > 0
    hook.send_signal(how)
    # Ends when the last one who has the pipe is gone: the child would have it for ten minutes.
    assert hook.communicate(timeout=DEADLINE_S) == ("", "")
    assert hook.returncode == -how


def test_when_the_fallback_is_terminated_the_hook_dies_of_it_too(host):
    program = host.bin / "seawall"
    program.write_text("#!/bin/sh\nkill -TERM $$\n")
    program.chmod(0o755)
    assert host.push()[0] == -signal.SIGTERM


def test_seawall_is_found_beside_the_real_hook_and_never_through_path(host):
    host.seawall(0)
    link = host.root / "link"
    link.symlink_to(host.bin / "seawall-wal")
    assert host.run("push", "pg_wal/x", program=link) == (0, "<wal><push><pg_wal/x>", "")
    alone = host.root / "alone"
    alone.mkdir()
    shutil.copy(PROGRAM, alone)
    assert host.run("push", "pg_wal/x", program=alone / "seawall-wal", path=str(host.bin))[0] == 1


def test_a_path_is_never_an_option_of_the_fallback(host):
    host.seawall(0)
    assert host.run("push", "--", "--help")[:2] == (0, "<wal><push><./--help>")


@pytest.mark.parametrize("result, status", [("stored", 0), ("failed", 1), ("absent", 1), ("x", 1)])
def test_a_push_says_what_the_server_says(host, result, status):
    host.seawall(0)
    host.serve(answer(result, b"could not do it\nbecause\x1b\n"))
    got, out, err = host.push()
    assert (got, out) == (status, "")
    assert err.startswith("seawall-wal: could not do it\nseawall-wal: because?\n")
    data = str(host.data).replace(" ", "%20")
    assert host.requests == [f"POST /v1/wal/push?data={data}&path={data}/pg_wal/{SEGMENT}&wait=5 HTTP/1.1"
                             "\r\nHost: seawall\r\nContent-Length: 0\r\n\r\n"]


@pytest.mark.parametrize("result, status", [("absent", 1), ("failed", 255), ("stored", 255), ("x", 255)])
def test_a_fetch_says_what_the_server_says_D1(host, result, status):
    host.seawall(0)
    host.serve(answer(result, status=404))
    got, out, _ = host.fetch()
    assert (got, out) == (status, "")


def test_delivered_is_success_only_with_the_file(host):
    target = host.data / "pg_wal/RECOVERYXLOG"
    host.serve(answer("delivered"))
    assert host.fetch()[0] == 255
    host.serve(answer("working"), answer("delivered"), before=target.touch)
    assert host.fetch() == (0, "", "")
    target.unlink()
    target.mkdir()
    host.serve(answer("delivered"))
    status, _, err = host.fetch()
    assert status == 255 and "no regular file" in err


def test_a_damaged_file_stops_a_standby_too(host):
    (host.data / "standby.signal").touch()
    host.serve(answer("failed", b"damaged\n"))
    assert host.fetch()[0] == 255


def test_a_restore_is_asked_on_its_own_socket(host):
    plan, own = host.root / "plan", host.root / "own"
    plan.write_text(f"[restore]\nsocket = {own}\n")
    host.serve(answer("absent"), path=own)
    assert host.fetch("--restore", str(plan))[0] == 1
    assert f"&restore={plan} " in host.requests[0]
    plan.unlink()
    assert host.fetch("--restore", str(plan))[0] == 255


def test_an_absolute_path_names_the_data_directory(host):
    host.serve(answer("absent"))
    assert host.run("fetch", SEGMENT, f"/elsewhere/pg_wal/{SEGMENT}")[0] == 1
    assert f"?data=/elsewhere&name={SEGMENT}&path=/elsewhere/pg_wal/{SEGMENT}&" in host.requests[0]


def test_a_hung_server_is_left_for_the_fallback_D52(host):
    host.seawall(0)
    host.serve(None)
    began = time.monotonic()
    status, out, err = host.push()
    assert (status, out) == (0, f"<wal><push><pg_wal/{SEGMENT}>")
    assert "going on without the server" in err
    assert time.monotonic() - began > 9


def test_a_hung_server_costs_a_standby_less_than_10_s_D52(host):
    host.seawall(1)
    (host.data / "standby.signal").touch()
    host.serve(None)
    began = time.monotonic()
    assert host.fetch()[0] == 1
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("args, status", [
    ([], 255), (["push"], 1), (["push", "a", "b"], 1), (["push", ""], 1), (["--wrong", "push", "a"], 1),
    (["fetch"], 255), (["fetch", "a"], 255), (["fetch", "a", "b", "c"], 255), (["fetch", "", "b"], 255),
    (["fetch", "../a", "b"], 255), (["--wrong", "fetch", "a", "b"], 255), (["pull", "a"], 255),
    (["--config"], 255), (["--version", "push", "a"], 1), (["push", "--help", "a"], 1),
    (["--socket", "relative", "push", "a"], 1), (["--config", "/nowhere", "push", "a"], 1),
    (["--config", "/nowhere", "fetch", "a", "b"], 255)])
def test_a_wrong_command_line_is_never_success(host, args, status):
    host.seawall(0)
    got, out, err = host.run(*args)
    assert (got, out) == (status, "")
    assert err.startswith("seawall-wal: ")


def test_a_wrong_configuration_is_named_with_file_and_line(host):
    host.config.write_text("[server]\nsocket = here\n")
    status, _, err = host.push()
    assert status == 1
    assert f'file "{host.config}", line 2' in err


def test_help_and_version_alone_succeed(host):
    status, out, err = host.run("--version")
    assert (status, err) == (0, "") and out.startswith("seawall-wal ")
    status, out, err = host.run("--help")
    assert (status, err) == (0, "") and "restore_command" in out


@pytest.mark.parametrize("verb", [["push", "pg_wal/x"], ["fetch", "x", "pg_wal/y"]])
def test_on_sigterm_it_dies_of_sigterm(host, verb):
    asked = threading.Event()
    host.serve(None, before=asked.set)
    hook = host.start(*verb, preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    assert asked.wait(DEADLINE_S)
    hook.terminate()
    hook.communicate(timeout=DEADLINE_S)
    assert hook.returncode == -signal.SIGTERM


@pytest.mark.needs_root
def test_only_a_server_of_the_same_user_or_of_root_is_believed(host):
    host.root.chmod(0o777)
    host.seawall(0)
    host.serve(answer("stored"))
    host.socket.chmod(0o777)
    assert host.run("push", "pg_wal/x", user=NOBODY) == (0, "", "")
    host.end()
    script = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(1)\n"
              "print('up', flush=True)\nc = s.accept()[0]\nc.recv(1)\n")
    with subprocess.Popen(["/usr/bin/python3", "-c", script, host.socket], user=NOBODY,
                          stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"up\n"
        status, out, err = host.push()
    assert (status, out) == (0, f"<wal><push><pg_wal/{SEGMENT}>")
    assert f"is served by user {NOBODY}" in err
