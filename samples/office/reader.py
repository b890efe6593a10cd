"""Read pages over one kept-alive connection: reader.py BASE SECONDS PAUSE."""
import sys
import time

import requests

base, seconds, pause = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
session = requests.Session()
end = time.monotonic() + seconds
page = 0
while time.monotonic() < end:
    page = page % 24 + 1
    session.get(f"{base}/p{page}.html", timeout=10)
    time.sleep(pause)
