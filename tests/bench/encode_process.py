#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CPU of the whole sender for a 1080p30 picture that x264 encodes (ultrafast, zerolatency, 4 Mbit/s),
against ffmpeg that does the same with the same pictures of the emulated camera, whose own thread is
counted for neither."""
import benchlib as b

ROUNDS = 2
GOAL = 1.0
X264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v",
        b.BITRATE, "-maxrate", b.BITRATE, "-bufsize", b.BITRATE // 2, "-g", 2 * b.FPS)


def ours(fourcc):
    return lambda out: b.our_pair(out, *b.camera_args(*b.SIZE, fourcc), "--codec", "h264", "--encoder", "libx264",
                                  env=CAMERA)


def ffmpeg(pixels):
    source = ["-f", "v4l2", "-input_format", pixels, "-video_size", "x".join(map(str, b.SIZE)), "-framerate", b.FPS,
              "-i", b.NODE]
    return lambda out: b.ffmpeg_pair(out, source, env=CAMERA, codec=X264)


if __name__ == "__main__":
    b.begin("encode_process", "1080p30 camera to H.264 by x264, CPU of the sender")
    CAMERA = b.camera(fps=b.FPS)
    for fourcc, pixels in (("YUYV", "yuyv422"), ("YU12", "yuv420p")):
        costs = b.compare({"ours": ours(fourcc), "ffmpeg": ffmpeg(pixels)}, ROUNDS)
        b.show(f"{fourcc} to H.264, sender", b.cpu_of(costs["ours"], 0), "ffmpeg", b.cpu_of(costs["ffmpeg"], 0),
               "ms/frame", GOAL)
