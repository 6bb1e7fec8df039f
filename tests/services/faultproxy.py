#!/usr/bin/env python3
"""A proxy between a client and a store that spoils what passes, on demand; loopback only, standard library only.

  faultproxy.py PORT HOST:PORT [FAULT...]     each FAULT in JSON, as the arguments of FaultProxy.add

Plain HTTP is understood, request by request; anything else (TLS) passes as bytes. A fault is a kind and options:
times (1, or -1 for ever) counts how often it strikes; method and path (a regular expression) choose HTTP requests;
without them, and for TLS, it strikes the next connections. Kinds:

  refuse                 the connection is accepted and reset at once (of an HTTP request: before it is read further)
  reset, truncate        RST, or a clean end, after so many bytes of the direction: dir ("up", to the store, or "down")
  stall                  silence for seconds, after so many bytes; then it goes on
  corrupt                the bits of one byte are flipped, after so many bytes
  delay                  seconds before the first byte of the direction
  throttle               at most rate bytes a second
and only for HTTP requests, of which after counts the bytes of the body:
  status                 the store is not asked: code, with an error document (error, message) and headers; with
                         drain=False at once, before the body was read
  lost_reply             the store gets the whole request, its answer is thrown away, and the client sees RST
  call                   call(path) runs before the request goes on (not from the command line)
  change                 call(head) gives the head that goes on instead: its bytes, with the empty line; or a Fault of
                         kind status, which is the answer then (likewise)
"""

import collections
import collections.abc
import contextlib
import dataclasses
import json
import re
import socket
import struct
import sys
import threading
import time

HOST, CHUNK_BYTES = "127.0.0.1", 1 << 18
METHODS = re.compile(rb"(GET|PUT|POST|HEAD|DELETE|OPTIONS) ")
ERROR = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message>'
         "<RequestId>fault</RequestId></Error>")
OF_REQUESTS = ("status", "lost_reply", "call", "change")

Seen = collections.namedtuple("Seen", "method path status fault")


class Cut(Exception):
    """The exchange is over."""


def reset(*sockets):
    for each in sockets:
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RD)
        each.close()


def end(*sockets):
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@dataclasses.dataclass
class Fault:
    """See above."""
    kind: str
    times: int = 1
    method: str = None
    path: str = None
    dir: str = "up"
    after: int = 0
    seconds: float = 1
    rate: int = 1 << 20
    code: int = 503
    error: str = "SlowDown"
    message: str = "injected"
    headers: dict = dataclasses.field(default_factory=dict)
    drain: bool = True
    call: collections.abc.Callable = None
    hits: int = 0

    def strikes(self, method, path):
        """Whether it is meant for this request, or with no method for this connection."""
        of_request = self.method is not None or self.path is not None or self.kind in OF_REQUESTS
        return (self.times != 0 and of_request == (method is not None) and (not method or self.method in (None, method))
                and (not method or re.search(self.path or "", path)))


class Pipe:
    """Bytes one way; a fault strikes when so many have passed."""

    def __init__(self, out, both):
        self.out, self.both, self.fault, self.passed = out, both, None, 0

    def send(self, data):
        fault = self.fault
        if fault:
            before = fault.after - self.passed
            self.passed += len(data)
            if fault.kind == "throttle":
                time.sleep(len(data) / fault.rate)
            elif before < len(data):
                self.fault = None
                data = self.strike(fault, data, max(before, 0))
        self.out.sendall(data)

    def strike(self, fault, data, before):
        """Sends what comes before the fault; returns what is to follow."""
        if fault.kind == "corrupt":
            return data[:before] + bytes([data[before] ^ 0xFF]) + data[before + 1:]
        self.out.sendall(data[:before])
        if fault.kind in ("reset", "truncate"):
            time.sleep(0.05)  # what was sent shall arrive first
            (reset if fault.kind == "reset" else end)(*self.both)
            raise Cut
        time.sleep(fault.seconds)  # stall, delay
        return data[before:]


