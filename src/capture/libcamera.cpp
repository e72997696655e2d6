/* SPDX-License-Identifier: MIT */
/*
 * libcamera behind a table of C functions (libcamera_api.h). One source for libcamera 0.0.3 (Debian 12),
 * 0.4 (Debian 13) and newer; what differs is under LC_VERSION.
 *
 * It is a module that the program loads at first need, not a part of it, because libcamera's ABI changes
 * with every release: a program linked with it does not start any more after an upgrade, even for a USB
 * camera. As a module it costs only those who use it, too (7 to 17 ms and 1.1 MB at the start).
 *
 * There is no mutable global state but where the log goes: the manager belongs to whoever made it.
 * libcamera does not throw, but memory may run out; nothing of that passes into C (guard).
 */
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <ostream>
#include <streambuf>
#include <string>
#include <vector>

#include <libcamera/libcamera.h>
#include <libcamera/logging.h>
#include <libcamera/version.h>

#include "libcamera_api.h"

#define LC_VERSION                                                                                 \
    (LIBCAMERA_VERSION_MAJOR * 1000000 + LIBCAMERA_VERSION_MINOR * 1000 + LIBCAMERA_VERSION_PATCH)
#define LC_HAS_ORIENTATION (LC_VERSION >= 2000) /* 0.2.0: before it, a transform */
#define LC_HAS_SENSOR      (LC_VERSION >= 2000)
#define LC_DESCRIBES       (LC_VERSION >= 4000) /* 0.4.0: enumerators, arrays, directions */

#define MOST_CHOICES 512 /* numbers to look for names of */

#define LC_TEXT2(x) #x
#define LC_TEXT(x)  LC_TEXT2(x)

namespace lc = libcamera;

struct libcamera_manager {
    lc::CameraManager manager;
};

struct libcamera_camera {
    std::shared_ptr<lc::Camera> camera;
    libcamera_listener listener{};
    bool acquired = false;
    bool running = false;
    lc::Stream *stream = nullptr;
    std::unique_ptr<lc::CameraConfiguration> config;
    std::unique_ptr<lc::FrameBufferAllocator> allocator;
    std::vector<std::unique_ptr<lc::FrameBuffer>> adopted;
    std::vector<std::unique_ptr<lc::Request>> requests;

    std::mutex lock; /* guards what follows */
    lc::ControlList wanted;
    lc::ControlList current;
    std::chrono::steady_clock::time_point current_at{};

    void completed(lc::Request *request);
    void disconnected();
};

/* The boundary: what a function throws becomes -ENOMEM. */
template <typename F> static int guard(F &&f) noexcept
{
    try {
        return f();
    } catch (...) {
        return -ENOMEM;
    }
}

/* ---- values ---- */

/* libcamera's types and ours; a type of a later version is none of ours. */
static const struct {
    lc::ControlType theirs;
    libcamera_type ours;
} types[] = {
    { lc::ControlTypeBool, LIBCAMERA_BOOL },
    { lc::ControlTypeByte, LIBCAMERA_BYTE },
#if LC_DESCRIBES
    { lc::ControlTypeUnsigned16, LIBCAMERA_UINT16 },
    { lc::ControlTypeUnsigned32, LIBCAMERA_UINT32 },
#endif
    { lc::ControlTypeInteger32, LIBCAMERA_INT32 },
    { lc::ControlTypeInteger64, LIBCAMERA_INT64 },
    { lc::ControlTypeFloat, LIBCAMERA_FLOAT },
    { lc::ControlTypeString, LIBCAMERA_STRING },
    { lc::ControlTypeRectangle, LIBCAMERA_RECTANGLE },
    { lc::ControlTypeSize, LIBCAMERA_SIZE },
};

static_assert(sizeof(bool) == 1 && sizeof(lc::Rectangle) == 16 && sizeof(lc::Size) == 8,
              "values are handed over as libcamera has them in memory");

static libcamera_type type_of(lc::ControlType type)
{
    for (const auto &t : types) {
        if (t.theirs == type) {
            return t.ours;
        }
    }
    return LIBCAMERA_NONE;
}

static void read_value(const lc::ControlValue &from, libcamera_value *to)
{
    *to = {};
    to->type = type_of(from.type());
    if (to->type != LIBCAMERA_NONE && from.numElements() > 0) {
        size_t each = from.data().size() / from.numElements();
        size_t count = std::min(from.numElements(), sizeof to->bytes / each);
        to->array = from.isArray();
        to->count = static_cast<unsigned>(count);
        memcpy(to->bytes, from.data().data(), count * each);
    }
}

