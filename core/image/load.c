/* Reading picture files. stb_image decodes PNG, BMP and GIF; jpeg.c and pnm.c the rest.
 *
 * stb_image goes on with zeros where a file ends too early, which takes long and makes half a picture. So the bytes go to
 * it through callbacks that leave it by longjmp when more is asked for than there is; cnn_stb_end frees what it held. */
#include "base/memory.h"
#include "base/status.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <setjmp.h>
#include <stb_image.h>
#include <string.h>
#include <sys/stat.h>

typedef struct format {
    const char *name, *magic;
    size_t length;
} format;

static const format formats[] = {
    {"PNG", "\x89PNG\r\n\x1a\n", 8}, {"BMP", "BM", 2}, {"GIF", "GIF87a", 6}, {"GIF", "GIF89a", 6}};

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
    jmp_buf exhausted; /* more was wanted than there is */
} source;

static int source_read(void *user, char *out, int wanted) {
    source *in = user;
    size_t left = in->size - in->at, count = (size_t)wanted < left ? (size_t)wanted : left;
    if (count == 0 && wanted > 0) longjmp(in->exhausted, 1);
    memcpy(out, in->bytes + in->at, count);
    in->at += count;
    return (int)count;
}

static void source_skip(void *user, int count) {
    source *in = user;
    if (count < 0) {
        size_t back = (size_t) - (int64_t)count;
        in->at -= back < in->at ? back : in->at;
    } else {
        if ((size_t)count > in->size - in->at) longjmp(in->exhausted, 1);
        in->at += (size_t)count;
    }
}

static int source_ended(void *user) {
    const source *in = user;
    return in->at == in->size;
}

static const stbi_io_callbacks callbacks = {source_read, source_skip, source_ended};

static cnn_status fail_short(const char *path, const char *kind) {
    return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is cut short: its %s data ends too early", path, kind);
}

static cnn_status fail_decode(const char *path, const char *kind) {
    const char *reason = stbi_failure_reason();
    if (cnn_stb_end()) return cnn_fail(CNN_ERROR_MEMORY, "image.load: out of memory for %s", path);
    return cnn_fail(CNN_ERROR_FORMAT,
                    "image.load: %s is a %s file that is damaged or of an unknown kind (%s)", path, kind,
                    reason ? reason : "no reason given");
}

/* The size first, lest a picture too large is begun. Where it cannot be told, decode_pixels says why. */
static cnn_status check_header(const char *path, source *in) {
    int width, height, found;
    in->at = 0;
    if (setjmp(in->exhausted) || !stbi_info_from_callbacks(&callbacks, in, &width, &height, &found))
        return CNN_OK;
    return cnn_image_check_pixels(path, width, height);
}

static cnn_status decode_pixels(cnn_tensor **out, const char *path, const char *kind, source *in,
                                int channels) {
    in->at = 0;
    if (setjmp(in->exhausted)) return fail_short(path, kind);
    int width, height, found;
    uint8_t *pixels = stbi_load_from_callbacks(&callbacks, in, &width, &height, &found, channels);
    if (!pixels) return fail_decode(path, kind);
    CNN_TRY(cnn_tensor_alloc_for("image.load", out, CNN_UINT8, 3,
                                 (int64_t[]){height, width, channels ? channels : found}));
    memcpy((*out)->data, pixels, (size_t)(*out)->size);
    return CNN_OK;
}

static cnn_status decode_stb(cnn_tensor **out, const char *path, const char *kind, const uint8_t *bytes,
                             size_t size, int channels) {
    source in = {.bytes = bytes, .size = size};
    cnn_status status = check_header(path, &in);
    cnn_stb_end();
    if (status == CNN_OK) status = decode_pixels(out, path, kind, &in, channels);
    cnn_stb_end();
    return status;
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

cnn_status cnn_image_check_pixels(const char *path, int64_t width, int64_t height) {
    if (width < 1 || height < 1)
        return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s has no pixels (%lld×%lld)", path, (long long)width,
                        (long long)height);
    if (width > CNN_IMAGE_MAX_BYTES / 4 / height)
        return cnn_fail(CNN_ERROR_FORMAT,
                        "image.load: %s is too large: %lld×%lld pixels, at most 2^28 are read", path,
                        (long long)width, (long long)height);
    return CNN_OK;
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
    if (size >= 2 && memcmp(bytes, "\xff\xd8", 2) == 0)
        return cnn_jpeg_decode(out, path, bytes, size, channels);
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

cnn_status cnn_image_load_resized(cnn_tensor **out, const char *path, int channels, int64_t height,
                                  int64_t width, cnn_interpolation method, cnn_aspect aspect) {
    cnn_tensor *image, *resized;
    CNN_TRY(cnn_image_check_size("image.load", height, width));
    CNN_TRY(cnn_image_load(&image, path, channels));
    int64_t shape[] = {height, width, image->shape[2]};
    cnn_status status = cnn_tensor_alloc_for("image.load", &resized, CNN_FLOAT32, 3, shape);
    if (status == CNN_OK) {
        status = cnn_image_fit_into(resized, image, method, false, aspect);
        if (status == CNN_OK)
            *out = resized;
        else
            cnn_tensor_release(resized);
    }
    cnn_tensor_release(image);
    return status;
}
