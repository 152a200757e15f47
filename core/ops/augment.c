/* Random changes of pictures that look at no neighbours: flips, contrast and brightness. In inference x as it is. The
 * numbers drawn for a picture depend on seed, step and its place in the batch alone; backward draws them again. */
#include "ops/augment.h"
#include "ops/shape.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "image/warp.h"

#include <string.h>

/* ---- what all have in common --------------------------------------------------------------------------- */

/* Each has a range of counters of its own. */
void cnn_augment_draw(cnn_augmentation what, int seed, uint64_t step, int64_t sample, double numbers[4]) {
    uint32_t words[4];
    uint64_t range = (uint64_t)what + 1;
    cnn_philox((uint64_t)(int64_t)seed, step, range << 56 | (uint64_t)sample, words);
    for (int i = 0; i < 4; i++) numbers[i] = words[i] / 4294967296.0;
}

cnn_status cnn_augment_infer(const cnn_op *op, const cnn_tensor *x, cnn_op_info *info) {
    char shape[CNN_SHAPE_TEXT];
    bool pixels = x->rank == 4;
    for (int i = 1; pixels && i < 4; i++) pixels = x->shape[i] > 0 && x->shape[i] <= 1 << 24;
    if (!pixels)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: expected pictures [N,H,W,C], got shape %s", op->class.name,
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    cnn_infer_like(info, x);
    return CNN_OK;
}

static void copy(cnn_tensor *out, const cnn_tensor *x) {
    memcpy(out->data, x->data, cnn_tensor_bytes(x));
}

/* ---- flips --------------------------------------------------------------------------------------------- */

static cnn_status flip_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                             cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    return cnn_augment_infer(&cnn_op_random_flip, inputs[0], info);
}

/* A flip is its own inverse and its own transpose; a warp by whole pixels copies them as they are. */
static void flip(const cnn_op_call *call, const cnn_tensor *x, cnn_tensor *out) {
    const cnn_random_flip *a = call->attributes;
    int64_t height = x->shape[1], width = x->shape[2], size = cnn_sample_size(x);
    cnn_warp warp = {.in_height = height,
                     .in_width = width,
                     .out_height = height,
                     .out_width = width,
                     .channels = x->shape[3],
                     .options = {.method = CNN_NEAREST, .fill = CNN_FILL_NEAREST}};
    for (int64_t n = 0; n < x->shape[0]; n++) {
        double numbers[4];
        cnn_augment_draw(CNN_FLIP, a->seed, call->step, call->first_sample + n, numbers);
        bool across = a->horizontal && numbers[0] < 0.5, down = a->vertical && numbers[1] < 0.5;
        warp.at = cnn_affine_centred(cnn_affine_scale(across ? -1 : 1, down ? -1 : 1), height, width);
        cnn_warp_picture(&warp, cnn_f32(x) + n * size, cnn_f32(out) + n * size);
    }
}

static cnn_status flip_forward(const cnn_op_call *call) {
    if (call->training)
        flip(call, call->inputs[0], call->output);
    else
        copy(call->output, call->inputs[0]);
    return CNN_OK;
}

static cnn_status flip_backward(const cnn_op_call *call) {
    if (!call->grad_inputs[0]) return CNN_OK;
    if (call->training)
        flip(call, call->grad_output, call->grad_inputs[0]);
    else
        copy(call->grad_inputs[0], call->grad_output);
    return CNN_OK;
}

static const cnn_param flip_params[] = {
    CNN_PARAM(BOOL, cnn_random_flip, horizontal, "true",
              .help = "mirror left and right, in one picture of two"),
    CNN_PARAM(BOOL, cnn_random_flip, vertical, "true", .help = "mirror top and bottom, likewise"),
    CNN_PARAM(INT, cnn_random_flip, seed, "0", .help = "with the step, chooses the pictures"),
    {0}};

