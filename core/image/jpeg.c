/* JPEG, by libjpeg with its defaults, so that a file gives the very pixels it gives Pillow and TensorFlow.
 *
 * libjpeg is left through longjmp when something is wrong. Most of what it would only warn of is wrong too: where data
 * ends too early or means nothing, the rest of the picture would be grey. */
#include "base/status.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdio.h> /* which jpeglib.h needs */

#include <jerror.h>
#include <jpeglib.h>

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    cnn_tensor *image;
} decoder;

static void leave(j_common_ptr jpeg) {
    longjmp(((decoder *)(void *)jpeg)->failed, 1);
}

/* These warnings cost no pixels, and are heard of many a photograph. */
static void hear(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
        return;
    default:
        leave(jpeg);
    }
}

static cnn_status fail_decode(decoder *d, const char *path) {
    char reason[JMSG_LENGTH_MAX];
    switch (d->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return cnn_fail(CNN_ERROR_MEMORY, "image.load: out of memory for %s", path);
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
        return cnn_fail(CNN_ERROR_FORMAT, "image.load: %s is cut short: its JPEG data ends too early", path);
    default:
        d->errors.format_message((j_common_ptr)&d->jpeg, reason);
        return cnn_fail(CNN_ERROR_FORMAT,
                        "image.load: %s is a JPEG file that is damaged or of an unknown kind (%s)", path,
                        reason);
    }
}

/* Adobe's programs write cyan, magenta, yellow and black with 255 for no ink. */
static void cmyk_to_rgb(uint8_t *row, int64_t pixels, bool inverted) {
    const uint8_t *ink = row;
    int flip = inverted ? 0 : 255;
    for (int64_t i = 0; i < pixels; i++, row += 3, ink += 4)
        for (int c = 0; c < 3; c++) row[c] = (uint8_t)((ink[c] ^ flip) * (ink[3] ^ flip) / 255);
}

/* libjpeg makes grey or RGB; what is wanted of another kind goes through a row of that. */
static void read_rows(decoder *d, int channels) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    int64_t width = jpeg->output_width;
    int found = jpeg->output_components;
    bool inks = found == 4;
    uint8_t *row = NULL, *out = cnn_u8(d->image);
    if (found != channels || inks)
        row = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE, (size_t)(width * found));
    for (; jpeg->output_scanline < jpeg->output_height; out += width * channels) {
        jpeg_read_scanlines(jpeg, row ? &row : &out, 1);
        if (inks) cmyk_to_rgb(row, width, jpeg->saw_Adobe_marker);
        if (row) cnn_image_convert(out, channels, row, inks ? 3 : found, width);
    }
}

static cnn_status decode(decoder *d, const char *path, const uint8_t *bytes, size_t size, int channels) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    if (setjmp(d->failed)) return fail_decode(d, path);
    jpeg_create_decompress(jpeg);
    jpeg->mem->max_memory_to_use = 2L * CNN_IMAGE_MAX_BYTES;
    jpeg_mem_src(jpeg, bytes, size);
    jpeg_read_header(jpeg, TRUE);
    int64_t width = jpeg->image_width, height = jpeg->image_height;
    int has = jpeg->num_components, wanted = channels ? channels : has == 1 ? 1 : 3;
    CNN_TRY(cnn_image_check_pixels(path, width, height));
    CNN_TRY(cnn_tensor_alloc_for("image.load", &d->image, CNN_UINT8, 3, (int64_t[]){height, width, wanted}));
    jpeg->out_color_space = has == 4 ? JCS_CMYK : wanted == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(jpeg);
    read_rows(d, wanted);
    jpeg_finish_decompress(jpeg);
    return CNN_OK;
}

cnn_status cnn_jpeg_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size,
                           int channels) {
    decoder d = {.image = NULL};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = leave;
    d.errors.emit_message = hear;
    cnn_status status = decode(&d, path, bytes, size, channels);
    jpeg_destroy_decompress(&d.jpeg);
    if (status == CNN_OK)
        *out = d.image;
    else
        cnn_tensor_release(d.image);
    return status;
}
