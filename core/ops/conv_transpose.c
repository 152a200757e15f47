/* Transposed convolution: the gradient of a convolution to its input, taken as a map of its own (Zeiler et al. 2010).
 * Of the convolution that goes the other way, from the result [N,H',W',filters] to x [N,H,W,C], Keras's kernel
 * [kh,kw,filters,C] is the weights. So its forward pass is that one's gradient to the input, its own gradient to the
 * input that one's forward pass, and the gradient to the weights is the same with the two pictures exchanged. */
#include "ops/conv_kinds.h"
#include "ops/conv_split.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <limits.h>

/* Keras's size of the result along one axis: without output_padding, that of the smallest picture from which the
 * other convolution leads back whatever its windows leave over; with it, exactly what the windows cover, and more. */
static int result_size(int in, int window, int stride, int padding, int output_padding) {
    bool same = padding == CNN_PADDING_SAME;
    if (output_padding == INT_MIN) return in * stride + (!same && window > stride ? window - stride : 0);
    return (in - 1) * stride + window - (same ? 2 * (window / 2) : 0) + output_padding;
}

/* What the windows stand out of the result: TensorFlow puts the smaller half before. */
static int padding_before(int in, int window, int stride, int padding, int out) {
    int total = (in - 1) * stride + window - out;
    return padding == CNN_PADDING_SAME && total > 0 ? total / 2 : 0;
}

/* The convolution that goes the other way. */
static cnn_conv geometry(const cnn_conv2d_transpose *a, const cnn_tensor *x, const cnn_tensor *w) {
    cnn_conv c = {.in_c = (int)w->shape[2],
                  .out_h = (int)x->shape[1],
                  .out_w = (int)x->shape[2],
                  .out_c = (int)x->shape[3],
                  .kernel_h = (int)w->shape[0],
                  .kernel_w = (int)w->shape[1],
                  .stride_h = a->strides[0],
                  .stride_w = a->strides[1],
                  .dilation_h = a->dilation_rate[0],
                  .dilation_w = a->dilation_rate[1],
                  .groups = 1};
    int window_h = (int)cnn_window_extent(c.kernel_h, c.dilation_h);
    int window_w = (int)cnn_window_extent(c.kernel_w, c.dilation_w);
    c.in_h = result_size(c.out_h, window_h, c.stride_h, a->padding, a->output_padding[0]);
    c.in_w = result_size(c.out_w, window_w, c.stride_w, a->padding, a->output_padding[1]);
    c.pad_top = padding_before(c.out_h, window_h, c.stride_h, a->padding, c.in_h);
    c.pad_left = padding_before(c.out_w, window_w, c.stride_w, a->padding, c.in_w);
    return c;
}

static cnn_status check_attributes(const cnn_conv2d_transpose *a) {
    for (int i = 0; i < 2; i++) {
        if (a->output_padding[i] >= a->strides[i])
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "conv2d_transpose: output_padding = %d must be below strides = %d",
                            a->output_padding[i], a->strides[i]);
        if (a->strides[i] > 1 && a->dilation_rate[i] > 1)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "conv2d_transpose: strides > 1 cannot go with dilation_rate > 1");
    }
    return CNN_OK;
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    const cnn_tensor *x = inputs[0], *w = inputs[1], *b = n_inputs > 2 ? inputs[2] : NULL;
    char shape[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    cnn_shape_text(shape, sizeof shape, x->rank, x->shape);
    CNN_TRY(check_attributes(attributes));
    if (x->rank != 4 || w->rank != 4 || w->size == 0 || w->shape[3] != x->shape[3])
        return cnn_fail(
            CNN_ERROR_SHAPE,
            "conv2d_transpose: expected an input [N,H,W,C] and weights [height,width,filters,C], got "
            "shapes %s and %s",
            shape, cnn_shape_text(other, sizeof other, w->rank, w->shape));
    const cnn_conv2d_transpose *a = attributes;
    CNN_TRY(cnn_conv_check_sizes("conv2d_transpose", x, w, 2, a->strides, a->dilation_rate));
    if (b && (b->rank != 1 || b->shape[0] != w->shape[2]))
        return cnn_fail(CNN_ERROR_SHAPE, "conv2d_transpose: expected a bias (%d,), got shape %s",
                        (int)w->shape[2], cnn_shape_text(other, sizeof other, b->rank, b->shape));
    cnn_conv c = geometry(attributes, x, w);
    if (c.in_h < 1 || c.in_w < 1)
        return cnn_fail(CNN_ERROR_SHAPE, "conv2d_transpose: nothing is left of an input of shape %s", shape);
    const cnn_kernels *k = cnn_kernel();
    info->rank = 4;
    info->shape[0] = x->shape[0];
    info->shape[1] = c.in_h;
    info->shape[2] = c.in_w;
    info->shape[3] = c.in_c;
    info->flops = cnn_conv_flops(&c);
    info->prepared = (k->conv_packed_size(&c) + k->conv_packed_grad_size(&c)) * sizeof(float) + CNN_ALIGN;
    info->scratch = cnn_conv_scratch(&c, NULL, x->shape[0]);
    return CNN_OK;
}

