/* Pooling of pictures by maximum or mean, over windows or over all of a picture, which is one window of its
 * size. Padding takes no part: a mean is over the cells inside the picture. Max pooling keeps for backward
 * where in its window each maximum was: a byte a cell, or an int32 for windows of more than 256 cells. */
#include "ops/pool.h"
#include "ops/shape.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <limits.h>

static const char *name_of(const void *attributes) {
    return ((const cnn_object *)attributes)->class->name;
}

static cnn_status check_picture(const void *attributes, const cnn_tensor *x) {
    char shape[CNN_SHAPE_TEXT];
    if (x->rank != 4)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: expected an input [N,H,W,C], got shape %s", name_of(attributes),
                        cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    for (int i = 1; i < 4; i++)
        if (x->shape[i] < 0 || x->shape[i] > INT_MAX)
            return cnn_fail(CNN_ERROR_SHAPE, "%s: sizes beside the batch must be known, got shape %s",
                            name_of(attributes), cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    return CNN_OK;
}

void cnn_pool2d_strides(const cnn_pool2d *a, int strides[2]) {
    bool given = a->strides[0] != INT_MIN;
    for (int i = 0; i < 2; i++) strides[i] = given ? a->strides[i] : a->pool_size[i];
}

static cnn_pool window_geometry(const void *attributes, const cnn_tensor *x) {
    const cnn_pool2d *a = attributes;
    int strides[2];
    cnn_pool2d_strides(a, strides);
    cnn_pool p = {.in_h = (int)x->shape[1],
                  .in_w = (int)x->shape[2],
                  .channels = (int)x->shape[3],
                  .pool_h = a->pool_size[0],
                  .pool_w = a->pool_size[1],
                  .stride_h = strides[0],
                  .stride_w = strides[1]};
    p.out_h = (int)cnn_window_output(p.in_h, p.pool_h, p.stride_h, a->padding, &p.pad_top);
    p.out_w = (int)cnn_window_output(p.in_w, p.pool_w, p.stride_w, a->padding, &p.pad_left);
    return p;
}

static cnn_pool global_geometry(const void *attributes, const cnn_tensor *x) {
    (void)attributes;
    int h = (int)x->shape[1], w = (int)x->shape[2];
    return (cnn_pool){.in_h = h,
                      .in_w = w,
                      .channels = (int)x->shape[3],
                      .out_h = 1,
                      .out_w = 1,
                      .pool_h = h,
                      .pool_w = w,
                      .stride_h = 1,
                      .stride_w = 1};
}

static bool is_global(const void *attributes) {
    const cnn_class *class = ((const cnn_object *)attributes)->class;
    return class == &cnn_op_global_max_pool2d.class || class == &cnn_op_global_avg_pool2d.class;
}

static cnn_pool geometry(const void *attributes, const cnn_tensor *x) {
    return is_global(attributes) ? global_geometry(attributes, x) : window_geometry(attributes, x);
}

static int index_size(const cnn_pool *p) {
    return (int64_t)p->pool_h * p->pool_w <= 256 ? 1 : 4;
}

/* ---- infer --------------------------------------------------------------------------------------------- */

static cnn_status infer_windows(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                cnn_op_info *info) {
    (void)n_inputs;
    const cnn_tensor *x = inputs[0];
    CNN_TRY(check_picture(attributes, x));
    cnn_pool p = geometry(attributes, x);
    if (p.out_h < 1 || p.out_w < 1) {
        char shape[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "%s: a %d×%d window does not fit an input of shape %s",
                        name_of(attributes), p.pool_h, p.pool_w,
                        cnn_shape_text(shape, sizeof shape, 4, x->shape));
    }
    cnn_infer_like(info, x);
    info->shape[1] = p.out_h;
    info->shape[2] = p.out_w;
    return CNN_OK;
}

static cnn_status infer_global(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                               cnn_op_info *info) {
    const cnn_tensor *x = inputs[0];
    CNN_TRY(check_picture(attributes, x));
    if (x->shape[1] == 0 || x->shape[2] == 0)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: the pictures are empty", name_of(attributes));
    CNN_TRY(infer_windows(attributes, inputs, n_inputs, info));
    if (!((const cnn_global_pool2d *)attributes)->keepdims) {
        info->rank = 2;
        info->shape[1] = x->shape[3];
    }
    return CNN_OK;
}

/* The places of the maxima. */
static void infer_saved(const void *attributes, const cnn_tensor *x, cnn_op_info *info) {
    cnn_pool p = geometry(attributes, x);
    info->saved = (size_t)p.out_h * (size_t)p.out_w * (size_t)p.channels * (size_t)index_size(&p);
}

static cnn_status max_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                            cnn_op_info *info) {
    CNN_TRY(infer_windows(attributes, inputs, n_inputs, info));
    infer_saved(attributes, inputs[0], info);
    return CNN_OK;
}

