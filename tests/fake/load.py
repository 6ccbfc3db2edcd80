#!/usr/bin/env python3
"""usage: load.py KIND PORT [N] [BYTES]    a client of an echo server behind 127.0.0.1:PORT; status 0: bit-exact

many    N connections at once, BYTES each there and back, written in pieces of odd sizes
serial  N connections one after the other, a few bytes each
slow    sends BYTES, reads them back slowly at first
hello   N connections one after the other to something that sends a line
idle    N connections that only stay open: prints `ready`, ends with stdin
quit    sends a byte, gets it back, and leaves without a word (SIGKILL-like: no shutdown)
half    ends its own side, then reads until the end: prints what came"""
import os
import random
import selectors
import socket
import sys
import time

kind, port = sys.argv[1], int(sys.argv[2])
n = int(sys.argv[3]) if len(sys.argv) > 3 else 1
size = int(sys.argv[4]) if len(sys.argv) > 4 else 1 << 16
pattern = random.Random(7).randbytes(1 << 20)


def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def piece(seed, at, length):
    start = (seed * 7919 + at) % len(pattern)
    out = pattern[start:start + length]
    while len(out) < length:
        out += pattern[:length - len(out)]
    return out


def many():
    sel = selectors.DefaultSelector()
    state = {}
    for i in range(n):
        s = connect()
        s.setblocking(False)
        state[s] = [i, 0, 0]
        sel.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE)
    end = time.monotonic() + 100
    while state and time.monotonic() < end:
        for key, events in sel.select(5):
            s, st = key.fileobj, state[key.fileobj]
            if events & selectors.EVENT_WRITE:
                want = min(size - st[1], 1 + (st[1] * 31 + st[0]) % 20000)
                st[1] += s.send(piece(st[0], st[1], want))
                if st[1] == size:
                    sel.modify(s, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                got = s.recv(1 << 16)
                if not got or got != piece(st[0], st[2], len(got)):
                    sys.exit("connection %d is wrong at %d of %d" % (st[0], st[2], size))
                st[2] += len(got)
                if st[2] == size:
                    sel.unregister(s)
                    s.close()
                    del state[s]
    if state:
        sys.exit("%d did not end" % len(state))


def serial():
    for i in range(n):
        with connect() as s:
            text = b"%d\n" % i
            s.sendall(text)
            got = b""
            while len(got) < len(text):
                more = s.recv(100)
                if not more:
                    sys.exit("connection %d: ended early" % i)
                got += more
            if got != text:
                sys.exit("connection %d: %r" % (i, got))


def slow():
    s = connect()
    s.setblocking(False)
    sent = got = 0
    last = time.monotonic()
    while sent < size:
        try:
            sent += s.send(piece(1, sent, min(65536, size - sent)))
            last = time.monotonic()
        except BlockingIOError:
            # back-pressure has reached us: everything on the way is full
            if time.monotonic() - last > 1:
                break
            time.sleep(0.01)
    print("stopped after %d" % sent)
    s.setblocking(True)
    import threading
    rest = threading.Thread(target=lambda at: [s.sendall(piece(1, i, min(65536, size - i))) for i in range(at, size, 65536)],
                            args=(sent,))
    rest.start()
    while got < size:
        more = s.recv(4096 if got < 1 << 20 else 1 << 16)
        if not more or more != piece(1, got, len(more)):
            sys.exit("wrong at %d" % got)
        got += len(more)
        if got < 1 << 20:
            time.sleep(0.0005)
    rest.join()


def main():
    if kind == "hello":
        for i in range(n):
            with connect() as s:
                if s.recv(100) != b"hello\n":
                    sys.exit("connection %d" % i)
    elif kind == "idle":
        held = [connect() for _ in range(n)]
        for s in held:
            s.sendall(b"x")
        for s in held:
            if s.recv(1) != b"x":
                sys.exit("no echo")
        print("ready", flush=True)
        sys.stdin.read()
    elif kind == "quit":
        s = connect()
        s.sendall(b"x")
        s.recv(1)
        os._exit(0)
    elif kind == "half":
        s = connect()
        s.shutdown(socket.SHUT_WR)
        try:
            while more := s.recv(1000):
                sys.stdout.write(more.decode())
        except ConnectionResetError:
            sys.exit("reset")
    else:
        {"many": many, "serial": serial, "slow": slow}[kind]()


main()
