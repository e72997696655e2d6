# SPDX-License-Identifier: MIT
"""Pictures as datagrams for whoever registers, to exactly there, and to nobody who did not."""
import ctypes
import os
import pickle
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import udp
from pcs import SENDER, SLOW, Program, check_sums, free_port, read_marker, wait_for

SMALL = ("--width", 320, "--height", 240, "--fps", 30)
CLIENT = Path(__file__).parents[2] / "examples" / "udp_client.py"


def service(*args, port=0, size=SMALL, prefix=(), **kw):
    s = Program(*prefix, SENDER, "--source", "test", *size, "--udp-port", port, *args, **kw)
    s.port = int(s.wait_log(r"UDP service on port (\d+)"))
    return s


def marker(picture):
    return read_marker(picture[:, :, 1])


def test_the_published_client_sees_the_picture():
    with service() as s:
        c = udp.Client(s.port).registered()
        seen = [marker(c.picture()) for _ in range(20)]
        assert None not in seen
        numbers = [n for n, _ in seen]
        assert numbers == sorted(set(numbers))
        assert c.ids == list(range(c.ids[0], c.ids[0] + len(c.ids)))
        summary = s.stop()
    output, = summary["outputs"]
    assert output["kind"] == "udp" and output["registered"] == 1 and output["sent"] >= 20
    assert output["sent"] - 1 <= output["delivered"] <= output["sent"], "the last one may be cut"
    check_sums(summary)


def test_the_pickle_is_an_array_and_raw_is_a_jpeg():
    with service() as s:
        wrapped, bare = udp.Client(s.port).registered(), udp.Client(s.port, request=b"REGISTER_CLIENT raw").registered()
        array = pickle.loads(wrapped.payload())
        assert isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 1
        jpeg = bare.payload()
        assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
        assert array[:2].tobytes() == b"\xff\xd8"
        s.stop()


def test_the_example(tmp_path):
    with service() as s:
        for mode in ([], ["--raw"]):
            out = subprocess.run([sys.executable, str(CLIENT), "127.0.0.1", str(s.port), "--frames", "10",
                                  "--no-window", *mode], capture_output=True, text=True, timeout=60 * SLOW)
            assert out.returncode == 0 and out.stdout.startswith("10 pictures"), out
        s.stop()


def test_large_pictures_come_whole():
    """Some three hundred datagrams each; the buffer is the system's."""
    with service(size=("--width", 1920, "--height", 1080, "--fps", 10)) as s:
        c = udp.Client(s.port).registered()
        wait_for(lambda: c.payload() and c.sizes[-1] > 200 * 1200, "another picture than a stand-in")
        for _ in range(10):
            assert c.payload()
        assert c.sizes[-1] > 200 * 1200
        s.stop()


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with service("--address", "::") as s:
        assert marker(udp.Client(s.port, "::1").registered().picture())
        assert marker(udp.Client(s.port, "127.0.0.1").registered().picture())
        s.stop()


def test_two_clients_of_one_address():
    with service() as s:
        a, b = udp.Client(s.port).registered(), udp.Client(s.port).registered()
        assert marker(a.picture()) and marker(b.picture())
        a.say(b"DISCONNECT")
        assert a.silent_for(10)
        assert marker(b.picture())
        b.close()  # without a word: the kernel tells us
        s.wait_log("a client is gone")
        assert s.stop()["outputs"][0]["clients"] == 0


def test_pictures_are_made_only_for_somebody():
    with service() as s:
        c = udp.Client(s.port).registered()
        c.payload()
        c.say(b"DISCONNECT")
        assert c.silent_for(10)
        before = s.cpu_share(0.5)
        sent = udp.Client(s.port).registered()
        sent.payload()
        assert s.stop()["outputs"][0]["registered"] == 2 and before < 0.5


@pytest.mark.waits
def test_silence_of_30_s_ends_it():
    with service() as s:
        silent, alive = udp.Client(s.port).registered(), udp.Client(s.port).registered()
        started = last = time.monotonic()
        said = started
        while time.monotonic() < min(started + 40, last + 4):
            if time.monotonic() - said > 10:
                alive.say(b"KEEPALIVE")
                said = time.monotonic()
            alive.receive()
            silent.socket.setblocking(False)
            try:
                while silent.socket.recv(2048):
                    last = time.monotonic()
            except BlockingIOError:
                pass
        assert 29 < last - started < 33
        s.stop()