static cnn_status global_max_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                   cnn_op_info *info) {
    CNN_TRY(infer_global(attributes, inputs, n_inputs, info));
    infer_saved(attributes, inputs[0], info);
    return CNN_OK;
}

/* ---- forward and backward ------------------------------------------------------------------------------ */

static cnn_status max_forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    cnn_pool p = geometry(call->attributes, x);
    cnn_kernel()->max_pool(&p, x->shape[0], cnn_f32(x), cnn_f32(call->output), call->saved, index_size(&p));
    return CNN_OK;
}

static cnn_status max_backward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    cnn_pool p = geometry(call->attributes, x);
    if (call->grad_inputs[0])
        cnn_kernel()->max_pool_grad(&p, x->shape[0], cnn_f32(call->grad_output), call->saved, index_size(&p),
                                    cnn_f32(call->grad_inputs[0]));
    return CNN_OK;
}

static cnn_status avg_forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    cnn_pool p = geometry(call->attributes, x);
    cnn_kernel()->avg_pool(&p, x->shape[0], cnn_f32(x), cnn_f32(call->output));
    return CNN_OK;
}

static cnn_status avg_backward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    cnn_pool p = geometry(call->attributes, x);
    if (call->grad_inputs[0])
        cnn_kernel()->avg_pool_grad(&p, x->shape[0], cnn_f32(call->grad_output),
                                    cnn_f32(call->grad_inputs[0]));
    return CNN_OK;
}

static const cnn_param window_params[] = {
    CNN_PARAM(PAIR, cnn_pool2d, pool_size, "2", .low = 1, .help = "the window (rows, columns)"),
    CNN_PARAM(PAIR, cnn_pool2d, strides, "null", .low = 1, .nullable = true,
              .help = "step of the window (rows, columns); null: the window's size"),
    CNN_PARAM(CHOICE, cnn_pool2d, padding, "\"valid\"", .choices = "valid same",
              .help = "'valid': whole windows only; 'same': output = ceil(input / stride)"),
    {0}};

static const cnn_param global_params[] = {
    CNN_PARAM(BOOL, cnn_global_pool2d, keepdims, "false", .help = "keep the picture's axes, with size 1"),
    {0}};

/* The maximum of each window: x [N,H,W,C] to [N,H',W',C]. */
const cnn_op cnn_op_max_pool2d = {.class = CNN_CLASS("op", "max_pool2d", NULL, cnn_pool2d, window_params),
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .per_sample = true,
                                  .infer = max_infer,
                                  .forward = max_forward,
                                  .backward = max_backward};

/* The mean of each window: x [N,H,W,C] to [N,H',W',C]. */
const cnn_op cnn_op_avg_pool2d = {
    .class = CNN_CLASS("op", "avg_pool2d", "average_pool2d", cnn_pool2d, window_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .infer = infer_windows,
    .forward = avg_forward,
    .backward = avg_backward};

/* The maximum of each channel: x [N,H,W,C] to [N,C], or [N,1,1,C]. */
const cnn_op cnn_op_global_max_pool2d = {
    .class = CNN_CLASS("op", "global_max_pool2d", NULL, cnn_global_pool2d, global_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .infer = global_max_infer,
    .forward = max_forward,
    .backward = max_backward};

/* The mean of each channel: x [N,H,W,C] to [N,C], or [N,1,1,C]. */
const cnn_op cnn_op_global_avg_pool2d = {
    .class = CNN_CLASS("op", "global_avg_pool2d", "global_average_pool2d", cnn_global_pool2d, global_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .infer = infer_global,
    .forward = avg_forward,
    .backward = avg_backward};