/* None when it is not of the control's type. */
static lc::ControlValue make_value(const libcamera_value &from, const lc::ControlId &id)
{
    lc::ControlValue value;
    if (from.type == LIBCAMERA_NONE || type_of(id.type()) != from.type || from.count == 0) {
        return value;
    }
    value.reserve(id.type(), from.array, from.count);
    if (value.data().size() > sizeof from.bytes) {
        return {};
    }
    memcpy(value.data().data(), from.bytes, value.data().size());
    return value;
}

/* ---- what a control is ---- */

#if LC_DESCRIBES
static const char *name_of_choice(const lc::ControlId &id, int64_t value)
{
    auto found = id.enumerators().find(static_cast<int32_t>(value));
    return found == id.enumerators().end() ? nullptr : found->second.c_str();
}

static void describe_array(const lc::ControlId &id, const lc::ControlInfo &, libcamera_control *to)
{
    to->array = id.isArray();
    to->array_size = id.size() == lc::dynamic_extent ? 0 : static_cast<unsigned>(id.size());
    to->read_only = !id.isInput();
}
#else
/* What these versions do not tell, libcamera_control.c knows. */
static const char *name_of_choice(const lc::ControlId &, int64_t)
{
    return nullptr;
}

static void describe_array(const lc::ControlId &, const lc::ControlInfo &info,
                           libcamera_control *to)
{
    to->array = info.def().isArray();
}
#endif

static void add_choice(const lc::ControlId &id, int64_t value, libcamera_control *to)
{
    if (to->choice_count < LIBCAMERA_CHOICES) {
        to->choice[to->choice_count++] = { value, name_of_choice(id, value) };
    }
}

/* The values it lists; without a list those in its range that have a name. */
static void add_choices(const lc::ControlId &id, const lc::ControlInfo &info, libcamera_control *to)
{
    if (id.type() != lc::ControlTypeInteger32 || to->array) {
        return;
    }
    for (const lc::ControlValue &value : info.values()) {
        if (value.type() == lc::ControlTypeInteger32 && !value.isArray()) {
            add_choice(id, value.get<int32_t>(), to);
        }
    }
    bool limited = info.min().type() == lc::ControlTypeInteger32 &&
                   info.max().type() == lc::ControlTypeInteger32;
    int64_t first = limited ? info.min().get<int32_t>() : 0;
    int64_t last = limited ? info.max().get<int32_t>() : MOST_CHOICES;
    for (int64_t v = first; info.values().empty() && v <= last && v < first + MOST_CHOICES; v++) {
        if (name_of_choice(id, v)) {
            add_choice(id, v, to);
        }
    }
}

static libcamera_control describe(const lc::ControlId &id, const lc::ControlInfo &info)
{
    libcamera_control c{};
    c.id = id.id();
    c.name = id.name().c_str();
    c.type = type_of(id.type());
    describe_array(id, info, &c);
    read_value(info.min(), &c.min);
    read_value(info.max(), &c.max);
    read_value(info.def(), &c.initial);
    add_choices(id, info, &c);
    return c;
}

/* ---- its log ---- */

/* libcamera writes a message at once, from any thread. */
class log_sink : public std::streambuf
{
  public:
    void (*write)(const char *text) = nullptr;

  protected:
    std::streamsize xsputn(const char *text, std::streamsize size) override
    {
        std::string line(text, static_cast<size_t>(size));
        while (!line.empty() && line.back() == '\n') {
            line.pop_back();
        }
        if (!line.empty()) {
            write(line.c_str());
        }
        return size;
    }
    int_type overflow(int_type ch) override
    {
        return ch; /* single characters: the end of a line */
    }
};

/* Of the process, as libcamera's log is; never freed, because libcamera may have to say something
 * after our own static objects are gone. */
static int set_log(void (*write)(const char *text))
{
    return guard([&] {
        static log_sink &sink = *new log_sink;
        static std::ostream &stream = *new std::ostream(&sink);
        sink.write = write;
        return lc::logSetStream(&stream);
    });
}

/* ---- cameras ---- */

static int manager_new(libcamera_manager **out)
{
    return guard([&] {
        auto m = std::make_unique<libcamera_manager>();
        int code = m->manager.start();
        if (code == 0) {
            *out = m.release();
        }
        return code;
    });
}

static void manager_free(libcamera_manager *m)
{
    if (m) {
        m->manager.stop();
        delete m;
    }
}