def test_a_server_that_is_restarted():
    """The example's way: whoever hears nothing registers again."""
    port = free_port()
    with service(port=port) as s:
        c = udp.Client(port).registered()
        c.payload()
        s.stop()
    with service(port=port) as s:
        c.say(b"REGISTER_CLIENT")
        assert marker(c.picture())
        s.stop()


def test_every_datagram_of_the_wrong_kind():
    rng = random.Random(7)
    wrong = [b"", b"REGISTER", b"register_client", b"REGISTER_CLIENT RAW", b"REGISTER_CLIENTraw", b"PROVE ",
             b"PROVE 0123abcd", b"PROVE 0123ABCD", b"PROVE zzzzzzzz", b"KEEPALIVE", b"DISCONNECT",
             b"REGISTER_CLIENT" + bytes(60000), b"\xff" * 1000]
    with service() as s:
        good = udp.Client(s.port).registered()
        bad = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for data in wrong:
            bad.sendto(data, ("127.0.0.1", s.port))
        for _ in range(2000):
            bad.sendto(rng.randbytes(rng.randrange(0, 100)), ("127.0.0.1", s.port))
        bad.setblocking(False)
        assert marker(good.picture())
        with pytest.raises(BlockingIOError):
            bad.recv(100)
        for data in (b"REGISTER_CLIENT\n", b"REGISTER_CLIENT raw\r\n\0"):
            udp.Client(s.port, request=data).registered().payload()
        s.stop()


def test_a_flood_of_registrations_is_bounded():
    """From every port of one address: 16 get in; nobody who is in notices."""
    with service() as s:
        good = udp.Client(s.port).registered()
        good.payload()
        rss = s.rss_kb()
        flood = [udp.Client(s.port) for _ in range(400)]
        s.wait_log("refused")
        answers = [c.answer() for c in flood]
        answers = [a for a in answers if a]  # a socket holds only so many questions
        assert answers.count(b"SERVER_FULL") == len(answers) - answers.count(b"REGISTERED") >= 24
        for c in flood[16:]:
            c.say(b"KEEPALIVE")
        assert marker(good.picture())
        assert s.rss_kb() < rss + 4096
        for c in flood:
            c.close()
        summary = s.stop()
    output, = summary["outputs"]
    assert output["registered"] <= 16 and output["refused"] >= 100


def test_max_clients():
    with service("--max-clients", 2) as s:
        a, b = udp.Client(s.port).registered(), udp.Client(s.port).registered()
        c = udp.Client(s.port)
        assert c.receive() == b"SERVER_FULL"
        a.say(b"DISCONNECT")
        wait_for(lambda: c.say(b"REGISTER_CLIENT") or c.receive() == b"REGISTERED", "a place", 10)
        b.payload()
        s.stop()


# ---- addresses from afar: in network namespaces of our own ----

@pytest.fixture
def far():
    """A sender's namespace and a client's, whose address 198.51.100.2 lies behind a router."""
    names = [f"pcs{os.getpid()}{x}" for x in "ab"]
    commands = f"""
        ip netns add {names[0]}
        ip netns add {names[1]}
        ip -n {names[0]} link add v0 type veth peer name v1 netns {names[1]}
        ip -n {names[0]} addr add 10.99.0.1/24 dev v0
        ip -n {names[1]} addr add 10.99.0.2/24 dev v1
        ip -n {names[1]} addr add 198.51.100.2/32 dev lo
        ip -n {names[0]} link set v0 up
        ip -n {names[1]} link set v1 up
        ip -n {names[1]} link set lo up
        ip -n {names[0]} route add 198.51.100.0/24 via 10.99.0.2
        """
    lines = [line.split() for line in commands.strip().splitlines()]
    if os.geteuid() or any(subprocess.run(line, capture_output=True).returncode for line in lines):
        subprocess.run(["ip", "netns", "del", names[0]], capture_output=True)
        subprocess.run(["ip", "netns", "del", names[1]], capture_output=True)
        pytest.skip("no network namespaces here")
    yield names
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False)


def inside(namespace, make):
    """What `make` makes in another network namespace: sockets stay there."""
    made = []

    def run():
        with open(f"/run/netns/{namespace}") as f:
            assert ctypes.CDLL(None, use_errno=True).setns(f.fileno(), 0x40000000) == 0
        made.append(make())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return made[0]


def socket_at(namespace, address):
    def make():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 0))
        s.settimeout(20)
        return s
    return inside(namespace, make)


