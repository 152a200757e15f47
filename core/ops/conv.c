/* 2-D convolution (in truth cross-correlation, as everywhere in deep learning), with the bias, and, where a plan
 * fuses them, relu and max pooling in the same pass. */
#include "ops/conv.h"
#include "ops/conv_split.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <limits.h>
#include <string.h>

static const cnn_param params[] = {
    CNN_PARAM(PAIR, cnn_conv2d, strides, "1", .low = 1, .help = "step of the window (rows, columns)"),
    CNN_PARAM(CHOICE, cnn_conv2d, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': no padding; 'same': zeros, so that output = ceil(input / stride)"),
    CNN_PARAM(PAIR, cnn_conv2d, dilation_rate, "1", .low = 1, .help = "spacing of the window's cells"),
    CNN_PARAM(INT, cnn_conv2d, groups, "1", .low = 1,
              .help = "channels are split into this many groups, convolved apart"),
    CNN_PARAM(BOOL, cnn_conv2d, relu, "false", .help = "apply relu to the result in the same pass"),
    CNN_PARAM(PAIR, cnn_conv2d, pool, "1", .low = 1, .high = 15,
              .help = "then max pooling with windows of this size, without overlap, in the same pass"),
    {0}};

int64_t cnn_window_output(int64_t in, int window, int stride, int padding, int *before) {
    *before = 0;
    if (padding == CNN_PADDING_VALID) return in < window ? 0 : (in - window) / stride + 1;
    int64_t out = (in + stride - 1) / stride;
    int64_t pad = (out - 1) * stride + window - in;
    if (pad > 0) *before = (int)(pad / 2);
    return out;
}

int64_t cnn_window_extent(int64_t kernel, int dilation) {
    return (kernel - 1) * dilation + 1;
}

/* Outputs that no window of pooling holds are none: neither pass has anything to do for them. */
static cnn_conv geometry(const cnn_conv2d *a, const cnn_tensor *x, const cnn_tensor *w, int64_t once) {
    cnn_conv c = {.in_h = (int)x->shape[1],
                  .in_w = (int)x->shape[2],
                  .in_c = (int)x->shape[3],
                  .out_c = (int)w->shape[3],
                  .kernel_h = (int)w->shape[0],
                  .kernel_w = (int)w->shape[1],
                  .stride_h = a->strides[0],
                  .stride_w = a->strides[1],
                  .dilation_h = a->dilation_rate[0],
                  .dilation_w = a->dilation_rate[1],
                  .groups = a->groups,
                  .once = once > 0 && once < INT_MAX ? (int)once : 0};
    int window_h = (int)cnn_window_extent(c.kernel_h, c.dilation_h),
        window_w = (int)cnn_window_extent(c.kernel_w, c.dilation_w);
    c.out_h = (int)cnn_window_output(c.in_h, window_h, c.stride_h, a->padding, &c.pad_top);
    c.out_w = (int)cnn_window_output(c.in_w, window_w, c.stride_w, a->padding, &c.pad_left);
    c.out_h -= c.out_h % a->pool[0];
    c.out_w -= c.out_w % a->pool[1];
    return c;
}

static bool pooled(const cnn_conv2d *a) {
    return a->pool[0] > 1 || a->pool[1] > 1;
}

static cnn_conv_epilogue epilogue(const cnn_op_call *call, const float *folded) {
    const cnn_conv2d *a = call->attributes;
    return (cnn_conv_epilogue){.bias = cnn_conv_bias(&a->fold, call, folded),
                               .relu = a->relu,
                               .pool_h = a->pool[0],
                               .pool_w = a->pool[1]};
}

/* The gradient before relu and pooling, where these are fused, is rebuilt for a few samples at a time: as many as
 * stay in the second-level cache, for the kernels do better on several small pictures than on one. */
static size_t sums_of_sample(const cnn_conv *c) {
    return (size_t)c->out_h * (size_t)c->out_w * (size_t)c->out_c;
}

static int64_t samples_at_once(const cnn_conv *c) {
    enum { FLOATS = 32768, POSITIONS = 256 };
    size_t floats = (size_t)c->out_c * POSITIONS;
    if (floats < FLOATS) floats = FLOATS;
    return sums_of_sample(c) < floats ? (int64_t)(floats / sums_of_sample(c)) : 1;
}

static size_t sums_floats(const cnn_conv *c) {
    return CNN_ROUND_UP(sums_of_sample(c) * (size_t)samples_at_once(c), CNN_ALIGN / sizeof(float));
}

enum { MAX_PHASES = 1 << 20 };

cnn_status cnn_conv_check_sizes(const char *who, const cnn_tensor *x, const cnn_tensor *weights, int axes,
                                const int *strides, const int *dilation_rate) {
    char shape[CNN_SHAPE_TEXT], window[CNN_SHAPE_TEXT];
    bool fits = true;
    int64_t phases = 1; /* how windows may lie on a step: each is worked through for itself */
    for (int i = 0; i < axes; i++) fits = fits && (phases *= strides[i]) <= MAX_PHASES;
    for (int i = 1; i < x->rank; i++) fits = fits && x->shape[i] >= 0 && x->shape[i] <= INT_MAX;
    for (int i = 0; i < weights->rank; i++) fits = fits && weights->shape[i] <= INT_MAX;
    for (int i = 0; fits && i < axes; i++)
        fits =
            x->shape[i + 1] * strides[i] + cnn_window_extent(weights->shape[i], dilation_rate[i]) <= INT_MAX;
    if (fits) return CNN_OK;
    return cnn_fail(
        CNN_ERROR_SHAPE,
        "%s: an input of shape %s does not fit weights %s: sizes are unknown, or too large with these "
        "strides and this dilation",
        who, cnn_shape_text(shape, sizeof shape, x->rank, x->shape),
        cnn_shape_text(window, sizeof window, weights->rank, weights->shape));
}

static cnn_status check_shapes(const cnn_conv2d *a, const cnn_tensor *x, const cnn_tensor *w,
                               const cnn_tensor *b) {
    char shape[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    if (x->rank != 4)
        return cnn_fail(CNN_ERROR_SHAPE, "conv2d: expected an input [N,H,W,C], got shape %s",
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    if (w->rank != 4)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "conv2d: expected weights [height,width,channels,filters], got shape %s",
                        cnn_shape_text(shape, sizeof shape, w->rank, w->shape));
    if (w->size == 0) return cnn_fail(CNN_ERROR_SHAPE, "conv2d: the weights are empty");
    CNN_TRY(cnn_conv_check_sizes("conv2d", x, w, 2, a->strides, a->dilation_rate));
    if (x->shape[3] % a->groups || w->shape[3] % a->groups)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "conv2d: groups = %d must divide the %d input channels and the %d filters", a->groups,
                        (int)x->shape[3], (int)w->shape[3]);
    if (w->shape[2] * a->groups != x->shape[3])
        return cnn_fail(CNN_ERROR_SHAPE,
                        "conv2d: weights %s with groups = %d do not fit an input of shape %s",
                        cnn_shape_text(other, sizeof other, 4, w->shape), a->groups,
                        cnn_shape_text(shape, sizeof shape, 4, x->shape));
    if (b && (b->rank != 1 || b->shape[0] != w->shape[3]))
        return cnn_fail(CNN_ERROR_SHAPE, "conv2d: expected a bias (%d,), got shape %s", (int)w->shape[3],
                        cnn_shape_text(shape, sizeof shape, b->rank, b->shape));
    return CNN_OK;
}

static size_t packed_floats(const cnn_conv *c) {
    return cnn_kernel()->conv_packed_size(c) + cnn_kernel()->conv_packed_grad_size(c);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The memory is enough for calls in which the weights are prepared for them alone, too. */
static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    const cnn_conv2d *a = attributes;
    const cnn_tensor *x = inputs[0], *w = inputs[1];
    CNN_TRY(cnn_conv_check_inputs("conv2d", &a->fold, n_inputs));
    CNN_TRY(check_shapes(a, x, w, cnn_conv_own_inputs(&a->fold, n_inputs) > 2 ? inputs[2] : NULL));
    cnn_conv c = geometry(a, x, w, 0), once = geometry(a, x, w, x->shape[0]);
    if (c.out_h < a->pool[0] || c.out_w < a->pool[1]) {
        char shape[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "conv2d: a %d×%d window does not fit an input of shape %s",
                        (int)cnn_window_extent(c.kernel_h, c.dilation_h),
                        (int)cnn_window_extent(c.kernel_w, c.dilation_w),
                        cnn_shape_text(shape, sizeof shape, 4, x->shape));
    }
    info->rank = 4;
    info->shape[0] = x->shape[0];
    info->shape[1] = c.out_h / a->pool[0];
    info->shape[2] = c.out_w / a->pool[1];
    info->shape[3] = c.out_c;
    info->flops = cnn_conv_flops(&c);

    cnn_conv_epilogue e = {.relu = a->relu, .pool_h = a->pool[0], .pool_w = a->pool[1]};
    info->prepared = larger(packed_floats(&c), packed_floats(&once)) * sizeof(float) +
                     cnn_conv_folded_floats(&a->fold, w, c.out_c) * sizeof(float) + 2 * CNN_ALIGN;
    info->scratch = larger(cnn_conv_scratch(&c, &e, x->shape[0]), cnn_conv_scratch(&once, &e, x->shape[0])) +
                    sums_floats(&c) * sizeof(float) + CNN_ALIGN;
    if (pooled(a)) info->saved = (size_t)(info->shape[1] * info->shape[2] * info->shape[3]);
    return CNN_OK;
}

/* Where the weights packed for the gradient lie behind those for the forward pass. */
static float *packed_gradient(const cnn_kernels *k, const cnn_conv *c, void *prepared) {
    return (float *)prepared + CNN_ROUND_UP(k->conv_packed_size(c), CNN_ALIGN / sizeof(float));
}

/* What is folded lies behind both; there is no gradient then. */
static float *folded_behind(const cnn_kernels *k, const cnn_conv *c, void *prepared) {
    return packed_gradient(k, c, prepared) +
           CNN_ROUND_UP(k->conv_packed_grad_size(c), CNN_ALIGN / sizeof(float));
}

static void prepare(const cnn_op_call *call) {
    const cnn_kernels *k = cnn_kernel();
    const cnn_conv2d *a = call->attributes;
    cnn_conv c = geometry(a, call->inputs[0], call->inputs[1], call->once);
    const float *w = cnn_conv_fold_weights(&a->fold, call, c.out_c, folded_behind(k, &c, call->prepared));
    if (!call->forward_done) k->conv_pack(&c, w, call->prepared);
    if (call->backward_follows && !(call->forward_done && !call->grad_inputs[0]))
        k->conv_pack_grad(&c, w, packed_gradient(k, &c, call->prepared));
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    cnn_conv c = geometry(call->attributes, x, call->inputs[1], call->once);
    cnn_conv_epilogue e = epilogue(call, folded_behind(cnn_kernel(), &c, call->prepared));
    cnn_conv_forward(&c, x->shape[0], cnn_f32(x), call->prepared, &e, cnn_f32(call->output), call->saved,
                     call->scratch);
    return CNN_OK;
}

/* The gradient before relu and pooling of samples [first, first+count), in `sums` if it has to be made. */
static const float *sums_gradient(const cnn_op_call *call, const cnn_conv *c, int64_t first, int64_t count,
                                  float *sums) {
    const cnn_conv2d *a = call->attributes;
    size_t row = (size_t)(call->output->shape[1] * call->output->shape[2] * call->output->shape[3]);
    const float *dy = cnn_f32(call->grad_output) + (size_t)first * row;
    if (pooled(a)) {
        const uint8_t *index = (const uint8_t *)call->saved + (size_t)first * row;
        cnn_kernel()->conv_unpool(c, (int)count, a->pool[0], a->pool[1], dy, index, sums);
        return sums;
    }
    if (!a->relu) return dy;
    const float *y = cnn_f32(call->output) + (size_t)first * row;
    cnn_kernel()->activate_grad(CNN_ACTIVATION_RELU, 0, y, dy, sums, (int64_t)row * count);
    return sums;
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_kernels *k = cnn_kernel();
    const cnn_conv2d *a = call->attributes;
    const cnn_tensor *x = call->inputs[0];
    cnn_conv c = geometry(a, x, call->inputs[1], call->once);
    cnn_tensor *dx = call->grad_inputs[0], *dw = call->grad_inputs[1];
    cnn_tensor *db = call->n_inputs > 2 ? call->grad_inputs[2] : NULL;
    const float *packed = packed_gradient(k, &c, call->prepared);
    size_t row = (size_t)c.in_h * (size_t)c.in_w * (size_t)c.in_c;
    float *sums = call->scratch, *scratch = sums + sums_floats(&c);
    if (!dx && k->conv_grads_of_windows(&c, a->pool[0], a->pool[1])) {
        k->conv_grad_windows(&c, (int)x->shape[0], cnn_f32(x), cnn_f32(call->grad_output), call->saved,
                             dw ? cnn_f32(dw) : NULL, db ? cnn_f32(db) : NULL, scratch);
        return CNN_OK;
    }
    for (int64_t first = 0, count; first < x->shape[0]; first += count) {
        count = x->shape[0] - first < samples_at_once(&c) ? x->shape[0] - first : samples_at_once(&c);
        const float *dy = sums_gradient(call, &c, first, count, sums);
        if (dw || db)
            cnn_conv_grad_weights(&c, count, cnn_f32(x) + (size_t)first * row, dy, dw ? cnn_f32(dw) : NULL,
                                  db ? cnn_f32(db) : NULL, scratch);
        if (dx) cnn_conv_grad_input(&c, count, dy, packed, cnn_f32(dx) + (size_t)first * row, scratch);
    }
    return CNN_OK;
}

const cnn_op cnn_op_conv2d = {.class = CNN_CLASS("op", "conv2d", NULL, cnn_conv2d, params),
                              .min_inputs = 2,
                              .max_inputs = 3 + CNN_FOLD_INPUTS,
                              .per_sample = true,
                              .shared = ((1u << (3 + CNN_FOLD_INPUTS)) - 1) & ~1u,
                              /* The output tells relu's sign; with pooling the saved index does. */
                              .needs = 1u << 0 | CNN_NEEDS_OUTPUT,
                              .infer = infer,
                              .prepare = prepare,
                              .forward = forward,
                              .backward = backward};