static const char *location_of(const lc::Camera &camera)
{
    static const char *const names[] = { "front", "back", "external" };
    auto location = camera.properties().get(lc::properties::Location);
    return location && *location >= 0 && *location < 3 ? names[*location] : "";
}

static void each_camera(libcamera_manager *m, void (*visit)(void *, const libcamera_info *),
                        void *arg)
{
    (void)guard([&] {
        for (const std::shared_ptr<lc::Camera> &camera : m->manager.cameras()) {
            auto model = camera->properties().get(lc::properties::Model);
            std::string name = model ? std::string(*model) : std::string();
            auto rotation = camera->properties().get(lc::properties::Rotation);
            const libcamera_info info = { camera->id().c_str(), name.c_str(), location_of(*camera),
                                          rotation ? *rotation : -1 };
            visit(arg, &info);
        }
        return 0;
    });
}

static void camera_close(libcamera_camera *c);

static int camera_open(libcamera_manager *m, const char *id, const libcamera_listener *listener,
                       libcamera_camera **out)
{
    libcamera_camera *c = nullptr;
    int code = guard([&] {
        c = new libcamera_camera;
        c->camera = m->manager.get(id);
        int result = !c->camera ? -ENODEV : listener ? c->camera->acquire() : 0;
        if (result == 0 && listener) {
            c->acquired = true;
            c->listener = *listener;
            c->camera->requestCompleted.connect(c, &libcamera_camera::completed);
            c->camera->disconnected.connect(c, &libcamera_camera::disconnected);
        }
        return result;
    });
    if (code < 0) {
        camera_close(c);
        return code;
    }
    *out = c;
    return 0;
}

static void camera_stop(libcamera_camera *c)
{
    if (c->running) {
        (void)c->camera->stop(); /* of one that is gone it fails, and there is nothing to stop */
        c->running = false;
    }
}

/* The order is libcamera's: everything that refers to the camera goes before it. */
static void camera_close(libcamera_camera *c)
{
    if (!c) {
        return;
    }
    (void)guard([&] {
        camera_stop(c);
        if (c->acquired) {
            c->camera->requestCompleted.disconnect(c);
            c->camera->disconnected.disconnect(c);
        }
        c->requests.clear();
        c->adopted.clear();
        c->allocator.reset();
        c->config.reset();
        if (c->acquired) {
            (void)c->camera->release();
        }
        c->camera.reset();
        return 0;
    });
    delete c;
}

static bool has_sensor(const lc::Camera &camera)
{
    return camera.properties().get(lc::properties::PixelArraySize).has_value();
}

static std::unique_ptr<lc::CameraConfiguration> generate(lc::Camera &camera, bool sensor)
{
    if (sensor && !has_sensor(camera)) {
        return nullptr; /* asking would only log an error */
    }
    auto config = sensor ? camera.generateConfiguration({ lc::StreamRole::Raw })
                         : camera.generateConfiguration({ lc::StreamRole::VideoRecording });
    if (!sensor && (!config || config->empty())) {
        config = camera.generateConfiguration({ lc::StreamRole::Viewfinder });
    }
    return config && !config->empty() ? std::move(config) : nullptr;
}

static int bits_of(const lc::PixelFormat &format)
{
    std::string name = format.toString(); /* SRGGB10_CSI2P */
    auto digit = std::find_if(name.begin(), name.end(), [](char ch) { return isdigit(ch); });
    return digit == name.end() ? 0 : atoi(&*digit);
}

static libcamera_size size_of(unsigned width, unsigned height)
{
    return { static_cast<int>(width), static_cast<int>(height) };
}

static void visit_format(const lc::StreamFormats &formats, const lc::PixelFormat &pixels,
                         void (*visit)(void *, const libcamera_format *), void *arg)
{
    std::vector<libcamera_size> sizes;
    for (const lc::Size &s : formats.sizes(pixels)) {
        sizes.push_back(size_of(s.width, s.height));
    }
    lc::SizeRange range = formats.range(pixels);
    bool any = range.min.width < range.max.width && range.hStep > 0 && range.vStep > 0;
    libcamera_format f{};
    f.fourcc = pixels.fourcc();
    f.plain = pixels.modifier() == 0;
    f.bits = bits_of(pixels);
    f.sizes = sizes.data();
    f.size_count = sizes.size();
    f.min = size_of(range.min.width, range.min.height);
    f.max = size_of(range.max.width, range.max.height);
    f.step = any ? size_of(range.hStep, range.vStep) : size_of(0, 0);
    visit(arg, &f);
}