class Reader:
    """What comes from a socket, up to a mark or a length."""

    def __init__(self, peer):
        self.peer, self.held = peer, b""

    def some(self):
        data, self.held = self.held or self.peer.recv(CHUNK_BYTES), b""
        return data

    def until(self, mark):
        """Up to and with the mark; nothing at the end."""
        while mark not in self.held:
            data = self.peer.recv(CHUNK_BYTES)
            if not data:
                if self.held:
                    raise Cut
                return None
            self.held += data
        head, found, self.held = self.held.partition(mark)
        return head + found

    def must(self, mark):
        head = self.until(mark)
        if head is None:
            raise Cut
        return head

    def copy(self, length, put):
        while length:
            data = self.some()
            if not data:
                raise Cut
            self.held, data = data[length:], data[:length]
            length -= len(data)
            put(data)

    def chunked(self, put):
        while True:
            line = self.must(b"\r\n")
            put(line)
            length = int(line.split(b";")[0], 16)
            if length:
                self.copy(length + 2, put)
                continue
            while line != b"\r\n" or length == 0:
                line, length = self.must(b"\r\n"), 1
                put(line)
            return


def header(head, name):
    found = re.search(rb"(?im)^" + name + rb":[ \t]*([^\r\n]*)", head)
    return found[1].decode().lower() if found else ""


class Exchange:
    """The HTTP requests of one connection."""

    def __init__(self, proxy, client, store):
        self.proxy, self.client, self.store = proxy, client, store
        self.from_client, self.from_store = Reader(client), Reader(store)

    def body(self, head, put):
        if header(head, b"transfer-encoding"):
            self.from_client.chunked(put)
        elif header(head, b"content-length"):
            self.from_client.copy(int(header(head, b"content-length")), put)

    def one(self):
        """One request and its answer; returns whether another may follow."""
        head = self.from_client.until(b"\r\n\r\n")
        if head is None:
            return False
        method, path = (part.decode("latin-1") for part in head.split(b" ", 2)[:2])
        fault = self.proxy.take(method, path)
        if fault and fault.kind == "refuse":
            self.proxy.saw(method, path, 0, fault)
            raise Cut
        if fault and fault.kind == "status":
            self.proxy.saw(method, path, fault.code, fault)
            return self.refuse(head, method, fault)
        both = (self.client, self.store)
        up, down = Pipe(self.store, both), Pipe(self.client, both)
        if fault and fault.kind == "call":
            fault.call(path)
        elif fault and fault.kind == "change":
            changed = fault.call(head)
            if isinstance(changed, Fault):
                self.proxy.saw(method, path, changed.code, fault)
                return self.refuse(head, method, changed)
            head = changed
        elif fault and fault.kind != "lost_reply":
            (up if fault.dir == "up" else down).fault = fault
        try:
            self.forward(head, up)
            answer = self.answer(down, method, fault and fault.kind == "lost_reply")
        except (Cut, OSError):
            self.proxy.saw(method, path, 0, fault)
            raise
        self.proxy.saw(method, path, int(answer.split(b" ")[1]), fault)
        if fault and fault.kind == "lost_reply":
            raise Cut
        return "close" not in (header(head, b"connection"), header(answer, b"connection"))

    def forward(self, head, up):
        """The request; the head passes whole, for a fault is of the body."""
        self.store.sendall(head)
        if header(head, b"expect") == "100-continue":
            answer = self.from_store.must(b"\r\n\r\n")
            if b" 100 " not in answer.split(b"\r\n")[0]:
                self.from_store.held = answer + self.from_store.held
                return
            self.client.sendall(answer)
        if up.fault and up.fault.kind == "delay":
            time.sleep(up.fault.seconds)
            up.fault = None
        self.body(head, up.send)

    def answer(self, down, method, lost):
        """The head of the answer, when all of it has passed."""
        while True:
            head = self.from_store.must(b"\r\n\r\n")
            code = int(head.split(b" ")[1])
            if code >= 200:
                break
            self.client.sendall(head)
        put = (lambda data: None) if lost else down.send
        if not lost:
            if down.fault and down.fault.kind in ("delay", "stall") and not down.fault.after:
                time.sleep(down.fault.seconds)
                down.fault = None
            self.client.sendall(head)
        if method == "HEAD" or code in (204, 304):
            if down.fault and down.fault.kind in ("reset", "truncate"):
                down.strike(down.fault, b"", 0)
        elif header(head, b"transfer-encoding") == "chunked":
            self.from_store.chunked(put)
        elif header(head, b"content-length"):
            self.from_store.copy(int(header(head, b"content-length")), put)
        else:
            while data := self.from_store.some():
                put(data)
        return head

    def refuse(self, head, method, fault):
        """An answer that the store never gave."""
        if fault.drain:
            if header(head, b"expect") == "100-continue":
                self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.body(head, lambda data: None)
        document = "" if method == "HEAD" else ERROR.format(fault.error, fault.message)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fault.headers.items())
        lines += "" if fault.drain else "Connection: close\r\n"
        self.client.sendall(f"HTTP/1.1 {fault.code} Injected\r\nContent-Type: application/xml\r\n"
                            f"Content-Length: {len(document)}\r\n{lines}\r\n{document}".encode())
        if not fault.drain:
            time.sleep(0.05)
        return fault.drain