const cnn_op cnn_op_random_flip = {.class =
                                       CNN_CLASS("op", "random_flip", NULL, cnn_random_flip, flip_params),
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .per_sample = true,
                                   .random = true,
                                   .infer = flip_infer,
                                   .forward = flip_forward,
                                   .backward = flip_backward};

/* ---- contrast and brightness --------------------------------------------------------------------------- */

/* Both make of a pixel of channel c: x·scale + offset[c], kept within the range of values. */
typedef struct tone {
    float scale, low, high;
    float *offset; /* [channels] */
    int64_t size, channels;
} tone;

static void apply_tone(const tone *t, const float *restrict x, float *restrict y) {
    for (int64_t i = 0; i < t->size; i += t->channels)
        for (int64_t c = 0; c < t->channels; c++) {
            float value = x[i + c] * t->scale + t->offset[c];
            value = value < t->low ? t->low : value;
            y[i + c] = value > t->high ? t->high : value;
        }
}

/* What was cut off has no gradient. */
static void pass_tone(const tone *t, const float *restrict x, const float *restrict dy, float *restrict dx) {
    for (int64_t i = 0; i < t->size; i += t->channels)
        for (int64_t c = 0; c < t->channels; c++) {
            float value = x[i + c] * t->scale + t->offset[c];
            dx[i + c] = value >= t->low && value <= t->high ? dy[i + c] : 0;
        }
}

static double chosen(cnn_augmentation what, const cnn_op_call *call, int64_t n) {
    const cnn_random_tone *a = call->attributes;
    double numbers[4];
    cnn_augment_draw(what, a->seed, call->step, call->first_sample + n, numbers);
    return a->low + (a->high - a->low) * numbers[0];
}

/* Sums of each channel, in scratch before the offsets. */
static double *sum_channels(const cnn_op_call *call, const float *x, int64_t size, int64_t channels) {
    double *sums = call->scratch;
    memset(sums, 0, (size_t)channels * sizeof *sums);
    for (int64_t i = 0; i < size; i += channels)
        for (int64_t c = 0; c < channels; c++) sums[c] += (double)x[i + c];
    return sums;
}

static tone tone_of(const cnn_op_call *call) {
    const cnn_random_tone *a = call->attributes;
    const cnn_tensor *x = call->inputs[0];
    return (tone){.scale = 1,
                  .low = (float)a->darkest,
                  .high = (float)a->brightest,
                  .offset = (float *)((double *)call->scratch + x->shape[3]),
                  .size = cnn_sample_size(x),
                  .channels = x->shape[3]};
}

/* (x - mean)·f + mean, for picture n. */
static tone contrast(const cnn_op_call *call, int64_t n) {
    tone t = tone_of(call);
    double factor = chosen(CNN_CONTRAST, call, n);
    const double *sums = sum_channels(call, cnn_f32(call->inputs[0]) + n * t.size, t.size, t.channels);
    for (int64_t c = 0; c < t.channels; c++)
        t.offset[c] = (float)((1 - factor) * sums[c] / (double)(t.size / t.channels));
    t.scale = (float)factor;
    return t;
}

static tone brightness(const cnn_op_call *call, int64_t n) {
    const cnn_random_tone *a = call->attributes;
    tone t = tone_of(call);
    double delta = chosen(CNN_BRIGHTNESS, call, n) * (a->brightest - a->darkest);
    for (int64_t c = 0; c < t.channels; c++) t.offset[c] = (float)delta;
    return t;
}

static cnn_status tone_forward(const cnn_op_call *call, tone (*of)(const cnn_op_call *, int64_t)) {
    const cnn_tensor *x = call->inputs[0];
    if (!call->training) return copy(call->output, x), CNN_OK;
    for (int64_t n = 0; n < x->shape[0]; n++) {
        tone t = of(call, n);
        apply_tone(&t, cnn_f32(x) + n * t.size, cnn_f32(call->output) + n * t.size);
    }
    return CNN_OK;
}

