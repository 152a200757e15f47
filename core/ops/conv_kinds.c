/* Convolutions that are a 2-D one in another guise: along one axis (pictures of one row), and by channel (as many
 * groups as channels). Weights and activations lie in memory as the 2-D kernels take them; only the geometry is made
 * here. */
#include "ops/conv_kinds.h"
#include "ops/conv_split.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <limits.h>

/* ---- geometry ------------------------------------------------------------------------------------------ */

static cnn_conv conv1d_geometry(const cnn_conv1d *a, const cnn_tensor *x, const cnn_tensor *w) {
    cnn_conv c = {.in_h = 1,
                  .in_w = (int)x->shape[1],
                  .in_c = (int)x->shape[2],
                  .out_h = 1,
                  .out_c = (int)w->shape[2],
                  .kernel_h = 1,
                  .kernel_w = (int)w->shape[0],
                  .stride_h = 1,
                  .stride_w = a->strides,
                  .dilation_h = 1,
                  .dilation_w = a->dilation_rate,
                  .groups = a->groups};
    int window = (int)cnn_window_extent(c.kernel_w, c.dilation_w);
    if (a->padding == CNN_PADDING_CAUSAL) { /* no output sees what comes after it */
        c.pad_left = window - 1;
        c.out_w = c.in_w > 0 ? (c.in_w - 1) / c.stride_w + 1 : 0;
    } else {
        c.out_w = (int)cnn_window_output(c.in_w, window, c.stride_w, a->padding, &c.pad_left);
    }
    return c;
}

static cnn_conv depthwise_geometry(const cnn_depthwise_conv2d *a, const cnn_tensor *x, const cnn_tensor *w) {
    cnn_conv c = {.in_h = (int)x->shape[1],
                  .in_w = (int)x->shape[2],
                  .in_c = (int)x->shape[3],
                  .out_c = (int)(x->shape[3] * w->shape[3]),
                  .kernel_h = (int)w->shape[0],
                  .kernel_w = (int)w->shape[1],
                  .stride_h = a->strides[0],
                  .stride_w = a->strides[1],
                  .dilation_h = a->dilation_rate[0],
                  .dilation_w = a->dilation_rate[1],
                  .groups = (int)x->shape[3]};
    int window_h = (int)cnn_window_extent(c.kernel_h, c.dilation_h);
    int window_w = (int)cnn_window_extent(c.kernel_w, c.dilation_w);
    c.out_h = (int)cnn_window_output(c.in_h, window_h, c.stride_h, a->padding, &c.pad_top);
    c.out_w = (int)cnn_window_output(c.in_w, window_w, c.stride_w, a->padding, &c.pad_left);
    return c;
}

static const cnn_conv_fused *fused_of(const void *attributes) {
    return ((const cnn_object *)attributes)->class == &cnn_op_conv1d.class ? &((const cnn_conv1d *)attributes)
                                                                                  ->fused
                                                                           : &((const cnn_depthwise_conv2d *)
                                                                                   attributes)
                                                                                  ->fused;
}

static cnn_conv geometry(const void *attributes, const cnn_tensor *const *inputs) {
    return ((const cnn_object *)attributes)->class == &cnn_op_conv1d.class ? conv1d_geometry(attributes,
                                                                                             inputs[0],
                                                                                             inputs[1])
                                                                           : depthwise_geometry(attributes,
                                                                                                inputs[0],
                                                                                                inputs[1]);
}

/* ---- infer --------------------------------------------------------------------------------------------- */

static cnn_status misfit(const char *who, const cnn_tensor *x, const cnn_tensor *w, const char *expected) {
    char shape[CNN_SHAPE_TEXT], weights[CNN_SHAPE_TEXT];
    return cnn_fail(CNN_ERROR_SHAPE, "%s: expected %s, got shapes %s and %s", who, expected,
                    cnn_shape_text(shape, sizeof shape, x->rank, x->shape),
                    cnn_shape_text(weights, sizeof weights, w->rank, w->shape));
}

