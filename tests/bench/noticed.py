# usage: noticed.py MOORBOX NEAR FAR PORT TIMES
# How long after FAR's PORT opens `ws-wait NEAR FAR:PORT` ends, in ms: the median of TIMES.
import socket, statistics, subprocess, sys, time

moorbox, near, far, port, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
took = []
for _ in range(times):
    waiting = subprocess.Popen([moorbox, "ws-wait", "-q", "-t", "10", near, f"{far}:{port}"])
    time.sleep(0.3)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen()
        opened = time.monotonic()
        if waiting.wait() != 0:
            sys.exit("ws-wait failed")
        took.append((time.monotonic() - opened) * 1000)
print(f"{statistics.median(took):.1f}")