def pump(source, pipe, target):
    """Bytes one way until their end."""
    try:
        while data := source.recv(CHUNK_BYTES):
            pipe.send(data)
        target.shutdown(socket.SHUT_WR)
    except (OSError, Cut):
        reset(source, target)


class FaultProxy:
    """Listens on port (0: a free one) for target, in threads. seen has each request that came and what it got."""

    def __init__(self, target, port=0):
        host, _, number = target.rpartition(":")
        self.target = (host, int(number))
        self.faults, self.seen, self.lock = [], [], threading.Lock()
        self.sockets = set()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def add(self, kind, **options):
        """Arms a fault; its hits are counted."""
        fault = Fault(kind, **options)
        with self.lock:
            self.faults.append(fault)
        return fault

    def clear(self):
        with self.lock:
            self.faults.clear()

    @contextlib.contextmanager
    def outage(self):
        """Nothing comes through: new connections are reset, and those that are open."""
        fault = self.add("refuse", times=-1)
        with self.lock:
            sockets = list(self.sockets)
        end(*sockets)
        try:
            yield
        finally:
            with self.lock:
                self.faults.remove(fault)

    def take(self, method=None, path=None):
        """The first fault for this request, or for this connection."""
        with self.lock:
            for fault in self.faults:
                if fault.strikes(method, path):
                    fault.times -= fault.times > 0
                    fault.hits += 1
                    return fault
        return None

    def saw(self, method, path, status, fault):
        with self.lock:
            self.seen.append(Seen(method, path, status, fault and fault.kind))

    def requests(self, method=None, path=""):
        """Those that were seen, by method and regular expression."""
        with self.lock:
            return [each for each in self.seen if method in (None, each.method) and re.search(path, each.path)]

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def close(self):
        end(self.listener)
        self.listener.close()
        with self.lock:
            end(*self.sockets)

    def serve(self, client):
        store, fault = None, self.take()
        try:
            if fault and fault.kind == "refuse":
                raise Cut
            store = socket.create_connection(self.target, timeout=10)
            store.settimeout(None)
            with self.lock:
                self.sockets |= {client, store}
            for each in (client, store):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pass_all(client, store, fault)
            end(client, store)
        except (OSError, Cut, ValueError):
            reset(client, *([store] if store else []))
        finally:
            with self.lock:
                self.sockets -= {client, store}
            client.close()
            if store:
                store.close()

    def pass_all(self, client, store, fault):
        if not fault and METHODS.match(client.recv(CHUNK_BYTES, socket.MSG_PEEK)):
            exchange = Exchange(self, client, store)
            while exchange.one():
                pass
            return
        up, down = Pipe(store, (client, store)), Pipe(client, (client, store))
        (up if fault and fault.dir == "up" else down).fault = fault
        back = threading.Thread(target=pump, args=(store, down, client), daemon=True)
        back.start()
        pump(client, up, store)
        back.join()


if __name__ == "__main__":
    if len(sys.argv) < 3 or ":" not in sys.argv[2]:
        sys.exit(__doc__)
    here = FaultProxy(sys.argv[2], int(sys.argv[1]))
    for argument in sys.argv[3:]:
        here.add(**json.loads(argument))
    print(here.port, flush=True)
    threading.Event().wait()