static cnn_status check_bias(const char *who, const cnn_conv_fold *f, const cnn_tensor *const *inputs,
                             int n_inputs, int filters) {
    CNN_TRY(cnn_conv_check_inputs(who, f, n_inputs));
    const cnn_tensor *bias = cnn_conv_own_inputs(f, n_inputs) > 2 ? inputs[2] : NULL;
    char shape[CNN_SHAPE_TEXT];
    if (!bias || (bias->rank == 1 && bias->shape[0] == filters)) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: expected a bias (%d,), got shape %s", who, filters,
                    cnn_shape_text(shape, sizeof shape, bias->rank, bias->shape));
}

/* The memory of a convolution; and an error if its window does not fit. */
static cnn_status plan_memory(const char *who, const cnn_conv *c, const cnn_conv_fold *f,
                              const cnn_tensor *const *inputs, cnn_op_info *info) {
    const cnn_tensor *x = inputs[0];
    char shape[CNN_SHAPE_TEXT];
    if (c->out_h < 1 || c->out_w < 1)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: a %d×%d window does not fit an input of shape %s", who,
                        (int)cnn_window_extent(c->kernel_h, c->dilation_h),
                        (int)cnn_window_extent(c->kernel_w, c->dilation_w),
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    const cnn_kernels *k = cnn_kernel();
    info->flops = cnn_conv_flops(c);
    info->prepared = (k->conv_packed_size(c) + k->conv_packed_grad_size(c) +
                      cnn_conv_folded_floats(f, inputs[1], c->out_c)) *
                         sizeof(float) +
                     2 * CNN_ALIGN;
    info->scratch = cnn_conv_scratch(c, NULL, x->shape[0]);
    return CNN_OK;
}

static cnn_status conv1d_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                               cnn_op_info *info) {
    const cnn_conv1d *a = attributes;
    const cnn_tensor *x = inputs[0], *w = inputs[1];
    if (x->rank != 3 || w->rank != 3 || w->size == 0)
        return misfit("conv1d", x, w, "an input [N,L,C] and weights [size,C/groups,filters]");
    if (x->shape[2] % a->groups || w->shape[2] % a->groups || w->shape[1] * a->groups != x->shape[2])
        return misfit("conv1d", x, w,
                      "weights of C/groups channels and groups that divide channels and filters");
    CNN_TRY(cnn_conv_check_sizes("conv1d", x, w, 1, &a->strides, &a->dilation_rate));
    cnn_conv c = geometry(a, inputs);
    CNN_TRY(check_bias("conv1d", &a->fused.fold, inputs, n_inputs, c.out_c));
    CNN_TRY(plan_memory("conv1d", &c, &a->fused.fold, inputs, info));
    info->rank = 3;
    info->shape[0] = x->shape[0];
    info->shape[1] = c.out_w;
    info->shape[2] = c.out_c;
    return CNN_OK;
}

static cnn_status depthwise_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                  cnn_op_info *info) {
    const cnn_tensor *x = inputs[0], *w = inputs[1];
    if (x->rank != 4 || w->rank != 4 || w->size == 0 || w->shape[2] != x->shape[3])
        return misfit("depthwise_conv2d", x, w, "an input [N,H,W,C] and weights [height,width,C,multiplier]");
    const cnn_depthwise_conv2d *a = attributes;
    CNN_TRY(cnn_conv_check_sizes("depthwise_conv2d", x, w, 2, a->strides, a->dilation_rate));
    if (x->shape[3] * w->shape[3] > INT_MAX) return misfit("depthwise_conv2d", x, w, "fewer channels");
    cnn_conv c = geometry(attributes, inputs);
    CNN_TRY(check_bias("depthwise_conv2d", &a->fused.fold, inputs, n_inputs, c.out_c));
    CNN_TRY(plan_memory("depthwise_conv2d", &c, &a->fused.fold, inputs, info));
    info->rank = 4;
    info->shape[0] = x->shape[0];
    info->shape[1] = c.out_h;
    info->shape[2] = c.out_w;
    info->shape[3] = c.out_c;
    return CNN_OK;
}

/* ---- the work ------------------------------------------------------------------------------------------ */

/* Where the weights packed for the gradient lie behind those for the forward pass. */
static float *packed_gradient(const cnn_conv *c, void *prepared) {
    return (float *)prepared + CNN_ROUND_UP(cnn_kernel()->conv_packed_size(c), CNN_ALIGN / sizeof(float));
}