static void each_format(libcamera_camera *c, bool sensor,
                        void (*visit)(void *, const libcamera_format *), void *arg)
{
    (void)guard([&] {
        auto config = generate(*c->camera, sensor);
        if (config) {
            const lc::StreamFormats &formats = config->at(0).formats();
            for (const lc::PixelFormat &pixels : formats.pixelformats()) {
                visit_format(formats, pixels, visit, arg);
            }
        }
        return 0;
    });
}

static void each_control(libcamera_camera *c, void (*visit)(void *, const libcamera_control *),
                         void *arg)
{
    (void)guard([&] {
        for (const auto &item : c->camera->controls()) {
            libcamera_control control = describe(*item.first, item.second);
            visit(arg, &control);
        }
        return 0;
    });
}

/* ---- configuration ---- */

static void wish_color(const libcamera_setup &setup, lc::StreamConfiguration &stream)
{
    if (setup.color == LIBCAMERA_COLOR_709) {
        stream.colorSpace = lc::ColorSpace::Rec709;
    } else if (setup.color == LIBCAMERA_COLOR_170M) {
        stream.colorSpace = lc::ColorSpace::Smpte170m;
    }
}

static void tell_color(const lc::StreamConfiguration &stream, libcamera_setup *setup)
{
    setup->color_known = stream.colorSpace.has_value();
    if (!setup->color_known) {
        return;
    }
    /* The enums are in the same order: Raw, Smpte170m, Rec709, Rec2020 and so on. */
    setup->primaries = static_cast<libcamera_primaries>(stream.colorSpace->primaries);
    setup->transfer = static_cast<libcamera_transfer>(stream.colorSpace->transferFunction);
    setup->matrix = static_cast<libcamera_matrix>(stream.colorSpace->ycbcrEncoding);
    setup->full_range = stream.colorSpace->range == lc::ColorSpace::Range::Full;
}

static_assert(static_cast<int>(lc::ColorSpace::Primaries::Rec2020) == LIBCAMERA_PRIMARIES_2020 &&
                  static_cast<int>(lc::ColorSpace::TransferFunction::Rec709) ==
                      LIBCAMERA_TRANSFER_709 &&
                  static_cast<int>(lc::ColorSpace::YcbcrEncoding::Rec2020) == LIBCAMERA_MATRIX_2020,
              "libcamera_api.h lists colours as libcamera does");
static_assert(static_cast<int>(lc::Transform::HFlip) == 1 &&
                  static_cast<int>(lc::Transform::VFlip) == 2 &&
                  static_cast<int>(lc::Transform::Transpose) == 4,
              "libcamera_api.h lists transforms as libcamera does");

static void wish_transform(const libcamera_setup &setup, lc::CameraConfiguration &config)
{
    auto transform = static_cast<lc::Transform>(setup.transform);
#if LC_HAS_ORIENTATION
    config.orientation = lc::Orientation::Rotate0 * transform;
#else
    config.transform = transform;
#endif
}

static void tell_transform(const lc::CameraConfiguration &config, libcamera_setup *setup)
{
#if LC_HAS_ORIENTATION
    setup->transform = static_cast<unsigned>(config.orientation / lc::Orientation::Rotate0);
#else
    setup->transform = static_cast<unsigned>(config.transform);
#endif
}

static void wish_sensor(const libcamera_setup &setup, lc::CameraConfiguration &config)
{
#if LC_HAS_SENSOR
    if (setup.sensor.width > 0) {
        lc::SensorConfiguration sensor;
        sensor.outputSize = lc::Size(static_cast<unsigned>(setup.sensor.width),
                                     static_cast<unsigned>(setup.sensor.height));
        sensor.bitDepth = static_cast<unsigned>(setup.sensor_bits);
        config.sensorConfig = sensor;
    }
#else
    (void)setup;
    (void)config;
#endif
}

static void tell_sensor(const lc::CameraConfiguration &config, libcamera_setup *setup)
{
    setup->sensor = size_of(0, 0);
    setup->sensor_bits = 0;
#if LC_HAS_SENSOR
    if (config.sensorConfig) {
        setup->sensor =
            size_of(config.sensorConfig->outputSize.width, config.sensorConfig->outputSize.height);
        setup->sensor_bits = static_cast<int>(config.sensorConfig->bitDepth);
    }
#else
    (void)config;
#endif
}

