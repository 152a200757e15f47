/* Resizing pictures: nearest, bilinear, bicubic and area, as tf.image.resize computes them.
 *
 * The centre of output pixel o lies at (o + 1/2)·in/out - 1/2 among the input pixels ("half-pixel centres").
 * A filter is separable, so an axis is a table: for each output pixel the first input pixel that counts and the
 * weights of those from there on, which sum to 1 whatever lies beyond the border. An output row is first a sum
 * of whole input rows, then each of its pixels a sum of a few of that row's. */
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

typedef struct axis {
    int64_t in, out;
    int64_t *first; /* [out] */
    int32_t *count; /* [out] */
    float *weights; /* [out, room] */
    int64_t room;
} axis;

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* R. Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981: a = -1/2. */
static double cubic(double x) {
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* The weight of input pixel i for output pixel o; the part of it that o covers, or the filter there. */
static double weight(const axis *a, cnn_interpolation method, double stretch, int64_t o, int64_t i) {
    double scale = (double)a->in / (double)a->out;
    if (method == CNN_AREA) {
        double from = fmax((double)o * scale, (double)i), to = fmin((double)(o + 1) * scale, (double)i + 1);
        return fmax(to - from, 0);
    }
    double x = ((double)i - (((double)o + 0.5) * scale - 0.5)) / stretch;
    return method == CNN_BILINEAR ? triangle(x) : cubic(x);
}

static void fill_output(axis *a, cnn_interpolation method, double stretch, double radius, int64_t o) {
    double scale = (double)a->in / (double)a->out, centre = ((double)o + 0.5) * scale - 0.5, sum = 0;
    int64_t from = (int64_t)fmax(ceil(centre - radius), 0);
    int64_t to = (int64_t)fmin(floor(centre + radius), (double)(a->in - 1));
    while (from < to && weight(a, method, stretch, o, from) == 0) from++; /* 0 times infinity is not 0 */
    while (to > from && weight(a, method, stretch, o, to) == 0) to--;
    float *weights = a->weights + o * a->room;
    for (int64_t i = from; i <= to; i++) sum += weight(a, method, stretch, o, i);
    for (int64_t i = from; i <= to; i++) weights[i - from] = (float)(weight(a, method, stretch, o, i) / sum);
    a->first[o] = from;
    a->count[o] = (int32_t)(to - from + 1);
}

static void free_axis(axis *a) {
    cnn_free(a->first);
    cnn_free(a->count);
    cnn_free(a->weights);
}

static cnn_status make_axis(axis *a, int64_t in, int64_t out, cnn_interpolation method, bool antialias) {
    double scale = (double)in / (double)out, stretch = antialias && scale > 1 ? scale : 1;
    double radius = method == CNN_AREA ? scale / 2 + 1 : (method == CNN_BICUBIC ? 2 : 1) * stretch;
    *a = (axis){.in = in, .out = out, .room = (int64_t)(2 * radius) + 2};
    if (a->room > in) a->room = in;
    size_t weights = (size_t)(out * a->room) * sizeof(float);
    a->first = cnn_malloc((size_t)out * sizeof *a->first);
    a->count = cnn_malloc((size_t)out * sizeof *a->count);
    a->weights = cnn_malloc(weights);
    if (!a->first || !a->count || !a->weights) {
        free_axis(a);
        return cnn_fail_memory(weights);
    }
    for (int64_t o = 0; o < out; o++) fill_output(a, method, stretch, radius, o);
    return CNN_OK;
}

/* ---- filtering ----------------------------------------------------------------------------------------- */

typedef struct job {
    const cnn_tensor *images;
    cnn_tensor *out;
    axis down, across;
    int64_t channels;
    float *rows; /* one row of the input a thread */
} job;

static void add_row_f32(float *restrict row, const float *restrict in, float weight, int64_t size) {
    for (int64_t i = 0; i < size; i++) row[i] += weight * in[i];
}

static void add_row_u8(float *restrict row, const uint8_t *restrict in, float weight, int64_t size) {
    for (int64_t i = 0; i < size; i++) row[i] += weight * (float)in[i];
}

static void sum_rows(const job *j, float *row, int64_t picture, int64_t y) {
    int64_t size = j->across.in * j->channels, from = picture * j->down.in + j->down.first[y];
    const float *weights = j->down.weights + y * j->down.room;
    memset(row, 0, (size_t)size * sizeof *row);
    for (int32_t k = 0; k < j->down.count[y]; k++) {
        if (j->images->dtype == CNN_UINT8)
            add_row_u8(row, cnn_u8(j->images) + (from + k) * size, weights[k], size);
        else
            add_row_f32(row, cnn_f32(j->images) + (from + k) * size, weights[k], size);
    }
}

static uint8_t to_byte(float value) {
    return value <= 0 ? 0 : value >= 254.5f ? 255 : (uint8_t)(value + 0.5f);
}

/* Pixels of one output row; with channels a constant where it is called, the inner loop unrolls. */
static inline void sum_pixels(const job *j, const float *row, int64_t y, int64_t channels) {
    const axis *a = &j->across;
    for (int64_t x = 0; x < a->out; x++) {
        const float *weights = a->weights + x * a->room, *in = row + a->first[x] * channels;
        int64_t at = (y * a->out + x) * channels;
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0;
            for (int32_t k = 0; k < a->count[x]; k++) sum += weights[k] * in[k * channels + c];
            if (j->out->dtype == CNN_UINT8)
                cnn_u8(j->out)[at + c] = to_byte(sum);
            else
                cnn_f32(j->out)[at + c] = sum;
        }
    }
}

