"""A line on which packets overtake each other: hold_up.py PORT

UDP that comes from 10.1.0.2 goes to 10.2.0.2, and the other way round, at PORT, 10 to 150 ms later; one in twenty twice.
"""

import heapq
import itertools
import random
import select
import socket
import sys
import time

PORT = int(sys.argv[1])
OTHER = {"10.1.0.2": "10.2.0.2", "10.2.0.2": "10.1.0.2"}
chance = random.Random(7)
order = itertools.count()
waiting, carried, late = [], 0, 0
last = {host: -1 for host in OTHER}

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
sock.bind(("", 9000))
print("ready", flush=True)
while True:
    patience = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    if select.select([sock], [], [], patience)[0]:
        packet, (host, _) = sock.recvfrom(65536)
        if host in OTHER:
            number = next(order)
            for _ in range(2 if chance.random() < 0.05 else 1):
                heapq.heappush(waiting, (time.monotonic() + chance.uniform(0.01, 0.15), number, OTHER[host], packet))
    while waiting and waiting[0][0] <= time.monotonic():
        _, number, host, packet = heapq.heappop(waiting)
        sock.sendto(packet, (host, PORT))
        carried += 1
        late += number < last[host]
        last[host] = max(last[host], number)
        if carried % 100 == 0:
            print(f"carried {carried}, {late} of them late", flush=True)