static void wish_stream(const libcamera_setup &setup, lc::StreamConfiguration &stream)
{
    stream.pixelFormat = lc::PixelFormat(setup.fourcc);
    stream.size = lc::Size(static_cast<unsigned>(setup.width), static_cast<unsigned>(setup.height));
    stream.bufferCount = setup.buffers;
    wish_color(setup, stream);
}

static void tell_stream(const lc::StreamConfiguration &stream, libcamera_setup *setup)
{
    setup->fourcc = stream.pixelFormat.fourcc();
    setup->width = static_cast<int>(stream.size.width);
    setup->height = static_cast<int>(stream.size.height);
    setup->buffers = stream.bufferCount;
    setup->stride = static_cast<int>(stream.stride);
    setup->frame_size = stream.frameSize;
    tell_color(stream, setup);
}

static int configure_guarded(libcamera_camera *c, libcamera_setup *setup)
{
    c->config = generate(*c->camera, false);
    if (!c->config) {
        return -ENOTSUP;
    }
    wish_stream(*setup, c->config->at(0));
    if (has_sensor(*c->camera)) { /* others (virtual) may agree to any, and do nothing */
        wish_transform(*setup, *c->config);
    }
    wish_sensor(*setup, *c->config);
    if (c->config->validate() == lc::CameraConfiguration::Invalid) {
        return -EINVAL;
    }
    int code = c->camera->configure(c->config.get());
    if (code < 0) {
        return code;
    }
    c->stream = c->config->at(0).stream();
    tell_stream(c->config->at(0), setup);
    tell_transform(*c->config, setup);
    tell_sensor(*c->config, setup);
    return 0;
}

static int camera_configure(libcamera_camera *c, libcamera_setup *setup)
{
    return guard([&] { return configure_guarded(c, setup); });
}

/* ---- buffers and requests ---- */

static int tell_buffer(const lc::FrameBuffer &from, libcamera_buffer *to)
{
    *to = {};
    if (from.planes().size() > LIBCAMERA_PLANES) {
        return -ENOTSUP;
    }
    for (const lc::FrameBuffer::Plane &plane : from.planes()) {
        bool whole = plane.offset == lc::FrameBuffer::Plane::kInvalidOffset;
        to->plane[to->planes++] = { plane.fd.get(), whole ? 0U : plane.offset, plane.length };
    }
    return 0;
}

/* Some pipelines (virtual 0.4) never fill it in, and it is not initialised. */
static void clear_metadata(const lc::FrameBuffer &buffer)
{
    auto &meta = const_cast<lc::FrameMetadata &>(buffer.metadata());
    meta.status = lc::FrameMetadata::FrameSuccess;
    meta.sequence = 0;
    meta.timestamp = 0;
}

static int add_request(libcamera_camera *c, lc::FrameBuffer *buffer, libcamera_buffer *buffers)
{
    size_t index = c->requests.size();
    auto request = c->camera->createRequest(index);
    int code = request ? request->addBuffer(c->stream, buffer) : -ENOMEM;
    if (code == 0) {
        clear_metadata(*buffer);
        code = tell_buffer(*buffer, &buffers[index]);
        c->requests.push_back(std::move(request));
    }
    return code;
}

static int allocate_guarded(libcamera_camera *c, libcamera_buffer *buffers, unsigned *count)
{
    c->allocator = std::make_unique<lc::FrameBufferAllocator>(c->camera);
    int code = c->allocator->allocate(c->stream);
    if (code <= 0) {
        return code < 0 ? code : -ENOMEM;
    }
    for (const std::unique_ptr<lc::FrameBuffer> &buffer : c->allocator->buffers(c->stream)) {
        if (c->requests.size() == LIBCAMERA_BUFFERS) {
            break;
        }
        code = add_request(c, buffer.get(), buffers);
        if (code < 0) {
            return code;
        }
    }
    *count = static_cast<unsigned>(c->requests.size());
    return 0;
}

static int camera_allocate(libcamera_camera *c, libcamera_buffer *buffers, unsigned *count)
{
    return guard([&] { return allocate_guarded(c, buffers, count); });
}