/* Where the weights packed for this op's backward, the other convolution's forward, lie. */
static float *packed_backward(const cnn_conv *c, void *prepared) {
    return (float *)prepared +
           CNN_ROUND_UP(cnn_kernel()->conv_packed_grad_size(c), CNN_ALIGN / sizeof(float));
}

static void prepare(const cnn_op_call *call) {
    const cnn_kernels *k = cnn_kernel();
    cnn_conv c = geometry(call->attributes, call->inputs[0], call->inputs[1]);
    const float *w = cnn_f32(call->inputs[1]);
    if (!call->forward_done) k->conv_pack_grad(&c, w, call->prepared);
    if (call->backward_follows && !(call->forward_done && !call->grad_inputs[0]))
        k->conv_pack(&c, w, packed_backward(&c, call->prepared));
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_kernels *k = cnn_kernel();
    const cnn_tensor *x = call->inputs[0];
    cnn_conv c = geometry(call->attributes, x, call->inputs[1]);
    float *y = cnn_f32(call->output);
    cnn_conv_grad_input(&c, x->shape[0], cnn_f32(x), call->prepared, y, call->scratch);
    const float *bias = call->n_inputs > 2 ? cnn_f32(call->inputs[2]) : NULL;
    bool relu = ((const cnn_conv2d_transpose *)call->attributes)->relu;
    if (bias || relu) k->bias_relu(bias, relu, y, y, call->output->size / c.in_c, c.in_c);
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_kernels *k = cnn_kernel();
    const cnn_tensor *x = call->inputs[0], *dy = call->grad_output;
    cnn_conv c = geometry(call->attributes, x, call->inputs[1]);
    int64_t n = x->shape[0];
    cnn_tensor *dx = call->grad_inputs[0], *dw = call->grad_inputs[1],
               *db = call->n_inputs > 2 ? call->grad_inputs[2] : NULL;
    if (dx)
        cnn_conv_forward(&c, n, cnn_f32(dy), packed_backward(&c, call->prepared), NULL, cnn_f32(dx), NULL,
                         call->scratch);
    if (dw) cnn_conv_grad_weights(&c, n, cnn_f32(dy), cnn_f32(x), cnn_f32(dw), NULL, call->scratch);
    if (db) k->sum_rows(cnn_f32(dy), dy->size / c.in_c, c.in_c, c.in_c, cnn_f32(db));
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(PAIR, cnn_conv2d_transpose, strides, "1", .low = 1,
              .help = "how far apart cells of x land in the result (rows, columns)"),
    CNN_PARAM(CHOICE, cnn_conv2d_transpose, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': all that the windows reach; 'same': output = input · stride"),
    CNN_PARAM(PAIR, cnn_conv2d_transpose, output_padding, "null", .nullable = true,
              .help = "rows and columns added to the result, below strides; null: Keras's choice"),
    CNN_PARAM(PAIR, cnn_conv2d_transpose, dilation_rate, "1", .low = 1,
              .help = "spacing of the window's cells"),
    {0}};

const cnn_op cnn_op_conv2d_transpose = {
    .class = CNN_CLASS("op", "conv2d_transpose", NULL, cnn_conv2d_transpose, params),
    .min_inputs = 2,
    .max_inputs = 3,
    .per_sample = true,
    .shared = 1u << 1 | 1u << 2,
    .needs = 1u << 0,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward};
