/* Resizing pictures: nearest, bilinear, bicubic and area, as tf.image.resize computes them, stretched, cropped or padded
 * to the size as Keras does it.
 *
 * What is resized is a window of the picture, or one that stands out over its borders, where it is black. The centre of
 * output pixel o lies at (o + 1/2)·in/out - 1/2 among the window's pixels ("half-pixel centres"). A filter is separable,
 * so an axis is a table: for each output pixel the first pixel of the picture that counts and the weights of those from
 * there on. In a window they sum to 1 whatever lies beyond its border. An output row is first a sum of whole input rows,
 * then each of its pixels a sum of a few of that row's. */
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "image/image.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

/* ---- windows ------------------------------------------------------------------------------------------- */

/* Pixels start … start+size-1 of an axis. */
typedef struct window {
    int64_t start, size;
} window;

/* Of an axis of `in` pixels that becomes `out`, while the other one goes from other_in to other_out. */
static window window_of(cnn_aspect aspect, int64_t in, int64_t out, int64_t other_in, int64_t other_out) {
    int64_t size = (int64_t)((double)(other_in * out) / (double)other_out);
    if (aspect == CNN_ASPECT_CROP && size < in) {
        if (size < 1) size = 1;
        return (window){.start = (in - size) / 2, .size = size};
    }
    if (aspect == CNN_ASPECT_PAD && size > in) {
        int64_t margin = (size - in) / 2;
        return (window){.start = -margin, .size = in + 2 * margin};
    }
    return (window){.start = 0, .size = in};
}

/* ---- tables -------------------------------------------------------------------------------------------- */

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

/* scale: pixels of the window for one of the output; stretch: how much wider than itself the filter is made; radius: how
 * far it reaches, in pixels of the window. */
typedef struct filter {
    cnn_interpolation method;
    double scale, stretch, radius;
} filter;

static filter make_filter(cnn_interpolation method, int64_t in, int64_t out, bool antialias) {
    double scale = (double)in / (double)out, stretch = antialias && scale > 1 ? scale : 1;
    double radius = method == CNN_AREA ? scale / 2 + 1 : (method == CNN_BICUBIC ? 2 : 1) * stretch;
    return (filter){.method = method, .scale = scale, .stretch = stretch, .radius = radius};
}

/* The weight of pixel i for output pixel o: whether o's centre is in it, the part of it that o covers, or the filter
 * there. */
static double weight(const filter *f, int64_t o, int64_t i) {
    double centre = ((double)o + 0.5) * f->scale;
    switch (f->method) {
    case CNN_NEAREST:
        return i == (int64_t)centre;
    case CNN_AREA:
        return fmax(fmin((double)(o + 1) * f->scale, (double)i + 1) - fmax((double)o * f->scale, (double)i),
                    0);
    case CNN_BILINEAR:
        return triangle(((double)i + 0.5 - centre) / f->stretch);
    default:
        return cubic(((double)i + 0.5 - centre) / f->stretch);
    }
}

/* Pixels of no weight at the ends are left out: 0 times infinity is not 0. */
static void fill_output(cnn_taps *t, int64_t in, window w, const filter *f, int64_t o) {
    double centre = ((double)o + 0.5) * f->scale - 0.5, sum = 0;
    int64_t from = (int64_t)fmax(ceil(centre - f->radius), 0) + w.start;
    int64_t to = (int64_t)fmin(floor(centre + f->radius), (double)(w.size - 1)) + w.start;
    int64_t first = from < 0 ? 0 : from < in ? from : in - 1;
    int32_t used = 0;
    float *weights = t->weights + o * t->room;
    for (int64_t i = from; i <= to; i++) {
        double value = weight(f, o, i - w.start);
        sum += value;
        if (i < 0 || i >= in) continue;
        if (used == 0) first = i;
        if (used > 0 || value != 0) weights[used++] = (float)value;
    }
    while (used > 0 && weights[used - 1] == 0) used--;
    for (int32_t k = 0; k < used; k++) weights[k] = (float)(weights[k] / sum);
    t->first[o] = first;
    t->used[o] = used;
}

static void free_taps(cnn_taps *t) {
    cnn_free(t->first);
    cnn_free(t->used);
    cnn_free(t->weights);
}

/* For an axis of `in` pixels. */
static cnn_status make_taps(cnn_taps *t, int64_t in, window w, int64_t out, cnn_interpolation method,
                            bool antialias) {
    filter f = make_filter(method, w.size, out, antialias);
    *t = (cnn_taps){.count = out, .room = (int64_t)(2 * f.radius) + 2};
    if (t->room > in) t->room = in;
    size_t weights = (size_t)(out * t->room) * sizeof(float);
    t->first = cnn_malloc((size_t)out * sizeof *t->first);
    t->used = cnn_malloc((size_t)out * sizeof *t->used);
    t->weights = cnn_malloc(weights);
    if (!t->first || !t->used || !t->weights) {
        free_taps(t);
        return cnn_fail_memory(weights);
    }
    for (int64_t o = 0; o < out; o++) fill_output(t, in, w, &f, o);
    return CNN_OK;
}

