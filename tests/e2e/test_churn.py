# SPDX-License-Identifier: MIT
"""Many senders that come, break off, come back and go, all at once; and the end in the middle of it."""
import os
import random
import threading
import time

import wire
from pcs import SLOW, decodes_cleanly, probe, receiver

PEERS = 50
SECONDS = 10


class Restless(threading.Thread):
    """A sender that never stays: sessions begun, broken anywhere, resumed and ended at random."""

    def __init__(self, port, seed, over):
        super().__init__(daemon=True)
        self.port, self.over, self.rng = port, over, random.Random(seed)
        self.picture = wire.jpeg(value=seed)
        self.failure = None

    def run(self):
        while not self.over.is_set():
            try:
                self.session(os.urandom(16))
            except (OSError, AssertionError) as e:  # the receiver may refuse, or be gone
                if "many senders" not in str(e) and not isinstance(e, OSError) and "closed" not in str(e):
                    self.failure = e
                    return

    def session(self, session):
        newest = 0
        while not self.over.is_set():
            peer = wire.Peer.connect(self.port)
            peer.sock.settimeout(5 * SLOW)
            from_seq, _ = peer.greet(session, first=1, next_=newest + 1)
            assert from_seq <= newest + 1, (from_seq, newest)
            first = from_seq or 1
            newest = max(newest, first + self.rng.randrange(1, 30))
            for seq in range(first, newest + 1):
                peer.send(wire.frame(seq, self.picture, flags=wire.REWOUND if seq == first else 0))
            ending = self.rng.randrange(4)
            if ending == 0:
                peer.send(wire.bye(newest + 1))
                while peer.receive() is not None:
                    pass
                peer.close()
                return
            if ending == 1:
                peer.send(wire.frame(newest + 1, self.picture)[:self.rng.randrange(1, 200)])
            if ending == 2:
                peer.expect(wire.ACK)
            peer.reset() if self.rng.randrange(2) else peer.close()
            if self.rng.randrange(3) == 0:
                return


def test_churn(tmp_path):
    over = threading.Event()
    with receiver(tmp_path / "%n-%s.mp4", "--max-senders", 40, "--sync", "100ms", "--stats-interval",
                  "200ms") as r:
        peers = [Restless(r.port, i, over) for i in range(PEERS)]
        for p in peers:
            p.start()
        time.sleep(SECONDS)
        summary = r.stop(seconds=4)  # all in full swing
        over.set()
        for p in peers:
            p.join(20)
    assert [p.failure for p in peers if p.failure] == []
    streams = summary["streams"]
    assert len(streams) > 20 and sum(s["received"] for s in streams) > 1000
    for s in streams:
        assert s["written"] >= s["received"] and s["lost"] == 0, s
    files = [f for s in streams for f in s["files"]]
    assert len(files) == len(set(files))
    for f in random.Random(1).sample(files, 5):
        assert int(probe(f)["nb_read_packets"]) > 0
        assert decodes_cleanly(f)[0]