static int adopt_guarded(libcamera_camera *c, const int *fds, unsigned count,
                         libcamera_buffer *buffers)
{
    for (unsigned i = 0; i < count; i++) {
        lc::FrameBuffer::Plane plane;
        plane.fd = lc::SharedFD(fds[i]);
        plane.offset = 0;
        plane.length = c->config->at(0).frameSize;
        c->adopted.push_back(
            std::make_unique<lc::FrameBuffer>(std::vector<lc::FrameBuffer::Plane>{ plane }));
        int code = plane.fd.isValid() ? add_request(c, c->adopted.back().get(), buffers) : -EMFILE;
        if (code < 0) {
            c->requests.clear();
            c->adopted.clear();
            return code;
        }
    }
    return 0;
}

static int camera_adopt(libcamera_camera *c, const int *fds, unsigned count,
                        libcamera_buffer *buffers)
{
    return guard([&] { return adopt_guarded(c, fds, count, buffers); });
}

static int camera_start(libcamera_camera *c)
{
    return guard([&] {
        lc::ControlList first(c->camera->controls());
        {
            std::lock_guard<std::mutex> held(c->lock);
            for (const auto &item : c->wanted) {
                first.set(item.first, item.second);
            }
            c->wanted.clear();
        }
        int code = c->camera->start(&first);
        c->running = code == 0;
        return code;
    });
}

/* Once a second is enough for people, and copying is not free. */
static void keep_current(libcamera_camera *c, lc::Request *request)
{
    auto now = std::chrono::steady_clock::now();
    if (now - c->current_at >= std::chrono::seconds(1)) {
        c->current = request->metadata();
        c->current_at = now;
    }
}

static int camera_queue(libcamera_camera *c, unsigned index)
{
    return guard([&] {
        lc::Request *request = c->requests.at(index).get();
        {
            std::lock_guard<std::mutex> held(c->lock);
            if (request->status() == lc::Request::RequestComplete) {
                keep_current(c, request);
            }
            if (request->status() != lc::Request::RequestPending) {
                request->reuse(lc::Request::ReuseBuffers);
            }
            for (const auto &item : c->wanted) {
                request->controls().set(item.first, item.second);
            }
            c->wanted.clear();
        }
        return c->camera->queueRequest(request);
    });
}

void libcamera_camera::completed(lc::Request *request)
{
    if (request->buffers().empty()) {
        return;
    }
    const lc::FrameMetadata &meta = request->buffers().begin()->second->metadata();
    auto stamp = request->metadata().get(lc::controls::SensorTimestamp);
    libcamera_done done{};
    done.index = static_cast<unsigned>(request->cookie());
    done.cancelled = request->status() == lc::Request::RequestCancelled;
    /* Everything but success, because newer versions have more of them (FrameStartup). */
    done.ok = !done.cancelled && meta.status == lc::FrameMetadata::FrameSuccess;
    done.sequence = meta.sequence;
    done.sensor_ns = stamp ? *stamp : 0;
    done.buffer_ns = static_cast<int64_t>(meta.timestamp);
    done.bytes = meta.planes().empty() ? 0 : meta.planes()[0].bytesused;
    listener.completed(listener.arg, &done);
}

void libcamera_camera::disconnected()
{
    listener.gone(listener.arg);
}

/* ---- controls ---- */

static int control_set(libcamera_camera *c, unsigned id, const libcamera_value *value)
{
    return guard([&] {
        const lc::ControlInfoMap &known = c->camera->controls();
        auto found = known.find(id);
        if (found == known.end()) {
            return -ENOENT;
        }
        lc::ControlValue made = make_value(*value, *found->first);
        if (made.isNone()) {
            return -EINVAL;
        }
        std::lock_guard<std::mutex> held(c->lock);
        c->wanted.set(id, made);
        return 0;
    });
}

static int control_current(libcamera_camera *c, unsigned id, libcamera_value *out)
{
    return guard([&] {
        std::lock_guard<std::mutex> held(c->lock);
        if (!c->current.contains(id)) {
            return -ENOENT;
        }
        read_value(c->current.get(id), out);
        return 0;
    });
}

static const libcamera_api api = {
    LIBCAMERA_API_VERSION,
    LC_TEXT(LIBCAMERA_VERSION_MAJOR) "." LC_TEXT(LIBCAMERA_VERSION_MINOR) "." LC_TEXT(
        LIBCAMERA_VERSION_PATCH),
    set_log,
    manager_new,
    manager_free,
    each_camera,
    camera_open,
    camera_close,
    each_format,
    each_control,
    camera_configure,
    camera_allocate,
    camera_adopt,
    camera_start,
    camera_queue,
    camera_stop,
    control_set,
    control_current,
};

extern "C" __attribute__((visibility("default"))) const libcamera_api *libcamera_get_api()
{
    return &api;
}
