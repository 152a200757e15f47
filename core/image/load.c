/* Reading picture files. stb_image decodes JPEG, PNG, BMP and GIF; pnm.c the portable formats.
 *
 * stb_image reads zeros where a file ends too early, so the bytes go to it through callbacks that notice when
 * more is asked for than there is: such a file is cut short, whatever came out. */
#include "base/memory.h"
#include "base/status.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <stb_image.h>
#include <string.h>
#include <sys/stat.h>

typedef struct format {
    const char *name, *magic;
    size_t length;
} format;

static const format formats[] = {{"JPEG", "\xff\xd8", 2},
                                 {"PNG", "\x89PNG\r\n\x1a\n", 8},
                                 {"BMP", "BM", 2},
                                 {"GIF", "GIF87a", 6},
                                 {"GIF", "GIF89a", 6}};

static const char *format_of(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (size >= formats[i].length && memcmp(bytes, formats[i].magic, formats[i].length) == 0)
            return formats[i].name;
    return NULL;
}

static bool is_pnm(const uint8_t *bytes, size_t size) {
    return size >= 3 && bytes[0] == 'P' && strchr("2356", bytes[1]) && bytes[1] &&
           strchr(" \t\r\n#", bytes[2]);
}

/* ---- the bytes, as stb_image wants them ---------------------------------------------------------------- */

typedef struct source {
    const uint8_t *bytes;
    size_t size, at;
    bool exhausted; /* more was wanted than there is */
} source;

static int source_read(void *user, char *out, int wanted) {
    source *in = user;
    size_t left = in->size - in->at, count = (size_t)wanted < left ? (size_t)wanted : left;
    if (count == 0 && wanted > 0) in->exhausted = true;
    memcpy(out, in->bytes + in->at, count);
    in->at += count;
    return (int)count;
}

static void source_skip(void *user, int count) {
    source *in = user;
    if (count < 0) {
        size_t back = (size_t) - (int64_t)count;
        in->at -= back < in->at ? back : in->at;
    } else if ((size_t)count > in->size - in->at) {
        in->at = in->size;
        in->exhausted = true;
    } else {
        in->at += (size_t)count;
    }
}

static int source_ended(void *user) {
    const source *in = user;
    return in->at == in->size;
}

static const stbi_io_callbacks callbacks = {source_read, source_skip, source_ended};

static cnn_status fail_decode(const char *path, const char *kind, bool starved, bool exhausted) {
    const char *reason = stbi_failure_reason();
    if (starved) return cnn_fail(CNN_ERROR_MEMORY, "image.load: out of memory for %s", path);
    if (exhausted)
        return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is cut short: its %s data ends too early", path,
                        kind);
    return cnn_fail(CNN_ERROR_FORMAT,
                    "image.load: %s is a %s file that is damaged or of an unknown kind (%s)", path, kind,
                    reason ? reason : "no reason given");
}

static cnn_status check_size(const char *path, int width, int height) {
    if (width < 1 || height < 1)
        return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s has no pixels (%d×%d)", path, width, height);
    if ((int64_t)width * height * 4 > CNN_IMAGE_MAX_BYTES)
        return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is too large: %d×%d pixels, at most 2^28 are read",
                        path, width, height);
    return CNN_OK;
}

static cnn_status decode_stb(cnn_tensor **out, const char *path, const char *kind, const uint8_t *bytes,
                             size_t size, int channels) {
    source in = {.bytes = bytes, .size = size};
    int width, height, found;
    cnn_status status = CNN_OK;
    /* When this fails so will the decoder, but it says why. */
    if (stbi_info_from_callbacks(&callbacks, &in, &width, &height, &found))
        status = check_size(path, width, height);
    cnn_stb_end();
    CNN_TRY(status);
    in = (source){.bytes = bytes, .size = size};
    uint8_t *pixels = stbi_load_from_callbacks(&callbacks, &in, &width, &height, &found, channels);
    cnn_tensor *image = NULL;
    if (pixels && !in.exhausted) {
        int64_t shape[] = {height, width, channels ? channels : found};
        status = cnn_tensor_alloc_for("image.load", &image, CNN_UINT8, 3, shape);
        if (image) memcpy(image->data, pixels, (size_t)image->size);
    }
    bool starved = cnn_stb_end();
    if (!image) return status != CNN_OK ? status : fail_decode(path, kind, starved, in.exhausted);
    *out = image;
    return CNN_OK;
}

static cnn_status decode_pnm(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size,
                             int channels) {
    cnn_tensor *image, *converted;
    CNN_TRY(cnn_pnm_decode(&image, path, bytes, size));
    int found = (int)image->shape[2];
    if (channels == 0 || channels == found) {
        *out = image;
        return CNN_OK;
    }
    int64_t shape[] = {image->shape[0], image->shape[1], channels};
    cnn_status status = cnn_tensor_alloc(&converted, CNN_UINT8, 3, shape);
    if (status == CNN_OK) {
        cnn_image_convert(cnn_u8(converted), channels, cnn_u8(image), found, shape[0] * shape[1]);
        *out = converted;
    }
    cnn_tensor_release(image);
    return status;
}

static cnn_status check_channels(int channels) {
    if (channels != 0 && channels != 1 && channels != 3 && channels != 4)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "image.load: 'channels' must be 1, 3, 4 or 0 (as in the file), got %d", channels);
    return CNN_OK;
}

cnn_status cnn_image_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size,
                            int channels) {
    CNN_TRY(check_channels(channels));
    if (size == 0) return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is empty", path);
    if (is_pnm(bytes, size)) return decode_pnm(out, path, bytes, size, channels);
    const char *kind = format_of(bytes, size);
    if (!kind)
        return cnn_fail(CNN_ERROR_FORMAT,
                        "image.load: %s is not a picture: expected JPEG, PNG, BMP, GIF, PGM or PPM", path);
    return decode_stb(out, path, kind, bytes, size, channels);
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static cnn_status fail_read(const char *path, int error) {
    return cnn_fail(CNN_ERROR_IO, "image.load: cannot read %s: %s", path, strerror(error));
}

static cnn_status read_stream(FILE *stream, const char *path, uint8_t **out, size_t *size) {
    struct stat info;
    if (fstat(fileno(stream), &info) != 0) return fail_read(path, errno);
    if (S_ISDIR(info.st_mode)) return fail_read(path, EISDIR);
    if (!S_ISREG(info.st_mode))
        return cnn_fail(CNN_ERROR_IO, "image.load: cannot read %s: expected a regular file", path);
    if (info.st_size > CNN_IMAGE_MAX_BYTES)
        return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is too large: %lld bytes, at most 2^30 are read",
                        path, (long long)info.st_size);
    uint8_t *bytes = cnn_malloc((size_t)info.st_size);
    if (!bytes) return cnn_fail_memory((size_t)info.st_size);
    *size = fread(bytes, 1, (size_t)info.st_size, stream);
    if (ferror(stream)) {
        cnn_status status = fail_read(path, errno);
        cnn_free(bytes);
        return status;
    }
    *out = bytes;
    return CNN_OK;
}

cnn_status cnn_image_load(cnn_tensor **out, const char *path, int channels) {
    CNN_TRY(check_channels(channels));
    FILE *stream = fopen(path, "rbe");
    if (!stream) return fail_read(path, errno);
    uint8_t *bytes = NULL;
    size_t size = 0;
    cnn_status status = read_stream(stream, path, &bytes, &size);
    fclose(stream);
    CNN_TRY(status);
    status = cnn_image_decode(out, path, bytes, size, channels);
    cnn_free(bytes);
    return status;
}