static void filter_row(void *context, int64_t task, int thread) {
    const job *j = context;
    float *row = j->rows + thread * j->across.in * j->channels;
    sum_rows(j, row, task / j->down.out, task % j->down.out);
    if (j->channels == 1)
        sum_pixels(j, row, task, 1);
    else if (j->channels == 3)
        sum_pixels(j, row, task, 3);
    else
        sum_pixels(j, row, task, j->channels);
}

static cnn_status filter(cnn_tensor *out, const cnn_tensor *images, const cnn_pictures *p,
                         const cnn_pictures *to, cnn_interpolation method, bool antialias) {
    job j = {.images = images, .out = out, .channels = p->channels};
    size_t bytes = (size_t)(cnn_threads() * p->width * p->channels) * sizeof(float);
    CNN_TRY(make_axis(&j.down, p->height, to->height, method, antialias));
    cnn_status status = make_axis(&j.across, p->width, to->width, method, antialias);
    if (status == CNN_OK && !(j.rows = cnn_malloc(bytes))) {
        free_axis(&j.across);
        status = cnn_fail_memory(bytes);
    }
    if (status == CNN_OK) {
        cnn_parallel(to->count * to->height, filter_row, &j);
        cnn_free(j.rows);
        free_axis(&j.across);
    }
    free_axis(&j.down);
    return status;
}

/* ---- the nearest pixel --------------------------------------------------------------------------------- */

static int64_t nearest(int64_t o, int64_t in, int64_t out) {
    int64_t i = (int64_t)(((double)o + 0.5) * (double)in / (double)out);
    return i < in ? i : in - 1;
}

static void pick(cnn_tensor *out, const cnn_tensor *images, const cnn_pictures *p, const cnn_pictures *to) {
    size_t pixel = (size_t)p->channels * cnn_dtype_size(images->dtype);
    char *at = out->data;
    for (int64_t n = 0; n < to->count; n++) {
        for (int64_t y = 0; y < to->height; y++) {
            int64_t row = (n * p->height + nearest(y, p->height, to->height)) * p->width;
            for (int64_t x = 0; x < to->width; x++, at += pixel)
                memcpy(at,
                       (const char *)images->data + (size_t)(row + nearest(x, p->width, to->width)) * pixel,
                       pixel);
        }
    }
}

cnn_status cnn_image_resize(cnn_tensor **out, const cnn_tensor *images, int64_t height, int64_t width,
                            cnn_interpolation method, bool antialias) {
    cnn_pictures p;
    CNN_TRY(cnn_pictures_of(&p, "image.resize", images));
    if (height < 1 || width < 1 || height > CNN_IMAGE_MAX_SIDE || width > CNN_IMAGE_MAX_SIDE)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "image.resize: 'size' must be a height and a width of 1 to 2^24, got %lld and %lld",
                        (long long)height, (long long)width);
    cnn_pictures to = {.count = p.count, .height = height, .width = width, .channels = p.channels};
    int64_t shape[] = {p.count, height, width, p.channels};
    int skip = images->rank != 4;
    cnn_tensor *result;
    CNN_TRY(cnn_tensor_alloc_for("image.resize", &result, images->dtype, images->rank, shape + skip));
    cnn_status status = CNN_OK;
    if (method == CNN_NEAREST)
        pick(result, images, &p, &to);
    else
        status = filter(result, images, &p, &to, method, antialias);
    if (status == CNN_OK)
        *out = result;
    else
        cnn_tensor_release(result);
    return status;
}