def test_who_is_far_gets_nothing_before_it_has_answered(far):
    with service("--address", "0.0.0.0", prefix=("ip", "netns", "exec", far[0])) as s:
        c = socket_at(far[1], "198.51.100.2")
        server = ("10.99.0.1", s.port)
        said = heard = 0
        for i in range(20):
            c.sendto(b"REGISTER_CLIENT", server)
            said += 15
            prove = c.recv(2048)
            heard += len(prove)
            assert prove.startswith(b"PROVE ") and heard <= said
            c.sendto(b"KEEPALIVE", server)  # proves nothing: whoever lies about the address can say it too
            c.sendto(b"PROVE %08x" % (int(prove[6:], 16) ^ 1), server)  # nor does a wrong one
        c.settimeout(0.5)
        with pytest.raises(socket.timeout):
            c.recv(2048)
        c.settimeout(20)
        c.sendto(prove, server)
        assert c.recv(2048) == b"REGISTERED"
        assert c.recv(2048).startswith(b"FRAME_START")
        other = socket_at(far[1], "198.51.100.2")
        other.sendto(prove, server)  # another port: it is not this one's
        other.settimeout(0.5)
        with pytest.raises(socket.timeout):
            other.recv(2048)
        s.stop()


def test_the_answer_comes_from_the_address_that_was_asked(far):
    subprocess.run(["ip", "-n", far[0], "addr", "add", "10.99.0.77/24", "dev", "v0"], check=True)
    with service("--address", "0.0.0.0", prefix=("ip", "netns", "exec", far[0])) as s:
        c = socket_at(far[1], "10.99.0.2")
        for server in (("10.99.0.1", s.port), ("10.99.0.77", s.port)):
            c.sendto(b"REGISTER_CLIENT raw", server)
            data, address = c.recvfrom(2048)
            assert (data, address) == (b"REGISTERED", server)
            assert c.recvfrom(2048)[1] == server
            c.sendto(b"DISCONNECT", server)
            c.settimeout(0.5)
            with pytest.raises(socket.timeout):
                while True:
                    c.recv(2048)
            c.settimeout(20)
        s.stop()


def test_link_local_addresses(far):
    """They mean nothing without their interface, which the answer must take too."""
    for namespace, device, address in zip(far, ("v0", "v1"), ("fe80::a", "fe80::b")):
        if subprocess.run(["ip", "-n", namespace, "addr", "add", f"{address}/64", "dev", device, "nodad"],
                          capture_output=True).returncode:
            pytest.skip("no IPv6 here")
    with service("--address", "::", prefix=("ip", "netns", "exec", far[0])) as s:
        c, scope = inside(far[1], lambda: (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
                                           socket.if_nametoindex("v1")))
        c.settimeout(20)
        c.sendto(b"REGISTER_CLIENT raw", ("fe80::a", s.port, 0, scope))
        assert c.recv(2048) == b"REGISTERED"
        assert c.recv(2048).startswith(b"FRAME_START") and len(c.recv(2048)) == 1213
        s.stop()


def test_a_line_that_is_too_slow(far):
    """Its queue is shorter than a picture: fewer pictures come, each of them whole."""
    slow = "tc qdisc add dev v0 root tbf rate 16mbit burst 40k limit 80k"
    if subprocess.run(["ip", "netns", "exec", far[0], *slow.split()], capture_output=True).returncode:
        pytest.skip("no tbf here")
    with service("--address", "0.0.0.0", size=("--width", 1280, "--height", 720, "--fps", 30),
                 prefix=("ip", "netns", "exec", far[0])) as s:
        c = udp.Client(s.port, "10.99.0.1", make=lambda: socket_at(far[1], "10.99.0.2")).registered()
        c.socket.settimeout(20)
        began = len(c.ids)
        for _ in range(20):
            c.payload()
        assert min(c.sizes[1:]) > 80_000  # the first may be a stand-in
        assert len(c.ids) - began <= 40, "most of what begins comes whole"
        s.stop()


def test_a_stranger_who_never_asked_is_left_alone(far):
    """Somebody lies about an address of our own network: its host says that nobody is there, and that is it."""
    with service("--address", "0.0.0.0", prefix=("ip", "netns", "exec", far[0])) as s:
        c = socket_at(far[1], "10.99.0.2")
        c.sendto(b"REGISTER_CLIENT", ("10.99.0.1", s.port))
        c.close()  # as if it had never been
        s.wait_log("a client is gone")
        assert s.stop()["outputs"][0]["sent"] <= 3
