/* The portable grey and colour maps of Netpbm, PGM and PPM, as text (P2, P3) and binary (P5, P6): a header of
 * width, height and largest value, then the samples, of two big-endian bytes where that is above 255.
 * (http://netpbm.sourceforge.net/doc/ppm.html. stb_image passes the samples on without regard to the largest
 * value and takes wide ones in the wrong order, hence this.) */
#include "base/status.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <string.h>

enum { MAX_VALUE = 65535 };

typedef struct reader {
    const char *path;
    const uint8_t *at, *end;
} reader;

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static cnn_status fail_short(const reader *in) {
    return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is cut short: its PNM data ends too early", in->path);
}

/* The next number, after space and comments; larger than any allowed ones come as the largest int. */
static cnn_status read_number(reader *in, int *out) {
    while (in->at < in->end && (is_space(*in->at) || *in->at == '#')) {
        if (*in->at == '#') {
            const uint8_t *line = memchr(in->at, '\n', (size_t)(in->end - in->at));
            in->at = line ? line : in->end - 1;
        }
        in->at++;
    }
    if (in->at == in->end) return fail_short(in);
    if (!is_digit(*in->at))
        return cnn_fail(CNN_ERROR_FORMAT,
                        "image.load: %s is a damaged PNM file: expected a number, got the byte %d", in->path,
                        *in->at);
    int64_t number = 0;
    for (; in->at < in->end && is_digit(*in->at); in->at++)
        number = number < INT32_MAX ? number * 10 + (*in->at - '0') : number;
    *out = number < INT32_MAX ? (int)number : INT32_MAX;
    return CNN_OK;
}

static cnn_status read_header(reader *in, int *width, int *height, int *largest) {
    CNN_TRY(read_number(in, width));
    CNN_TRY(read_number(in, height));
    CNN_TRY(read_number(in, largest));
    CNN_TRY(cnn_image_check_pixels(in->path, *width, *height));
    if (*largest < 1 || *largest > MAX_VALUE)
        return cnn_fail(CNN_ERROR_FORMAT,
                        "image.load: %s is a damaged PNM file: the largest value must be 1 to 65535, got %d",
                        in->path, *largest);
    return CNN_OK;
}

static uint8_t to_byte(int value, int largest) {
    return value >= largest ? 255 : (uint8_t)((value * 255 + largest / 2) / largest);
}

static cnn_status read_text(reader *in, uint8_t *out, int64_t samples, int largest) {
    for (int64_t i = 0; i < samples; i++) {
        int value;
        CNN_TRY(read_number(in, &value));
        out[i] = to_byte(value, largest);
    }
    return CNN_OK;
}

static void read_binary(const uint8_t *in, uint8_t *out, int64_t samples, int largest) {
    if (largest == 255)
        memcpy(out, in, (size_t)samples);
    else if (largest < 255)
        for (int64_t i = 0; i < samples; i++) out[i] = to_byte(in[i], largest);
    else
        for (int64_t i = 0; i < samples; i++) out[i] = to_byte(in[2 * i] << 8 | in[2 * i + 1], largest);
}

cnn_status cnn_pnm_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size) {
    reader in = {.path = path, .at = bytes + 2, .end = bytes + size};
    bool text = bytes[1] <= '3';
    int width, height, largest, channels = bytes[1] == '3' || bytes[1] == '6' ? 3 : 1;
    CNN_TRY(read_header(&in, &width, &height, &largest));
    int64_t samples = (int64_t)width * height * channels;
    if (!text) in.at += in.at < in.end; /* one space */
    int64_t least = text ? 2 * samples - 1 : largest > 255 ? 2 * samples : samples;
    if (in.end - in.at < least) return fail_short(&in);
    cnn_tensor *image;
    CNN_TRY(cnn_tensor_alloc(&image, CNN_UINT8, 3, (int64_t[]){height, width, channels}));
    cnn_status status = CNN_OK;
    if (text)
        status = read_text(&in, cnn_u8(image), samples, largest);
    else
        read_binary(in.at, cnn_u8(image), samples, largest);
    if (status == CNN_OK)
        *out = image;
    else
        cnn_tensor_release(image);
    return status;
}
