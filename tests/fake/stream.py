#!/usr/bin/env python3
"""usage: stream.py KIND [SEND RECEIVE COUNT]    prints its port on 127.0.0.1, then serves connections

hello   sends a line and closes
hold    sends a line and keeps the connection until the other side closes
sink    reads until the end, closes
reset   sends a line, then resets the connection
endless sends for ever
both    sends the file SEND while it reads COUNT bytes into the file RECEIVE; closes when both are done"""
import socket
import struct
import sys
import threading
import time

kind = sys.argv[1]
server = socket.create_server(("127.0.0.1", 0), backlog=64)


def receive(conn):
    left = int(sys.argv[4])
    with open(sys.argv[3], "wb") as out:
        while left and (data := conn.recv(1 << 16)):
            out.write(data)
            left -= len(data)


def serve(conn):
    with conn:
        if kind == "both":
            reader = threading.Thread(target=receive, args=(conn,))
            reader.start()
            with open(sys.argv[2], "rb") as data:
                conn.sendfile(data)
            reader.join()
        elif kind == "endless":
            try:
                while True:
                    conn.sendall(b"a line of text\n" * 1000)
            except OSError:
                pass
        elif kind != "sink":
            conn.sendall(b"hello\n")
        if kind in ("hold", "sink"):
            while conn.recv(1 << 16):
                pass
        if kind == "reset":
            time.sleep(0.2)
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