/* ---- filtering ----------------------------------------------------------------------------------------- */

typedef struct job {
    const cnn_kernels *kernels;
    const cnn_tensor *images;
    cnn_tensor *out;
    cnn_pictures from, to;
    cnn_taps down, across;
    int64_t left, right; /* the columns that count */
    float *rows;         /* for each thread, a row of the input and one of the output */
    int64_t room;        /* from one thread's to the next one's, in floats */
} job;

static uint8_t to_byte(float value) {
    return value <= 0 ? 0 : value >= 254.5f ? 255 : (uint8_t)(value + 0.5f);
}

static void resize_row(void *context, int64_t task, int thread) {
    const job *j = context;
    int64_t channels = j->from.channels, stride = j->from.width * channels, y = task % j->to.height;
    int64_t left = j->left * channels, size = j->right * channels - left, width = j->to.width * channels;
    int64_t at = (task / j->to.height * j->from.height + j->down.first[y]) * stride + left;
    const float *weights = j->down.weights + y * j->down.room;
    float *row = j->rows + thread * j->room;
    if (j->images->dtype == CNN_UINT8)
        j->kernels->sum_picture_rows_u8(weights, j->down.used[y], cnn_u8(j->images) + at, stride, row + left,
                                        size);
    else
        j->kernels->sum_picture_rows_f32(weights, j->down.used[y], cnn_f32(j->images) + at, stride,
                                         row + left, size);
    if (j->out->dtype == CNN_FLOAT32) {
        j->kernels->sum_pixels(&j->across, row, channels, cnn_f32(j->out) + task * width);
        return;
    }
    float *sums = row + stride + 1;
    uint8_t *bytes = cnn_u8(j->out) + task * width;
    j->kernels->sum_pixels(&j->across, row, channels, sums);
    for (int64_t i = 0; i < width; i++) bytes[i] = to_byte(sums[i]);
}

static cnn_status run(job *j) {
    const cnn_taps *a = &j->across;
    j->left = a->first[0];
    for (int64_t x = 0; x < a->count; x++)
        if (a->first[x] + a->used[x] > j->right) j->right = a->first[x] + a->used[x];
    j->room = (j->from.width + j->to.width) * j->from.channels + 1;
    size_t bytes = (size_t)(cnn_threads() * j->room) * sizeof(float);
    j->rows = cnn_malloc(bytes);
    if (!j->rows) return cnn_fail_memory(bytes);
    cnn_parallel(j->to.count * j->to.height, resize_row, j);
    cnn_free(j->rows);
    return CNN_OK;
}

cnn_status cnn_image_fit_into(cnn_tensor *out, const cnn_tensor *images, cnn_interpolation method,
                              bool antialias, cnn_aspect aspect) {
    job j = {.kernels = cnn_kernel(), .images = images, .out = out};
    CNN_TRY(cnn_pictures_of(&j.from, "image.resize", images));
    CNN_TRY(cnn_pictures_of(&j.to, "image.resize", out));
    int64_t height = j.from.height, width = j.from.width;
    window down = window_of(aspect, height, j.to.height, width, j.to.width);
    window across = window_of(aspect, width, j.to.width, height, j.to.height);
    CNN_TRY(make_taps(&j.down, height, down, j.to.height, method, antialias));
    cnn_status status = make_taps(&j.across, width, across, j.to.width, method, antialias);
    if (status == CNN_OK) {
        status = run(&j);
        free_taps(&j.across);
    }
    free_taps(&j.down);
    return status;
}

cnn_status cnn_image_check_size(const char *who, int64_t height, int64_t width) {
    if (height < 1 || width < 1 || height > CNN_IMAGE_MAX_SIDE || width > CNN_IMAGE_MAX_SIDE)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: 'size' must be a height and a width of 1 to 2^24, got %lld and %lld", who,
                        (long long)height, (long long)width);
    return CNN_OK;
}

cnn_status cnn_image_fit(cnn_tensor **out, const cnn_tensor *images, int64_t height, int64_t width,
                         cnn_interpolation method, bool antialias, cnn_aspect aspect) {
    cnn_pictures p;
    CNN_TRY(cnn_pictures_of(&p, "image.resize", images));
    CNN_TRY(cnn_image_check_size("image.resize", height, width));
    int64_t shape[] = {p.count, height, width, p.channels};
    int skip = images->rank != 4;
    cnn_tensor *result;
    CNN_TRY(cnn_tensor_alloc_for("image.resize", &result, images->dtype, images->rank, shape + skip));
    cnn_status status = cnn_image_fit_into(result, images, method, antialias, aspect);
    if (status == CNN_OK)
        *out = result;
    else
        cnn_tensor_release(result);
    return status;
}

cnn_status cnn_image_resize(cnn_tensor **out, const cnn_tensor *images, int64_t height, int64_t width,
                            cnn_interpolation method, bool antialias) {
    return cnn_image_fit(out, images, height, width, method, antialias, CNN_ASPECT_STRETCH);
}