static cnn_status contrast_forward(const cnn_op_call *call) {
    return tone_forward(call, contrast);
}

static cnn_status brightness_forward(const cnn_op_call *call) {
    return tone_forward(call, brightness);
}

/* Through the mean each pixel has a part in all others of its channel. */
static void pass_contrast(const cnn_op_call *call, const tone *t, float *dx) {
    const double *sums = sum_channels(call, dx, t->size, t->channels);
    for (int64_t c = 0; c < t->channels; c++)
        t->offset[c] = (float)((1 - (double)t->scale) * sums[c] / (double)(t->size / t->channels));
    for (int64_t i = 0; i < t->size; i += t->channels)
        for (int64_t c = 0; c < t->channels; c++) dx[i + c] = dx[i + c] * t->scale + t->offset[c];
}

static cnn_status tone_backward(const cnn_op_call *call, tone (*of)(const cnn_op_call *, int64_t)) {
    const cnn_tensor *x = call->inputs[0], *dy = call->grad_output;
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    if (!call->training) return copy(dx, dy), CNN_OK;
    for (int64_t n = 0; n < x->shape[0]; n++) {
        tone t = of(call, n);
        float *to = cnn_f32(dx) + n * t.size;
        pass_tone(&t, cnn_f32(x) + n * t.size, cnn_f32(dy) + n * t.size, to);
        if (of == contrast) pass_contrast(call, &t, to);
    }
    return CNN_OK;
}

static cnn_status contrast_backward(const cnn_op_call *call) {
    return tone_backward(call, contrast);
}

static cnn_status brightness_backward(const cnn_op_call *call) {
    return tone_backward(call, brightness);
}

static cnn_status tone_infer(const cnn_op *op, const cnn_tensor *x, cnn_op_info *info) {
    CNN_TRY(cnn_augment_infer(op, x, info));
    info->scratch = (size_t)x->shape[3] * (sizeof(double) + sizeof(float));
    return CNN_OK;
}

static cnn_status contrast_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                 cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    return tone_infer(&cnn_op_random_contrast, inputs[0], info);
}

static cnn_status brightness_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                   cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    return tone_infer(&cnn_op_random_brightness, inputs[0], info);
}

#define VALUE_PARAMS                                                                                         \
    CNN_PARAM(FLOAT, cnn_random_tone, darkest, "0", .help = "lower values are cut off"),                     \
        CNN_PARAM(FLOAT, cnn_random_tone, brightest, "255", .help = "higher values are cut off"),            \
        CNN_PARAM(INT, cnn_random_tone, seed, "0", .help = "with the step, chooses the numbers")

static const cnn_param contrast_params[] = {
    CNN_PARAM(FLOAT, cnn_random_tone, low, NULL, .help = "the smallest factor"),
    CNN_PARAM(FLOAT, cnn_random_tone, high, NULL, .help = "the largest factor"),
    VALUE_PARAMS,
    {0}};

/* In training, (x - mean)·factor + mean for each channel of each picture; else x as it is. */
const cnn_op cnn_op_random_contrast = {
    .class = CNN_CLASS("op", "random_contrast", NULL, cnn_random_tone, contrast_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .random = true,
    .needs = 1u << 0,
    .infer = contrast_infer,
    .forward = contrast_forward,
    .backward = contrast_backward};

static const cnn_param brightness_params[] = {
    CNN_PARAM(FLOAT, cnn_random_tone, low, NULL, .help = "the least that is added, in parts of the range"),
    CNN_PARAM(FLOAT, cnn_random_tone, high, NULL, .help = "the most that is added"),
    VALUE_PARAMS,
    {0}};

/* In training, adds one number to all of a picture; else x as it is. */
const cnn_op cnn_op_random_brightness = {
    .class = CNN_CLASS("op", "random_brightness", NULL, cnn_random_tone, brightness_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .random = true,
    .needs = 1u << 0,
    .infer = brightness_infer,
    .forward = brightness_forward,
    .backward = brightness_backward};
