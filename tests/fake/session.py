#!/usr/bin/env python3
"""usage: session.py PORT FILE    one connection to 127.0.0.1:PORT, where everything is sent back

Sends a numbered line every 20 ms and checks what comes back, byte for byte. FILE has one line: the number of those that came
back; at the end what ended it: wrong, eof or reset."""
import socket
import sys
import threading
import time

port, path = int(sys.argv[1]), sys.argv[2]
conn = socket.create_connection(("127.0.0.1", port))


def say(what):
    with open(path, "w", encoding="ascii") as out:
        out.write("%s\n" % what)


def send():
    number = 0
    try:
        while True:
            conn.sendall(b"%d\n" % number)
            number += 1
            time.sleep(0.02)
    except OSError:
        pass


threading.Thread(target=send, daemon=True).start()
count, have = 0, b""
try:
    while data := conn.recv(65536):
        *lines, have = (have + data).split(b"\n")
        for line in lines:
            if int(line) != count:
                say("wrong")
                sys.exit(1)
            count += 1
        say(count)
    say("eof")
except ConnectionResetError:
    say("reset")
