"""Work through a queue over HTTP. A message is acknowledged when it is done, so none is lost if this program dies."""

from __future__ import annotations

import os
import sys
import time

import httpx

API_URL = os.environ.get("LEVERET_API", "http://guest:guest@localhost:15672")
QUEUE = "http.tasks"


def main() -> None:
    """Take one message at a time, for as long as nobody stops this."""
    with httpx.Client(base_url=f"{API_URL}/api", timeout=90) as api:
        api.put(f"queues/%2F/{QUEUE}", json={"durable": True}).raise_for_status()
        while True:  # a consumer whose lease has run out is gone: 404
            made = api.post(f"leveret/queues/%2F/{QUEUE}/consumers", json={"prefetch": 1, "lease": 10})
            consumer = f"leveret/consumers/{made.raise_for_status().json()['id']}"
            print(f"Waiting for tasks in {QUEUE}. Ctrl-C stops.", flush=True)
            while (reply := api.post(f"{consumer}/receive", params={"wait": 60})).status_code != 404:
                for message in reply.raise_for_status().json()["messages"]:
                    again = " again" if message["redelivered"] else ""
                    print(f"Started{again}: {message['payload']}", flush=True)
                    time.sleep(len(message["payload"]) / 10)  # stands for the work, which takes less than the lease
                    api.post(f"{consumer}/acks", json={"ack": [message["tag"]]})
                    print(f"Done: {message['payload']}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except httpx.ConnectError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
