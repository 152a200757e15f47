/* Channels: what is a picture, true colour to grey and back, and the range of values. */
#include "base/status.h"
#include "base/text.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <math.h>

cnn_status cnn_pictures_of(cnn_pictures *out, const char *who, const cnn_tensor *images) {
    CNN_TRY(cnn_check_values(who, images));
    if (images->dtype != CNN_UINT8 && images->dtype != CNN_FLOAT32)
        return cnn_fail(CNN_ERROR_DTYPE, "%s: pictures are uint8 or float32, got %s", who,
                        cnn_dtype_name(images->dtype));
    char text[CNN_SHAPE_TEXT];
    int rank = images->rank;
    const int64_t *shape = images->shape;
    if (rank < 2 || rank > 4 || images->size == 0)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "%s: expected pictures, [H,W], [H,W,C] or [N,H,W,C], got the shape %s", who,
                        cnn_shape_text(text, sizeof text, rank, shape));
    *out = (cnn_pictures){.count = rank == 4 ? shape[0] : 1,
                          .height = shape[rank == 4],
                          .width = shape[(rank == 4) + 1],
                          .channels = rank == 2 ? 1 : shape[rank - 1]};
    return CNN_OK;
}

/* As images, with another number of channels; [H,W] gets an axis for them. */
static cnn_status new_like(cnn_tensor **out, const char *who, const cnn_tensor *images, const cnn_pictures *p,
                           int64_t channels) {
    int64_t shape[] = {p->count, p->height, p->width, channels};
    bool batch = images->rank == 4;
    return cnn_tensor_alloc_for(who, out, images->dtype, batch ? 4 : 3, shape + !batch);
}

/* ITU-R BT.601-7, section 2.5.1, with the digits tf.image.rgb_to_grayscale uses. */
static const float luma[] = {0.2989f, 0.587f, 0.114f};

static float grey_of(float red, float green, float blue) {
    return luma[0] * red + luma[1] * green + luma[2] * blue;
}

void cnn_image_convert(uint8_t *out, int to, const uint8_t *in, int from, int64_t pixels) {
    for (int64_t i = 0; i < pixels; i++, in += from, out += to) {
        bool grey = from <= 2;
        uint8_t red = in[0], green = grey ? red : in[1], blue = grey ? red : in[2];
        if (to <= 2) {
            out[0] = grey ? red : (uint8_t)(grey_of(red, green, blue) + 0.5f);
        } else {
            out[0] = red;
            out[1] = green;
            out[2] = blue;
        }
        if (to % 2 == 0) out[to - 1] = from % 2 == 0 ? in[from - 1] : 255;
    }
}

cnn_status cnn_image_to_grayscale(cnn_tensor **out, const cnn_tensor *images) {
    cnn_pictures p;
    cnn_tensor *grey;
    CNN_TRY(cnn_pictures_of(&p, "image.to_grayscale", images));
    if (p.channels != 3 || images->rank == 2)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "image.to_grayscale: expected 3 channels (red, green, blue), got %lld",
                        (long long)p.channels);
    CNN_TRY(new_like(&grey, "image.to_grayscale", images, &p, 1));
    if (images->dtype == CNN_UINT8) {
        const uint8_t *in = cnn_u8(images);
        uint8_t *to = cnn_u8(grey);
        for (int64_t i = 0; i < grey->size; i++)
            to[i] = (uint8_t)(grey_of(in[3 * i], in[3 * i + 1], in[3 * i + 2]) + 0.5f);
    } else {
        const float *in = cnn_f32(images);
        float *to = cnn_f32(grey);
        for (int64_t i = 0; i < grey->size; i++) to[i] = grey_of(in[3 * i], in[3 * i + 1], in[3 * i + 2]);
    }
    *out = grey;
    return CNN_OK;
}

cnn_status cnn_image_to_rgb(cnn_tensor **out, const cnn_tensor *images) {
    cnn_pictures p;
    cnn_tensor *rgb;
    CNN_TRY(cnn_pictures_of(&p, "image.to_rgb", images));
    if (p.channels > 4)
        return cnn_fail(CNN_ERROR_SHAPE, "image.to_rgb: expected 1 to 4 channels, got %lld",
                        (long long)p.channels);
    CNN_TRY(new_like(&rgb, "image.to_rgb", images, &p, 3));
    int64_t step = p.channels, green = step > 2 ? 1 : 0, blue = step > 2 ? 2 : 0;
    if (images->dtype == CNN_UINT8) {
        cnn_image_convert(cnn_u8(rgb), 3, cnn_u8(images), (int)step, rgb->size / 3);
    } else {
        const float *in = cnn_f32(images);
        float *to = cnn_f32(rgb);
        for (int64_t i = 0; i < rgb->size; i += 3, in += step) {
            to[i] = in[0];
            to[i + 1] = in[green];
            to[i + 2] = in[blue];
        }
    }
    *out = rgb;
    return CNN_OK;
}

/* ---- ranges -------------------------------------------------------------------------------------------- */

static cnn_status check_finite(const float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "image.normalize: a value of the picture is not a finite number");
    return CNN_OK;
}

/* The smallest value becomes 0 and the largest 1; a picture of one value becomes 0. */
static void stretch(float *values, int64_t count) {
    double low = values[0], high = values[0];
    for (int64_t i = 1; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    double factor = high > low ? 1 / (high - low) : 0;
    for (int64_t i = 0; i < count; i++) values[i] = (float)((values[i] - low) * factor);
}

/* As tf.image.per_image_standardization: the deviation counts at least 1/sqrt(count). */
static void standardize(float *values, int64_t count) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
    double deviation = fmax(sqrt(squares / (double)count), 1 / sqrt((double)count));
    for (int64_t i = 0; i < count; i++) values[i] = (float)((values[i] - mean) / deviation);
}

cnn_status cnn_image_normalize(cnn_tensor **out, const cnn_tensor *images, bool standard) {
    cnn_pictures p;
    cnn_tensor *result;
    CNN_TRY(cnn_pictures_of(&p, "image.normalize", images));
    CNN_TRY(cnn_cast(&result, images, CNN_FLOAT32));
    cnn_status status = check_finite(cnn_f32(result), result->size);
    if (status != CNN_OK) {
        cnn_tensor_release(result);
        return status;
    }
    int64_t each = result->size / p.count;
    for (int64_t i = 0; i < p.count; i++)
        (standard ? standardize : stretch)(cnn_f32(result) + i * each, each);
    *out = result;
    return CNN_OK;
}
