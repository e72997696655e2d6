/* SPDX-License-Identifier: MIT */
#include "encode.h"

enum { CODEC_AUTO, CODEC_H264, CODEC_MJPEG };

static const char *const codecs[] = { "auto", "h264", "mjpeg", NULL };

const struct option_def encode_options[] = {
    { .name = "codec",
      .type = OPTION_CHOICE,
      .offset = offsetof(struct encode_config, codec),
      .value = "auto",
      .choices = codecs,
      .arg = "CODEC",
      .help = "auto, h264 or mjpeg (auto: what the camera compressed passes through, else h264)" },
    { .name = "encoder",
      .type = OPTION_STRING,
      .offset = offsetof(struct encode_config, encoder),
      .arg = "NAME",
      .help = "v4l2m2m (the kernel's), or one of libavcodec (auto: hardware when it works, else "
              "libx264)" },
    { .name = "bitrate",
      .type = OPTION_RATE,
      .offset = offsetof(struct encode_config, bitrate),
      .value = "4M",
      .min = 16000,
      .max = 1000000000,
      .flags = OPTION_LIVE,
      .arg = "RATE",
      .help = "H.264 bits per second" },
    { .name = "quality",
      .type = OPTION_INT,
      .offset = offsetof(struct encode_config, quality),
      .value = "80",
      .min = 1,
      .max = 100,
      .flags = OPTION_LIVE,
      .arg = "1-100",
      .help = "JPEG quality" },
    { .name = "gop",
      .type = OPTION_INT,
      .offset = offsetof(struct encode_config, gop),
      .value = "0",
      .min = 0,
      .max = 100000,
      .arg = "FRAMES",
      .help = "pictures from one key frame to the next (0: two seconds)" },
    { .name = "preset",
      .type = OPTION_STRING,
      .offset = offsetof(struct encode_config, preset),
      .arg = "NAME",
      .help = "preset of the H.264 encoder (libx264: ultrafast)" },
};
const size_t encode_option_count = OPTION_COUNT(encode_options);

const struct option_def encode_picture_options[] = {
    { .name = "overlay",
      .type = OPTION_STRING,
      .offset = offsetof(struct encode_config, overlay),
      .flags = OPTION_LIVE,
      .arg = "TEXT",
      .help = "write this on every picture: %H:%M:%S and the like as in strftime, %f for "
              "thousandths, \\n for a new line" },
};
const size_t encode_picture_option_count = OPTION_COUNT(encode_picture_options);

enum format_id encode_output(const struct encode_config *config, enum format_id source)
{
    if (config->codec == CODEC_MJPEG) {
        return FORMAT_JPEG;
    }
    if (config->codec == CODEC_AUTO && format_info(source)->compressed) {
        return source;
    }
    return FORMAT_H264;
}