/* What is folded lies behind both. */
static float *folded_behind(const cnn_conv *c, void *prepared) {
    return packed_gradient(c, prepared) +
           CNN_ROUND_UP(cnn_kernel()->conv_packed_grad_size(c), CNN_ALIGN / sizeof(float));
}

static void prepare(const cnn_op_call *call) {
    const cnn_kernels *k = cnn_kernel();
    cnn_conv c = geometry(call->attributes, call->inputs);
    const float *w = cnn_conv_fold_weights(&fused_of(call->attributes)->fold, call, c.out_c,
                                           folded_behind(&c, call->prepared));
    if (!call->forward_done) k->conv_pack(&c, w, call->prepared);
    if (call->backward_follows && !(call->forward_done && !call->grad_inputs[0]))
        k->conv_pack_grad(&c, w, packed_gradient(&c, call->prepared));
}

static cnn_status forward(const cnn_op_call *call) {
    cnn_conv c = geometry(call->attributes, call->inputs);
    const cnn_conv_fused *f = fused_of(call->attributes);
    cnn_conv_epilogue e = {.bias = cnn_conv_bias(&f->fold, call, folded_behind(&c, call->prepared)),
                           .relu = f->relu};
    cnn_conv_forward(&c, call->inputs[0]->shape[0], cnn_f32(call->inputs[0]), call->prepared, &e,
                     cnn_f32(call->output), NULL, call->scratch);
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    cnn_conv c = geometry(call->attributes, call->inputs);
    int64_t n = call->inputs[0]->shape[0];
    const float *dy = cnn_f32(call->grad_output);
    cnn_tensor *dx = call->grad_inputs[0], *dw = call->grad_inputs[1],
               *db = call->n_inputs > 2 ? call->grad_inputs[2] : NULL;
    if (dw || db)
        cnn_conv_grad_weights(&c, n, cnn_f32(call->inputs[0]), dy, dw ? cnn_f32(dw) : NULL,
                              db ? cnn_f32(db) : NULL, call->scratch);
    if (dx) cnn_conv_grad_input(&c, n, dy, packed_gradient(&c, call->prepared), cnn_f32(dx), call->scratch);
    return CNN_OK;
}

static const cnn_param conv1d_params[] = {
    CNN_PARAM(INT, cnn_conv1d, strides, "1", .low = 1, .help = "step of the window"),
    CNN_PARAM(CHOICE, cnn_conv1d, padding, "\"valid\"", .choices = "valid same causal",
              .help = "'valid': no padding; 'same': zeros on both sides; 'causal': zeros before the start"),
    CNN_PARAM(INT, cnn_conv1d, dilation_rate, "1", .low = 1, .help = "spacing of the window's cells"),
    CNN_PARAM(INT, cnn_conv1d, groups, "1", .low = 1,
              .help = "channels are split into this many groups, convolved apart"),
    {0}};

const cnn_op cnn_op_conv1d = {.class = CNN_CLASS("op", "conv1d", NULL, cnn_conv1d, conv1d_params),
                              .min_inputs = 2,
                              .max_inputs = 3 + CNN_FOLD_INPUTS,
                              .per_sample = true,
                              .shared = ((1u << (3 + CNN_FOLD_INPUTS)) - 1) & ~1u,
                              .needs = 1u << 0,
                              .infer = conv1d_infer,
                              .prepare = prepare,
                              .forward = forward,
                              .backward = backward};

static const cnn_param depthwise_params[] = {
    CNN_PARAM(PAIR, cnn_depthwise_conv2d, strides, "1", .low = 1,
              .help = "step of the window (rows, columns)"),
    CNN_PARAM(CHOICE, cnn_depthwise_conv2d, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': no padding; 'same': zeros, so that output = ceil(input / stride)"),
    CNN_PARAM(PAIR, cnn_depthwise_conv2d, dilation_rate, "1", .low = 1,
              .help = "spacing of the window's cells"),
    {0}};

const cnn_op cnn_op_depthwise_conv2d = {
    .class = CNN_CLASS("op", "depthwise_conv2d", NULL, cnn_depthwise_conv2d, depthwise_params),
    .min_inputs = 2,
    .max_inputs = 3 + CNN_FOLD_INPUTS,
    .per_sample = true,
    .shared = ((1u << (3 + CNN_FOLD_INPUTS)) - 1) & ~1u,
    .needs = 1u << 0,
    .infer = depthwise_infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward};
