/* Noise in training: normal numbers added to x or multiplied with it, and whole channels dropped. Like dropout's, the
 * numbers depend on seed, step and an element's place in the batch alone; backward draws them again. */
#include "ops/noise.h"
#include "ops/shape.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

/* ---- normal numbers ------------------------------------------------------------------------------------ */

static int64_t row_of(const cnn_tensor *x) {
    return x->rank > 0 ? cnn_sample_size(x) : 1;
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    cnn_infer_like(info, inputs[0]);
    info->scratch = (size_t)row_of(inputs[0]) * sizeof(float);
    return CNN_OK;
}

/* The numbers of one sample, in scratch. */
static const float *draw(const cnn_op_call *call, int64_t sample, float mean) {
    const cnn_noise *a = call->attributes;
    int64_t row = row_of(call->grad_output ? call->grad_output : call->output);
    uint32_t words[4];
    cnn_philox((uint64_t)(int64_t)a->seed, call->step, 0, words);
    cnn_random random = {.key = (uint64_t)words[1] << 32 | words[0],
                         .counter = (uint64_t)(call->first_sample + sample) * (uint64_t)((row + 3) / 4)};
    cnn_random_normal(&random, call->scratch, row, mean, (float)a->stddev);
    return call->scratch;
}

static bool is_identity(const cnn_op_call *call) {
    return !call->training || ((const cnn_noise *)call->attributes)->stddev == 0;
}

static void copy(cnn_tensor *out, const cnn_tensor *a) {
    memcpy(out->data, a->data, cnn_tensor_bytes(a));
}

static cnn_status add_noise(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    int64_t row = row_of(x);
    copy(call->output, x);
    if (is_identity(call)) return CNN_OK;
    float *y = cnn_f32(call->output);
    for (int64_t n = 0; n * row < x->size; n++, y += row) {
        const float *noise = draw(call, n, 0);
        for (int64_t i = 0; i < row; i++) y[i] += noise[i];
    }
    return CNN_OK;
}

static cnn_status pass_on(const cnn_op_call *call) {
    if (call->grad_inputs[0]) copy(call->grad_inputs[0], call->grad_output);
    return CNN_OK;
}

static void multiply(const cnn_op_call *call, const cnn_tensor *x, cnn_tensor *out) {
    int64_t row = row_of(x);
    const float *from = cnn_f32(x);
    float *to = cnn_f32(out);
    for (int64_t n = 0; n * row < x->size; n++, from += row, to += row) {
        const float *noise = draw(call, n, 1);
        for (int64_t i = 0; i < row; i++) to[i] = from[i] * noise[i];
    }
}

static cnn_status multiply_noise(const cnn_op_call *call) {
    if (is_identity(call))
        copy(call->output, call->inputs[0]);
    else
        multiply(call, call->inputs[0], call->output);
    return CNN_OK;
}

static cnn_status multiply_back(const cnn_op_call *call) {
    if (is_identity(call)) return pass_on(call);
    if (call->grad_inputs[0]) multiply(call, call->grad_output, call->grad_inputs[0]);
    return CNN_OK;
}

static const cnn_param noise_params[] = {
    CNN_PARAM(FLOAT, cnn_noise, stddev, NULL, .low = 0, .high = INFINITY,
              .help = "the noise's standard deviation"),
    CNN_PARAM(INT, cnn_noise, seed, "0", .help = "with the step, chooses the numbers"),
    {0}};

/* In training, adds normal numbers of mean 0; else x as it is. */
const cnn_op cnn_op_gaussian_noise = {.class =
                                          CNN_CLASS("op", "gaussian_noise", NULL, cnn_noise, noise_params),
                                      .min_inputs = 1,
                                      .max_inputs = 1,
                                      .per_sample = true,
                                      .random = true,
                                      .infer = infer,
                                      .forward = add_noise,
                                      .backward = pass_on};

/* In training, multiplies with normal numbers of mean 1; else x as it is. */
const cnn_op cnn_op_gaussian_dropout = {
    .class = CNN_CLASS("op", "gaussian_dropout", NULL, cnn_noise, noise_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .random = true,
    .infer = infer,
    .forward = multiply_noise,
    .backward = multiply_back};

/* ---- spatial dropout ----------------------------------------------------------------------------------- */

static cnn_status spatial_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[0];
    char shape[CNN_SHAPE_TEXT];
    if (x->rank < 3 || x->shape[x->rank - 1] < 0)
        return cnn_fail(CNN_ERROR_SHAPE, "spatial_dropout: expected an input [N,…,C], got shape %s",
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    cnn_infer_like(info, x);
    info->scratch = 2 * (size_t)x->shape[x->rank - 1] * sizeof(float);
    return CNN_OK;
}

/* out = x with each channel of a sample multiplied by 0 or 1 / (1 - rate). */
static void drop_channels(const cnn_op_call *call, const cnn_tensor *x, cnn_tensor *out) {
    const cnn_dropout *a = call->attributes;
    int64_t channels = x->shape[x->rank - 1], row = cnn_sample_size(x);
    cnn_dropout_stream stream = {.key = (uint64_t)(int64_t)a->seed,
                                 .step = call->step,
                                 .threshold = (uint64_t)(a->rate * 4294967296.0),
                                 .scale = a->rate < 1 ? (float)(1 / (1 - a->rate)) : 0.0f};
    float *ones = call->scratch, *factor = ones + channels, *to = cnn_f32(out);
    const float *from = cnn_f32(x);
    for (int64_t c = 0; c < channels; c++) ones[c] = 1;
    for (int64_t n = 0; n < x->shape[0] && row > 0; n++) {
        uint64_t position = (uint64_t)(call->first_sample + n) * (uint64_t)channels;
        cnn_kernel()->dropout(&stream, position, ones, factor, NULL, channels);
        for (int64_t cell = 0; cell < row; cell += channels, from += channels, to += channels)
            for (int64_t c = 0; c < channels; c++) to[c] = from[c] * factor[c];
    }
}

static bool keeps_all(const cnn_op_call *call) {
    return !call->training || ((const cnn_dropout *)call->attributes)->rate == 0;
}

static cnn_status spatial_forward(const cnn_op_call *call) {
    if (keeps_all(call))
        copy(call->output, call->inputs[0]);
    else
        drop_channels(call, call->inputs[0], call->output);
    return CNN_OK;
}

static cnn_status spatial_backward(const cnn_op_call *call) {
    if (keeps_all(call)) return pass_on(call);
    if (call->grad_inputs[0]) drop_channels(call, call->grad_output, call->grad_inputs[0]);
    return CNN_OK;
}

static const cnn_param spatial_params[] = {
    CNN_PARAM(FLOAT, cnn_dropout, rate, NULL, .low = 0, .high = 1, .help = "the share of channels set to 0"),
    CNN_PARAM(INT, cnn_dropout, seed, "0", .help = "with the step, chooses the channels"),
    {0}};

/* In training, sets whole channels of samples to 0 and divides the others by 1 - rate. */
const cnn_op cnn_op_spatial_dropout = {
    .class = CNN_CLASS("op", "spatial_dropout", NULL, cnn_dropout, spatial_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .random = true,
    .infer = spatial_infer,
    .forward = spatial_forward,
    .backward = spatial_backward};
