/* Writing picture files: stb_image_write encodes, base/file.h lets them appear whole or not at all. */
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "image/image.h"

#include <math.h>
#include <stb_image_write.h>
#include <string.h>
#include <strings.h>

enum { JPEG_MAX_SIDE = 65535 };

typedef struct encoder encoder;

typedef int encode(stbi_write_func *write, void *file, int width, int height, int channels,
                   const uint8_t *pixels, int quality);

static int encode_png(stbi_write_func *write, void *file, int width, int height, int channels,
                      const uint8_t *pixels, int quality) {
    (void)quality;
    return stbi_write_png_to_func(write, file, width, height, channels, pixels, width * channels);
}

static int encode_jpeg(stbi_write_func *write, void *file, int width, int height, int channels,
                       const uint8_t *pixels, int quality) {
    return stbi_write_jpg_to_func(write, file, width, height, channels, pixels, quality);
}

static int encode_bmp(stbi_write_func *write, void *file, int width, int height, int channels,
                      const uint8_t *pixels, int quality) {
    (void)quality;
    return stbi_write_bmp_to_func(write, file, width, height, channels, pixels);
}

struct encoder {
    const char *extension, *name;
    int64_t max_side;
    const char *channels; /* those it can hold, as digits */
    encode *encode;
};

static const encoder encoders[] = {{".png", "PNG", CNN_IMAGE_MAX_SIDE, "1234", encode_png},
                                   {".jpg", "JPEG", JPEG_MAX_SIDE, "13", encode_jpeg},
                                   {".jpeg", "JPEG", JPEG_MAX_SIDE, "13", encode_jpeg},
                                   {".bmp", "BMP", CNN_IMAGE_MAX_SIDE, "134", encode_bmp}};

static cnn_status choose(const encoder **out, const char *path) {
    const char *slash = strrchr(path, '/'), *extension = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; extension && i < sizeof encoders / sizeof *encoders; i++) {
        if (strcasecmp(extension, encoders[i].extension) != 0) continue;
        *out = &encoders[i];
        return CNN_OK;
    }
    return cnn_fail(CNN_ERROR_ARGUMENT, "image.save: %s: the name must end in .png, .jpg, .jpeg or .bmp",
                    path);
}

static cnn_status check_shape(const encoder *format, const char *path, const cnn_tensor *image,
                              cnn_pictures *p) {
    CNN_TRY(cnn_pictures_of(p, "image.save", image));
    if (image->rank == 4)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "image.save: %s: expected one picture, got %lld; image.grid puts several in one",
                        path, (long long)p->count);
    if (p->channels > 9 || !strchr(format->channels, (int)('0' + p->channels)))
        return cnn_fail(CNN_ERROR_SHAPE, "image.save: %s: a %s file holds %s channels, got %lld", path,
                        format->name,
                        format->channels[1] == '2'   ? "1, 2, 3 or 4"
                        : format->channels[2] == '4' ? "1, 3 or 4"
                                                     : "1 or 3",
                        (long long)p->channels);
    if (p->width > format->max_side || p->height > format->max_side || image->size > CNN_IMAGE_MAX_BYTES / 4)
        return cnn_fail(CNN_ERROR_SHAPE, "image.save: %s: %lld×%lld pixels are too many for a %s file", path,
                        (long long)p->width, (long long)p->height, format->name);
    return CNN_OK;
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

/* The values that become black and white. */
typedef struct range {
    double low, high;
} range;

static cnn_status find_range(range *out, const char *path, const cnn_tensor *image, bool scale) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < image->size; i++) {
        double value = image->dtype == CNN_UINT8 ? cnn_u8(image)[i] : cnn_f32(image)[i];
        if (!isfinite(value))
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "image.save: %s: a value of the picture is not a finite number", path);
        low = fmin(low, value);
        high = fmax(high, value);
    }
    *out =
        scale ? (range){low, high > low ? high : low + 1} : (range){0, image->dtype == CNN_UINT8 ? 255 : 1};
    double slack = 0.5 / 255; /* what rounds to black or white */
    if (!scale && image->dtype == CNN_FLOAT32 && (low < -slack || high > 1 + slack))
        return cnn_fail(
            CNN_ERROR_ARGUMENT,
            "image.save: %s: a float32 picture goes from 0 (black) to 1 (white), got values from %g "
            "to %g; divide by 255, or give scale = true",
            path, low, high);
    return CNN_OK;
}

static void to_bytes(uint8_t *out, const cnn_tensor *image, range r) {
    double factor = 255 / (r.high - r.low);
    for (int64_t i = 0; i < image->size; i++) {
        double value = image->dtype == CNN_UINT8 ? cnn_u8(image)[i] : cnn_f32(image)[i];
        double byte = (value - r.low) * factor + 0.5;
        out[i] = byte <= 0 ? 0 : byte >= 255 ? 255 : (uint8_t)byte;
    }
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static void write_part(void *file, void *bytes, int size) {
    fwrite(bytes, 1, (size_t)size, ((cnn_file *)file)->stream); /* commit tells whether it went well */
}

static cnn_status write_file(const encoder *format, const char *path, const cnn_pictures *p,
                             const uint8_t *pixels, int quality) {
    cnn_file file;
    CNN_TRY(cnn_file_create(&file, path));
    int done =
        format->encode(write_part, &file, (int)p->width, (int)p->height, (int)p->channels, pixels, quality);
    if (cnn_stb_end() || !done) {
        cnn_file_abandon(&file);
        return cnn_fail(CNN_ERROR_MEMORY, "out of memory for %s", path);
    }
    return cnn_file_commit(&file);
}

cnn_status cnn_image_save(const char *path, const cnn_tensor *image, bool scale, int quality) {
    const encoder *format = NULL;
    cnn_pictures p;
    range r;
    CNN_TRY(choose(&format, path));
    CNN_TRY(check_shape(format, path, image, &p));
    if (quality < 1 || quality > 100)
        return cnn_fail(CNN_ERROR_ARGUMENT, "image.save: 'quality' must be 1 to 100, got %d", quality);
    CNN_TRY(find_range(&r, path, image, scale));
    uint8_t *pixels = cnn_malloc((size_t)image->size);
    if (!pixels) return cnn_fail_memory((size_t)image->size);
    to_bytes(pixels, image, r);
    cnn_status status = write_file(format, path, &p, pixels, quality);
    cnn_free(pixels);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "image.save");
}
